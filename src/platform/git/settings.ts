import path from 'node:path';
import { type Git, GitFailure } from './run.js';

/** What a repository's configuration says, and we go by. All else in it is for others. */
export interface RepositorySettings {
  readonly bare: boolean;
  readonly objectFormat: 'sha1' | 'sha256';
  /** How its references are kept; `files` is what we know. */
  readonly refStorage: string;
  /** Whether objects may be missing, which git would fetch when it needs them. */
  readonly isPartial: boolean;
  /** How files are checked out and taken in: key and value, each of a kind that names no program and no file. */
  readonly checkout: readonly (readonly [key: string, value: string])[];
}

const bool = /^(?:true|false|yes|no|on|off|1|0)$/i;

/** Matters of how text and names are stored, which a work tree has to share with its repository. */
const checkoutKeys: Readonly<Record<string, RegExp>> = {
  'core.filemode': bool,
  'core.symlinks': bool,
  'core.ignorecase': bool,
  'core.precomposeunicode': bool,
  'core.autocrlf': /^(?:true|false|input)$/i,
  'core.eol': /^(?:lf|crlf|native)$/i,
  'core.sharedrepository': /^(?:group|all|everybody|world|umask|true|false|0[0-7]{3})$/i,
};

/**
 * Reads the configuration file as data: git parses it, but does not go by it, and follows no include.
 *
 * @throws GitFailure for a file that is malformed.
 */
export async function readSettings(git: Git, gitDir: string): Promise<RepositorySettings> {
  const values = new Map<string, string>();
  const file = path.join(gitDir, 'config');
  const { stdout } = await git
    .run({ args: ['config', '--file', file, '--no-includes', '--null', '--list'], timeoutMs: readMs })
    .catch((error: unknown) => {
      // Git says so of a file that is not there; then there is nothing in it.
      if (error instanceof GitFailure && /unable to read config file .*: No such file/.test(error.stderr))
        return nothing;
      throw error;
    });
  for (const entry of stdout.toString().split('\0')) {
    const at = entry.indexOf('\n');
    // A key without a value stands for true.
    if (entry !== '') values.set(at < 0 ? entry : entry.slice(0, at), at < 0 ? 'true' : entry.slice(at + 1));
  }
  return {
    bare: /^(?:true|yes|on|1)$/i.test(values.get('core.bare') ?? 'false'),
    objectFormat: values.get('extensions.objectformat')?.toLowerCase() === 'sha256' ? 'sha256' : 'sha1',
    refStorage: values.get('extensions.refstorage')?.toLowerCase() ?? 'files',
    isPartial: [...values.keys()].some((key) => /^remote\..*\.promisor$|^extensions\.partialclone$/s.test(key)),
    checkout: Object.entries(checkoutKeys).flatMap(([key, allowed]) => {
      const value = values.get(key);
      return value !== undefined && allowed.test(value) ? [[key, value] as const] : [];
    }),
  };
}

const nothing = { stdout: Buffer.alloc(0) };
/** It may be a pipe that nobody writes to. */
const readMs = 10_000;
