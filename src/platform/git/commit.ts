import { lstat, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../../errors.js';
import { type Changes, findChanges, stage, type Staging, type Unmerged } from './changes.js';
import { ignoreMissing, isMissing, sayFileError } from '../files/file-errors.js';
import { changeAged, forkIndex, indexOfOurs, withAgedCopy } from './index-file.js';
import { lockIndex } from './index-lock.js';
import { letGo, passingName } from '../files/leftovers.js';
import { inWorkTree, readPlainFile } from './plain-file.js';
import { readRef } from './refs.js';
import { sweepLeftovers } from '../files/remove-tree.js';
import { GitFailure } from './run.js';
import { removeStaleLocks } from './stale-lock.js';
import { gitDirOf, requireFolder, requireLinked, type WorkTree } from './work-tree.js';

export interface Person {
  readonly name: string;
  readonly email: string;
}

export interface CommitInput {
  readonly message: string;
  readonly author: Person;
  readonly committer: Person;
  /**
   * Called while git looks at the files, and again when it has to look again. Nothing is committed before it has resolved, nor when it
   * rejects, which is then why this does.
   */
  readonly ready?: (() => Promise<unknown>) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Commit {
  /** Where the branch is now: where it was, when there was nothing to commit. */
  readonly head: string;
  /** Resolves when the index is as the files are, and no longer locked. */
  readonly released: Promise<void>;
}

/**
 * Commits all that is in a work tree, whatever its user has staged. The user's own index is as the files are afterwards. Meanwhile it is
 * locked, so that commands of the user's wait or fail; commits that they have made before are kept.
 *
 * Can be repeated after a death at any point: either nothing is committed yet, or there is nothing left to commit.
 *
 * @throws AppError `conflict` when another branch is checked out, a folder in it is a repository of its own, or a file in it must not be committed
 *   without a filter.
 */
export async function commitAll(tree: WorkTree, input: CommitInput): Promise<Commit> {
  const index = path.join(gitDirOf(tree), 'index');
  const unlock = await lockIndexOf(tree, index, input.signal);
  try {
    const { head, put } = await commitInTurn(tree, index, input);
    const released = put.finally(unlock);
    // Whoever waits for it is told.
    released.catch(() => undefined);
    return { head, released };
  } catch (error) {
    await unlock();
    throw error;
  }
}

async function lockIndexOf(tree: WorkTree, index: string, signal?: AbortSignal): Promise<() => Promise<void>> {
  try {
    return await lockIndex(index, signal);
  } catch (error) {
    if (isMissing(error)) await requireLinked(tree);
    throw error;
  }
}

/** A commit whose index is still on its way to its place. */
interface Made {
  readonly head: string;
  readonly put: Promise<void>;
}

async function commitInTurn(tree: WorkTree, index: string, input: CommitInput): Promise<Made> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await commitLocked(tree, index, input);
    } catch (error) {
      // The branch has been moved meanwhile, as by a git of a process that has died before it.
      const isMoved = error instanceof GitFailure && /cannot lock ref/.test(error.stderr);
      if (!isMoved || tries === maxTries) throw sayFileError(error);
    }
  }
}

const maxTries = 5;

async function commitLocked(tree: WorkTree, index: string, input: CommitInput): Promise<Made> {
  const gitDir = gitDirOf(tree);
  const place = path.join(gitDir, indexOfOurs);
  const indexFile = passingName(place, 'to');
  const staging: Staging = { view: tree.view, gitDir, workTree: tree.path, indexFile, signal: input.signal };
  try {
    // What git knows of it is there, since that is where the lock is.
    await allEnded(requireFolder(tree.path), startFrom(index, staging));
    const looking = findChanges(staging);
    const ready = input.ready?.();
    ready?.catch(() => undefined);
    const locked = [path.join(gitDir, 'HEAD'), path.join(tree.view.repository.gitDir, tree.branch)];
    const sweeping = allEnded(sweepLeftovers(place), removeStaleLocks(...locked));
    const [, changes] = await allEnded(requireBranch(tree, gitDir), looking, sweeping);
    requireNoneNested(changes);
    await requireResolved(tree.path, changes);
    requireFiltered(changes);
    const { asStaged } = changes;
    if (asStaged) await changeAged(indexFile, (copy) => stage({ ...staging, indexFile: copy }, changes));
    else await stage(staging, changes);
    const isDifferent = await differs(staging, changes);
    await ready;
    if (isDifferent && asStaged)
      await withAgedCopy(indexFile, (copy) => runCommit({ ...staging, indexFile: copy }, input));
    else if (isDifferent) await runCommit(staging, input);
    const head = await branchHead(tree);
    if (head === undefined) throw new Error(`${tree.branch} is gone`);
    return { head, put: putInPlace(indexFile, index) };
  } catch (error) {
    await Promise.all([indexFile, `${indexFile}.lock`].map((file) => rm(file, { force: true })));
    letGo(indexFile);
    throw error;
  }
}

async function putInPlace(made: string, index: string): Promise<void> {
  try {
    await rename(made, index);
  } finally {
    // Where it is the same file still, under a second name, both names stay.
    await rm(made, { force: true });
    letGo(made);
  }
}

/** Waits for the end of all, also where one fails: the first of those that do is why this does. */
async function allEnded<T extends readonly unknown[]>(...all: { readonly [K in keyof T]: Promise<T[K]> }): Promise<T> {
  await Promise.allSettled(all);
  return (await Promise.all(all)) as unknown as T;
}

async function runCommit({ view, ...on }: Staging, { message, author, committer }: CommitInput): Promise<void> {
  // `--allow-empty` since git would else look at the work tree once more, submodules included.
  const how = ['--quiet', '--allow-empty', '--no-verify', '--no-gpg-sign', '--cleanup=whitespace', '--file=-'];
  await view.run({ args: ['commit', ...how], stdin: message, env: identityOf(author, committer), ...on });
}

function branchHead({ view, branch }: WorkTree): Promise<string | undefined> {
  return readRef(view.repository.gitDir, branch);
}

async function requireBranch(tree: WorkTree, gitDir: string): Promise<void> {
  const { branch, path: folder } = tree;
  const [file, at] = await Promise.all([readPlainFile(path.join(gitDir, 'HEAD')), branchHead(tree)]);
  const head = file?.toString().trim() ?? '';
  if (head === `ref: ${branch}`) {
    // One that stands for another would have that one moved.
    if (at !== undefined) return;
    throw new AppError('conflict', `${branch} is gone, or stands for another branch.`, { details: { gone: branch } });
  }
  const own = branch.replace(/^refs\/heads\//, '');
  const elsewhere = head.startsWith('ref: ')
    ? head.slice(5).replace(/^refs\/heads\//, '')
    : `a detached HEAD (${head.slice(0, 12)})`;
  throw new AppError(
    'conflict',
    `The work tree ${folder} is on ${elsewhere}; bring it back to ${own}, which is what is submitted.`,
    {
      details: { branch: own },
    },
  );
}

/** The work tree's own index, or what it would be when it has none. */
export async function startFrom(index: string, { view, indexFile, ...on }: Staging): Promise<void> {
  try {
    await forkIndex(index, indexFile);
  } catch (error) {
    if (!isMissing(error)) throw error;
    await view.run({ args: ['read-tree', 'HEAD'], indexFile, ...on });
  }
}

function requireNoneNested({ nested }: Changes): void {
  if (nested.length === 0) return;
  const { first, all } = namesOf(nested);
  throw new AppError(
    'conflict',
    `${first} is a repository of its own, whose files cannot be committed here; remove its .git, or have it ignored.`,
    { details: { nested: all } },
  );
}

/** Throws where a merge, or the like, has left what nobody has resolved. */
async function requireResolved(workTree: string, { unmerged }: Changes): Promise<void> {
  const resolved = await Promise.all(unmerged.map((each) => isResolved(workTree, each)));
  const left = unmerged.filter((_each, index) => resolved[index] !== true).map(({ name }) => name);
  if (left.length === 0) return;
  const { named, them, all } = namesOf(left);
  throw new AppError(
    'conflict',
    `A merge has left ${named} in conflict; resolve ${them} in the work tree (and say so by git add or git rm), and submit again.`,
    { details: { unmerged: all } },
  );
}

/** Whether people have, though they have not told git. Where one side has removed a file only that can tell, or that it is gone. */
async function isResolved(workTree: string, { name, how }: Unmerged): Promise<boolean> {
  const file = inWorkTree(workTree, name);
  const [info, content] = await Promise.all([lstat(file).catch(ignoreMissing), readPlainFile(file)]);
  if (info === undefined) return true;
  const areBothThere = how === 'UU' || how === 'AA';
  // Of what is no text git leaves one version, without a mark.
  if (!areBothThere || content === undefined || content.includes(0)) return false;
  const text = content.toString('latin1');
  return !(/^<{7} /m.test(text) && /^>{7} /m.test(text));
}

/**
 * Filters without which a file must not be committed: its text would be no longer secret (git-crypt, and `crypt` of transcrypt), or it would be in
 * the repository for good, whatever its size (Git LFS). Without any other one a commit is as good as where that is not installed.
 */
const needed: ReadonlySet<string> = new Set(['lfs', 'git-crypt', 'crypt']);

function requireFiltered({ filtered }: Changes): void {
  const left = filtered.filter(({ filter }) => needed.has(filter));
  const [one] = left;
  if (one === undefined) return;
  const { named, them, all } = namesOf(left.map(({ name }) => name));
  throw new AppError(
    'conflict',
    `${named} would be committed without the filter '${one.filter}', which Muster does not run; stage ${them} in the work tree (git add), and submit again.`,
    { details: { filter: one.filter, filtered: all } },
  );
}

/** How to speak of files; of many the first twenty are told. */
function namesOf(names: readonly string[]) {
  const all = names.slice(0, maxNamed).map((name) => Buffer.from(name, 'latin1').toString());
  const [first = ''] = all;
  const others = names.length - 1;
  return {
    first,
    named: others === 0 ? first : `${first} and ${others} more`,
    them: others === 0 ? 'it' : 'them',
    all,
  };
}

const maxNamed = 20;

async function differs({ view, ...on }: Staging, { staged, both, changed, deleted }: Changes): Promise<boolean> {
  if (!both) return staged || changed.length + deleted.length > 0;
  const { stdout } = await view.run({ args: ['diff-index', '--cached', '--raw', '--no-renames', 'HEAD'], ...on });
  return stdout.length > 0;
}

function identityOf(author: Person, committer: Person): Readonly<Record<string, string>> {
  return {
    GIT_AUTHOR_NAME: author.name,
    GIT_AUTHOR_EMAIL: author.email,
    GIT_COMMITTER_NAME: committer.name,
    GIT_COMMITTER_EMAIL: committer.email,
  };
}
