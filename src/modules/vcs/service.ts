import { lstat } from 'node:fs/promises';
import { AppError } from '../../errors.js';
import { ignoreMissing, sayFileError } from '../../platform/files/file-errors.js';
import {
  type Commit,
  commitAll,
  type CommitInput,
  createViews,
  type Diff,
  diffCommits,
  diffWorkTree,
  type Git,
  isObjectId,
  keepSubmodules,
  makeWorkTree,
  type Person,
  readHeadBranch,
  readRef,
  removeWorkTree,
  type WorkTree,
} from '../../platform/git/index.js';
import {
  countLines,
  createBranch,
  defaultHead,
  isAncestor,
  keepDetached,
  keepSubmitted,
  resolveCommit,
  retireBranch,
  treeOf,
} from './branches.js';
import { createVcsHome } from './home.js';
import {
  type CompareInput,
  compareWork,
  type Comparison,
  type DefaultFile,
  readDefault,
  type ReadDefaultInput,
} from './reads.js';
import {
  branchOf,
  branchRef,
  checkBase,
  checkMessage,
  checkPerson,
  checkTaskId,
  isBroken,
  lostBase,
  noCommitYet,
  nothingToSubmit,
  type Prepared,
  type Submitted,
  type TaskRef,
  unknownBase,
  withAdvice,
  writtenPlaces,
} from './vcs.js';

export interface VcsDeps {
  readonly git: Git;
  readonly dataDir: string;
}

export interface PrepareInput extends TaskRef {
  /** A commit, a branch or a tag; default: the head of the repository's default branch. */
  readonly base?: string | undefined;
  /** The commit at which the base was last known to be: where the task begins when that is gone. */
  readonly lastSeen?: string | undefined;
  /** Where the branch was last known to be: where it is made again when it is gone. Default: the base. */
  readonly lastHead?: string | undefined;
  /**
   * Nobody has been told of a work tree of this task yet. Then what an attempt has left that died is done away with when it began
   * elsewhere; its commits, if any, stay reachable. For a caller who alone may start the task.
   */
  readonly fresh?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CommitWorkInput extends TaskRef {
  /** Where the task began. */
  readonly baseCommit: string;
  /** Where the branch was last known to be: where it is made again when it is gone. Default: the base. */
  readonly lastHead?: string | undefined;
  readonly message: string;
  readonly author: Person;
  readonly committer: Person;
  /**
   * Called while git looks at the files, and again when it has to look again. Nothing is committed before it has resolved, nor when it
   * rejects, which is then why this does.
   */
  readonly ready?: (() => Promise<unknown>) | undefined;
  /** Else `nothing_to_submit` when the branch is still where it began. */
  readonly allowEmpty?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DiffInput extends TaskRef {
  readonly baseCommit: string;
  /** Undefined: what is in the work tree, committed or not. */
  readonly headCommit: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface LinesInput extends Pick<TaskRef, 'repo'> {
  readonly commit: string;
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}

/** What was committed. */
export interface CommittedWork extends Pick<Submitted, 'headCommit'> {
  readonly headTree: Promise<string>;
  /**
   * Resolves when the commit is kept for good, whatever becomes of the branch, and others may use git in the work tree. Whoever tells
   * others of it waits for that.
   */
  readonly kept: Promise<void>;
}

/**
 * Branches and work trees of tasks. It knows no state but git's: every one of these can be repeated after a death at any point,
 * and be called by several servers at a time, and comes to the same.
 */
export interface Vcs {
  /** Looks at a task's repository already, for a call that is about to come; to be asked with what is answered. Never rejects. */
  foresee(task: TaskRef): TaskRef;
  /**
   * Makes branch and work tree, or what is missing of them. `invalid_request` naming `base` when there is no such commit, `conflict`
   * when the default branch has none yet or is gone, when the repository lacks `lastSeen` as well or cannot be used any more, or when the
   * branch has begun elsewhere.
   */
  prepare(input: PrepareInput): Promise<Prepared>;
  /**
   * Commits all that is in the work tree, and answers the branch's head. `nothing_to_submit` when that is still the base;
   * `conflict` when the work tree is gone, is on another branch, is in conflict with itself after a merge, or has a repository of its own
   * in it. Where its files are there, but the branch or what git knows of the work tree is gone, that is made again.
   */
  commit(input: CommitWorkInput): Promise<CommittedWork>;
  diff(input: DiffInput): Promise<Diff>;
  /**
   * How the work tree, as a submit would commit it now, differs from what was submitted. Nothing is changed by it. `conflict` with
   * `details.worktree` when the work tree is gone, or is no longer one of the repository.
   */
  compare(input: CompareInput): Promise<Comparison>;
  /**
   * A file's text on the tip of the repository's default branch; undefined when that has no commit yet, or is gone. `conflict` naming file
   * and commit when it is no plain file, too large or no UTF-8.
   */
  readDefault(input: ReadDefaultInput): Promise<DefaultFile | undefined>;
  /** How many lines a file of a commit has; 0 where there is no such file. */
  lines(input: LinesInput): Promise<number>;
  /** Removes work tree and branch, and keeps what was committed. Answers the branch's last head; undefined when there was none. */
  archive(task: TaskRef): Promise<{ readonly headCommit: string | undefined }>;
  /** Removes the files of the work tree and nothing else: for a task whose repository is gone, with all that git had of it. */
  discard(task: TaskRef): Promise<void>;
  /** Where the branch is; undefined when there is none. */
  head(task: TaskRef): Promise<string | undefined>;
  /** The same with its tree; that commit is kept for good, as one that was committed. */
  adopt(task: TaskRef): Promise<Submitted | undefined>;
  /** Where the work tree is, or would be. */
  worktree(task: TaskRef): Promise<string>;
}

export function createVcs({ git, dataDir }: VcsDeps): Vcs {
  const home = createVcsHome(dataDir);
  const views = createViews({ git, home: home.views, written: writtenPlaces });

  async function open({ repo, taskId, tree }: TaskRef): Promise<WorkTree> {
    if (tree !== undefined) return tree;
    checkTaskId(taskId);
    const opening = Promise.all([views.open(repo.path), home.worktree(repo.id, taskId)]);
    const [view, folder] = await opening.catch((error: unknown) => {
      throw sayFileError(error);
    });
    return { view, name: taskId, path: folder, branch: branchRef(taskId) };
  }

  async function archive(task: TaskRef): Promise<{ readonly headCommit: string | undefined }> {
    const tree = await open(task);
    // First what cannot be made again: the commits are kept before anything goes.
    const headCommit = await retireBranch(tree.view, task.taskId);
    await Promise.all([keepDetached(tree), keepSubmodules(tree)]);
    await removeWorkTree(tree);
    return { headCommit };
  }

  /** Makes sure that a branch that there is may be that of the task; answers where it is then. */
  async function adoptBranch(
    { view, ...tree }: WorkTree,
    input: PrepareInput,
    base: string,
    at: string,
  ): Promise<string> {
    if (at === base) return at;
    if (input.fresh === true) {
      await archive({ repo: input.repo, taskId: input.taskId });
      return createBranch(view, tree.branch, base);
    }
    if (await isAncestor(view, base, at)) return at;
    throw new AppError('conflict', `${branchOf(input.taskId)} is at ${at}, which does not come from ${base}.`, {
      details: { branch: branchOf(input.taskId), head: at, base },
    });
  }

  /** Makes branch and work tree. Answers where the branch is: elsewhere, and nothing is made, when another process has made it there. */
  async function makeBoth(tree: WorkTree, base: string, signal: AbortSignal | undefined): Promise<string> {
    const creating = createBranch(tree.view, tree.branch, base);
    // What the work tree is built of is made while git makes the branch.
    const branched = creating.then((at) => {
      if (at !== base) throw new Error('the branch is elsewhere');
    });
    branched.catch(() => undefined);
    try {
      await makeWorkTree(tree, { branched, signal });
    } catch (error) {
      // A branch that is still being made would else come to be when all has been undone.
      if ((await creating) === base) throw error;
    }
    return creating;
  }

  return {
    foresee(task) {
      const tree = open(task);
      // The call that is about to come is told.
      tree.catch(() => undefined);
      return { ...task, tree };
    },
    async prepare(input) {
      const tree = await open(input);
      const [baseCommit, known] = await Promise.all([
        baseOf(tree, input),
        readRef(tree.view.repository.gitDir, tree.branch),
      ]);
      const wanted = known === undefined ? await headFor(tree, input.lastHead, baseCommit) : baseCommit;
      const made = known === undefined ? await makeBoth(tree, wanted, input.signal) : known;
      const headCommit = await adoptBranch(tree, input, baseCommit, made);
      if (known !== undefined || made !== wanted) await makeWorkTree(tree, { signal: input.signal });
      return { branch: branchOf(input.taskId), baseCommit, headCommit, worktreePath: tree.path };
    },
    async commit({ baseCommit, lastHead, allowEmpty, ready, signal, ...input }) {
      const tree = await open(input);
      const { head: headCommit, released } = await commitMended(tree, lastHead ?? baseCommit, {
        message: checkMessage(input.message),
        author: checkPerson('author', input.author),
        committer: checkPerson('committer', input.committer),
        ready,
        signal,
      });
      if (headCommit === baseCommit && allowEmpty !== true) {
        await released;
        throw nothingToSubmit(branchOf(input.taskId));
      }
      const headTree = treeOf(tree.view, headCommit);
      const kept = Promise.all([keepSubmitted(tree.view, headCommit), released]).then(() => undefined);
      // Whoever waits for them is told.
      for (const each of [headTree, kept]) each.catch(() => undefined);
      return { headCommit, headTree, kept };
    },
    async diff({ baseCommit, headCommit, signal, ...task }) {
      const tree = await open(task);
      if (headCommit === undefined) {
        return diffWorkTree(tree, baseCommit, signal).catch((error: unknown) => {
          throw withAdvice(sayFileError(error));
        });
      }
      return diffCommits(tree.view, baseCommit, headCommit, signal);
    },
    compare: async (input) => compareWork(await open(input), input),
    readDefault: async (input) => readDefault(await views.open(input.repo.path), input),
    async lines({ repo, commit, path, signal }) {
      return countLines(await views.open(repo.path), commit, path, signal);
    },
    archive,
    async discard({ repo, taskId }) {
      checkTaskId(taskId);
      await home.discard(repo.id, taskId);
    },
    async head(task) {
      const { view, branch: ref } = await open(task);
      return readRef(view.repository.gitDir, ref);
    },
    async adopt(task) {
      const { view, branch: ref } = await open(task);
      const headCommit = await readRef(view.repository.gitDir, ref);
      if (headCommit === undefined) return undefined;
      const [headTree] = await Promise.all([treeOf(view, headCommit), keepSubmitted(view, headCommit)]);
      return { headCommit, headTree };
    },
    worktree: ({ repo, taskId }) => home.worktree(repo.id, taskId),
  };
}

/** Commits; what is missing of branch and work tree, but for the files, is made again when that is why it could not. */
async function commitMended(tree: WorkTree, lastHead: string, input: CommitInput): Promise<Commit> {
  try {
    return await commitAll(tree, input);
  } catch (error) {
    if (!isBroken(error) || !(await mend(tree, lastHead, input.signal))) throw withAdvice(sayFileError(error));
    return commitAll(tree, input);
  }
}

/** Answers whether it could: without the files there is nothing to go on from. */
async function mend(tree: WorkTree, lastHead: string, signal: AbortSignal | undefined): Promise<boolean> {
  const { view, branch, path: folder } = tree;
  const files = await lstat(folder).catch(ignoreMissing);
  if (files?.isDirectory() !== true) return false;
  if ((await readRef(view.repository.gitDir, branch)) === undefined) {
    if ((await resolveCommit(view, lastHead)) === undefined) return false;
    await createBranch(view, branch, lastHead);
  }
  await makeWorkTree(tree, { signal });
  return true;
}

/** Where a branch is made that has been made before. */
async function headFor({ view }: WorkTree, lastHead: string | undefined, base: string): Promise<string> {
  if (lastHead === undefined || lastHead === base) return base;
  return (await resolveCommit(view, lastHead)) ?? base;
}

/** Which commit a task begins at. */
async function baseOf({ view }: WorkTree, { repo, taskId, base: asked, lastSeen }: PrepareInput): Promise<string> {
  if (asked === undefined) {
    const head = await defaultHead(view, repo);
    if (head === undefined) throw noCommitYet(repo, await readHeadBranch(view.repository.gitDir));
    return head;
  }
  checkBase(asked);
  const branch = isObjectId(asked) ? undefined : await readRef(view.repository.gitDir, `refs/heads/${asked}`);
  const commit = branch ?? (await resolveCommit(view, asked));
  if (commit !== undefined) return commit;
  if (lastSeen === undefined) throw unknownBase(asked);
  const last = await resolveCommit(view, lastSeen);
  if (last === undefined) throw lostBase(taskId, lastSeen);
  return last;
}
