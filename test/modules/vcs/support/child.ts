import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const dist = path.join(import.meta.dirname, '..', '..', '..', '..', 'dist', 'src');
const moduleUrl = (name: string): string => pathToFileURL(path.join(dist, name)).href;

/** What a process is to do, as JSON. */
export interface Errand {
  readonly dataDir: string;
  /** The method of Vcs, and what it gets. */
  readonly method: 'prepare' | 'commit' | 'archive' | 'diff';
  readonly input: object;
  /** Kill it with SIGKILL before this one of its effects on the world. */
  readonly dieAt?: number;
  /** As a user who may do nothing: `letNobodyHave` and `takeFromNobody` say with what. */
  readonly asNobody?: boolean;
  /** Begin only when a line has come on stdin. */
  readonly waits?: boolean;
}

export interface Outcome {
  readonly signal: string | null;
  /** What it answered, or an error it had; undefined when it was killed. */
  readonly result: { readonly value?: unknown; readonly error?: string } | undefined;
}

export interface Child {
  begin(): void;
  kill(): void;
  readonly ready: Promise<unknown>;
  readonly outcome: Promise<Outcome>;
}

/** Root may do everything; whoever else runs the tests is that user. */
const nobody = 65_534;
const isRoot = process.getuid?.() === 0;

/** Folders and all that is in them. */
export function letNobodyHave(...places: readonly string[]): void {
  for (const place of places) {
    spawnSync('chmod', ['-R', 'u+rwX', place]);
    if (!isRoot) continue;
    spawnSync('chown', ['-R', String(nobody), place]);
    for (let folder = path.dirname(place); folder !== tmpdir() && folder !== '/'; folder = path.dirname(folder))
      chmodSync(folder, 0o711);
  }
}

export function takeFromNobody(place: string): void {
  if (isRoot) chownSync(place, 0, 0);
  chmodSync(place, isRoot ? 0o700 : 0);
}

/** Whatever changes a file, or starts a program, is one effect. */
const program = `
  import { syncBuiltinESMExports } from 'node:module';
  import { once } from 'node:events';
  import fs from 'node:fs/promises';
  import processes from 'node:child_process';
  const errand = JSON.parse(process.argv[1]);
  let effects = 0;
  const dieIfNext = () => {
    effects += 1;
    if (effects === errand.dieAt) process.kill(process.pid, 'SIGKILL');
  };
  for (const [room, names] of [[fs, ['rename', 'mkdir', 'writeFile', 'copyFile', 'rm', 'link', 'symlink', 'mkdtemp']], [processes, ['spawn']]]) {
    for (const name of names) {
      const real = room[name];
      room[name] = (...args) => {
        dieIfNext();
        return real(...args);
      };
    }
  }
  syncBuiltinESMExports();
  const { createVcs } = await import('${moduleUrl('modules/vcs/index.js')}');
  const { createGit } = await import('${moduleUrl('platform/git/index.js')}');
  const vcs = createVcs({ git: createGit(), dataDir: errand.dataDir });
  process.stdout.write('ready\\n');
  if (errand.asNobody && process.getuid() === 0) process.setuid(${nobody});
  if (errand.waits) await once(process.stdin, 'data');
  const result = await vcs[errand.method](errand.input).then(
    async (value) => (await value?.kept, { value }),
    (error) => ({ error: String(error.stack) }),
  );
  process.stdout.write(JSON.stringify(result));
  process.exit(0);
`;

/** Starts a process of its own for an errand. Needs the built program. */
export function startChild(errand: Errand): Child {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program, JSON.stringify(errand)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stdin.on('error', () => undefined);
  const outcome = once(child, 'close').then(([, signal]): Outcome => {
    const text = stdout.replace(/^ready\n/, '');
    return {
      signal: signal as Outcome['signal'],
      result: text === '' ? undefined : (JSON.parse(text) as Outcome['result']),
    };
  });
  return {
    begin: () => void child.stdin.end('go\n'),
    kill: () => void child.kill('SIGKILL'),
    ready: once(child.stdout, 'data'),
    outcome,
  };
}
