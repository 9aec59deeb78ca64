import { createHash } from 'node:crypto';
import { mkdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../../errors.js';
import { isTaken } from '../files/file-errors.js';
import { firstOutside, inspectRepository, writtenAlways, type Repository } from './inspect.js';
import { letGo, passingName } from '../files/leftovers.js';
import { sweepLeftovers } from '../files/remove-tree.js';
import type { Git, GitOutput, GitRun } from './run.js';

/**
 * A repository as our git sees it. Git is told that its common directory is one of ours, which borrows objects, references and the
 * like from the repository by symbolic links, but has a configuration of its own and no hooks. So what the repository configures
 * (filters, textconv, hooks, aliases, programs, remotes) is not switched off one by one: it does not exist.
 */
export interface View {
  /** The common directory that git is told. */
  readonly dir: string;
  readonly repository: Repository;
  /** Runs git on the repository. Without a work tree, paths are those of a folder of nothing. */
  run(run: ViewRun): Promise<GitOutput>;
}

export interface ViewRun extends Omit<GitRun, 'cwd'> {
  /** The git directory of a linked work tree, within the repository's; default: the view itself. */
  readonly gitDir?: string | undefined;
  /** The root of that work tree. */
  readonly workTree?: string | undefined;
  readonly indexFile?: string | undefined;
}

export interface Views {
  /** Rejects with `conflict` when the repository is no longer there, or can no longer be used. */
  open(root: string): Promise<View>;
}

export interface ViewsDeps {
  readonly git: Git;
  /** A folder of ours for all views, which is made when there is none. */
  readonly home: () => Promise<string>;
  /** What is written into besides the usual, as names below a git directory; none may be a symbolic link. */
  readonly written: readonly string[];
}

/** What is in the repository's common directory and is no matter of configuration. */
const borrowed = ['objects', 'refs', 'packed-refs', 'logs', 'worktrees', 'shallow', 'info/exclude'];

/** Contention between servers, and with people, is waited out by git itself. */
const lockWaitMs = 10_000;

interface Known {
  readonly stamp: string;
  readonly view: View;
}

export function createViews({ git, home, written }: ViewsDeps): Views {
  const known = new Map<string, Known>();

  async function make(root: string): Promise<View> {
    const found = await inspectRepository(git, root);
    if (found.kind === 'refused') throw unusable(root, found.why);
    const { repository } = found;
    const dir = await makeDirectory(await home(), repository);
    return { dir, repository, run: (run) => git.run(toldOf(dir, run)) };
  }

  return {
    async open(root) {
      const gitDir = path.join(root, '.git');
      const before = known.get(root);
      const [outside, stamp, isMade] = await Promise.all([
        firstOutside(gitDir, [...writtenAlways, ...written]),
        stampOf(gitDir),
        before !== undefined && isThere(before.view.dir),
      ]);
      if (outside !== undefined) throw unusable(root, `has its .git/${outside} elsewhere, behind a symbolic link`);
      // What is known holds for as long as nobody has written the configuration.
      if (before !== undefined && before.stamp === stamp && isMade) return before.view;
      const view = await make(root);
      known.set(root, { stamp, view });
      return view;
    },
  };
}

function unusable(root: string, why: string): AppError {
  return new AppError('conflict', `The repository ${root} ${why}.`, { details: { path: root } });
}

async function stampOf(gitDir: string): Promise<string> {
  const [dir, config] = await Promise.all(
    [gitDir, path.join(gitDir, 'config')].map((file) => stat(file, { bigint: true }).catch(() => undefined)),
  );
  return `${dir?.ino} ${config?.ino} ${config?.mtimeNs} ${config?.size}`;
}

async function isThere(dir: string): Promise<boolean> {
  return (await stat(dir).catch(() => undefined)) !== undefined;
}

function toldOf(dir: string, { gitDir, workTree, indexFile, env, ...run }: ViewRun): GitRun {
  return {
    ...run,
    cwd: workTree ?? dir,
    env: {
      GIT_DIR: gitDir ?? dir,
      GIT_COMMON_DIR: dir,
      GIT_WORK_TREE: workTree ?? dir,
      ...(indexFile !== undefined && { GIT_INDEX_FILE: indexFile }),
      ...env,
    },
  };
}

/** Makes the directory of a view, or finds the one that another process has made: its name says what is in it. */
async function makeDirectory(home: string, { gitDir, settings }: Repository): Promise<string> {
  const config = configOf(settings);
  const dir = path.join(home, createHash('sha256').update(`${gitDir}\0${config}`).digest('hex').slice(0, 32));
  if (await isThere(dir)) return dir;
  await sweepLeftovers(dir);
  const made = passingName(dir, 'to');
  await mkdir(path.join(made, 'info'), { recursive: true });
  await writeFile(path.join(made, 'config'), config);
  // Nobody's branch: what is meant is always said.
  await writeFile(path.join(made, 'HEAD'), 'ref: refs/muster/none\n');
  for (const name of borrowed) await symlink(path.join(gitDir, name), path.join(made, name));
  try {
    await rename(made, dir);
  } catch (error) {
    if (!isTaken(error)) throw error;
    await rm(made, { recursive: true });
  } finally {
    letGo(made);
  }
  return dir;
}

function configOf({ objectFormat, checkout }: Repository['settings']): string {
  const own: (readonly [string, string])[] = [
    ['bare', 'false'],
    ['logAllRefUpdates', 'true'],
    ['filesRefLockTimeout', String(lockWaitMs)],
    ['packedRefsTimeout', String(lockWaitMs)],
    // What was answered has to be on disk. Batches of objects share a flush.
    ['fsync', 'committed'],
    ['fsyncMethod', 'batch'],
    // Larger files are neither held in memory nor compared line by line.
    ['bigFileThreshold', '32m'],
    ...checkout.map(([key, value]) => [key.replace(/^core\./, ''), value] as const),
  ];
  const core = [['repositoryFormatVersion', objectFormat === 'sha256' ? '1' : '0'] as const, ...own];
  const lines = ['[core]', ...core.map(([key, value]) => `\t${key} = ${value}`)];
  if (objectFormat === 'sha256') lines.push('[extensions]', '\tobjectFormat = sha256');
  return `${lines.join('\n')}\n`;
}
