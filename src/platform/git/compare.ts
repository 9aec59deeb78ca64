import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { findChanges, type Staging } from './changes.js';
import { inWorkTree } from './plain-file.js';
import { stageAside } from './stage-aside.js';
import { gitDirOf, requireLinked, type WorkTree } from './work-tree.js';

/** What was committed, and the tree of it. */
export interface Committed {
  readonly commit: string;
  readonly tree: string;
}

/**
 * What in a work tree is not as it was committed: the paths from its root, in order, of what has been changed, added, or deleted, or is
 * no longer tracked; all but what is ignored. A folder that is a repository of its own ends with a slash.
 *
 * Files whose changes git was told not to look at (`--assume-unchanged`, `--skip-worktree`) are looked at, though a commit would leave
 * such a change out; those that are not there because of that are no change.
 *
 * Nothing of the work tree or the repository is changed by it. Where the branch is at that commit two processes of git are needed.
 *
 * @throws AppError `conflict` with `details.worktree` when the work tree is not there, or no longer that of its repository.
 */
export async function compareWorkTree(
  tree: WorkTree,
  { commit, tree: committed }: Committed,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  await requireLinked(tree);
  const gitDir = gitDirOf(tree);
  const indexFile = path.join(gitDir, 'index');
  const own: Staging = { view: tree.view, gitDir, workTree: tree.path, indexFile, signal };
  const [{ head, names, both, unmerged }, hidden] = await Promise.all([findChanges(own), findHidden(own)]);
  const isPlain = head === commit && !both && unmerged.length === 0 && hidden.length === 0;
  return isPlain ? inOrder(names) : compareAside(tree, committed, signal);
}

/** Makes the tree that a commit would have, where what git says of the files does not tell how they differ from another commit. */
async function compareAside(
  workTree: WorkTree,
  committed: string,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  return stageAside(
    workTree,
    signal,
    async ({ view, env }, { tree, nested }) => {
      if (tree === committed) return inOrder(nested);
      const args = ['diff-tree', '-r', '-z', '--name-only', '--no-renames', '--end-of-options', committed, tree];
      const { stdout } = await view.run({ args, env, signal });
      return inOrder([...namesOf(stdout), ...nested]);
    },
    async (staging) => showHidden(staging, await findHidden(staging)),
  );
}

interface Hidden {
  /** As bytes would have it, decoded as Latin-1. */
  readonly name: string;
  readonly option: '--no-assume-unchanged' | '--no-skip-worktree';
}

/** The files whose changes git was told not to look at; of those that it should take for absent, the ones that are there. */
async function findHidden({ view, workTree, ...on }: Staging): Promise<readonly Hidden[]> {
  const { stdout } = await view.run({ args: ['ls-files', '-v', '-z'], maxOutputBytes, workTree, ...on });
  const hidden: Hidden[] = [];
  for (const line of namesOf(stdout)) {
    const [letter, name] = [line.charAt(0), line.slice(2)];
    if (letter === 'H') continue;
    if (letter !== letter.toUpperCase()) hidden.push({ name, option: '--no-assume-unchanged' });
    if (letter.toUpperCase() === 'S' && (await isThere(workTree, name))) {
      hidden.push({ name, option: '--no-skip-worktree' });
    }
  }
  return hidden;
}

async function showHidden({ view, ...on }: Staging, hidden: readonly Hidden[]): Promise<void> {
  // Git does but one of them at a time.
  for (const option of ['--no-assume-unchanged', '--no-skip-worktree'] as const) {
    const names = hidden.filter((each) => each.option === option).map(({ name }) => `${name}\0`);
    if (names.length === 0) continue;
    const stdin = Buffer.from(names.join(''), 'latin1');
    await view.run({ args: ['update-index', option, '-z', '--stdin'], stdin, ...on });
  }
}

async function isThere(folder: string, name: string): Promise<boolean> {
  return (await lstat(inWorkTree(folder, name)).catch(() => undefined)) !== undefined;
}

const maxOutputBytes = 256 * 1024 * 1024;

function namesOf(stdout: Buffer): string[] {
  return stdout.toString('latin1').split('\0').slice(0, -1);
}

/** From Latin-1, as which they were read, to what they are. */
function inOrder(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort().map((name) => Buffer.from(name, 'latin1').toString());
}
