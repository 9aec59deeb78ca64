import path from 'node:path';
import { AppError } from '../../errors.js';
import {
  gitDirOf,
  GitFailure,
  keepRef,
  readLooseTree,
  readRef,
  removeStaleLocks,
  type View,
  type WorkTree,
} from '../../platform/git/index.js';
import { archiveRef, branchRef, submittedRef, type TaskRepo } from './vcs.js';

/** References of tasks. They move by comparison and exchange only. */

/** What a tag, a commit or the like stands for; undefined when it is none. */
export async function resolveCommit(view: View, name: string): Promise<string | undefined> {
  try {
    const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`];
    return (await view.run({ args })).stdout.toString().trim();
  } catch (error) {
    if (error instanceof GitFailure && error.exitCode === 1) return undefined;
    throw error;
  }
}

/** Where the default branch is; undefined when it has no commit yet, or is gone. */
export async function defaultHead(view: View, { defaultBranch }: TaskRepo): Promise<string | undefined> {
  const ref = `refs/heads/${defaultBranch}`;
  // A branch may stand for another, which only git knows how to follow.
  return (await readRef(view.repository.gitDir, ref)) ?? resolveCommit(view, ref);
}

/** Makes a branch, and answers where it is: where another process has made it meanwhile, if one has. */
export async function createBranch(view: View, ref: string, commit: string): Promise<string> {
  try {
    await update(view, [['create', ref, commit]]);
    return commit;
  } catch (error) {
    const at = await readRef(view.repository.gitDir, ref);
    if (at !== undefined) return at;
    throw whyNoBranch(error, ref);
  }
}

function whyNoBranch(error: unknown, ref: string): unknown {
  if (!(error instanceof GitFailure)) return error;
  const [, blocking] = /'([^']+)' exists; cannot create/.exec(error.stderr) ?? [];
  const isThere = /reference already exists/.test(error.stderr);
  if (blocking === undefined && !isThere) return error;
  const branch = (blocking ?? ref).replace(/^refs\/heads\//, '');
  const message =
    blocking === undefined
      ? `The repository has a '${branch}' that is no branch of its own; remove it.`
      : `The repository has a branch '${branch}', beside which there can be no ${ref}; rename it.`;
  return new AppError('conflict', message, { details: { branch }, cause: error });
}

/**
 * Takes a task's branch away and puts a reference in its place that people do not see, both in one step. Answers what it
 * points to, also when that has been done before; undefined when there was no branch.
 */
export async function retireBranch(view: View, taskId: string): Promise<string | undefined> {
  const { gitDir } = view.repository;
  const [branch, archive] = [branchRef(taskId), archiveRef(taskId)];
  for (let tries = 1; ; tries += 1) {
    const [head, kept] = await Promise.all([readRef(gitDir, branch), readRef(gitDir, archive)]);
    if (head === undefined) return kept;
    try {
      await update(view, [
        kept === undefined ? ['create', archive, head] : ['update', archive, head, kept],
        ['delete', branch, head],
      ]);
      return head;
    } catch (error) {
      // It has been moved meanwhile, or another server does the same.
      if (!(error instanceof GitFailure) || tries === maxTries) throw error;
    }
  }
}

const maxTries = 5;

/** Keeps a commit from being collected as garbage, wherever its branch goes. */
export function keepSubmitted(view: View, commit: string): Promise<void> {
  return keepRef(view.repository.gitDir, submittedRef(commit), commit);
}

/** Keeps what somebody has committed in a work tree while no branch was checked out there, as in a rebase that has not ended. */
export async function keepDetached(tree: WorkTree): Promise<void> {
  const head = await readRef(gitDirOf(tree), 'HEAD');
  const commit = head === undefined ? undefined : await resolveCommit(tree.view, head);
  if (commit !== undefined) await keepSubmitted(tree.view, commit);
}

export async function treeOf(view: View, commit: string): Promise<string> {
  const loose = await readLooseTree(view.repository.gitDir, commit);
  if (loose !== undefined) return loose;
  const args = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{tree}`];
  return (await view.run({ args })).stdout.toString().trim();
}

/** How many lines a file of a commit has; 0 where there is no such file. */
export async function countLines(view: View, commit: string, path: string, signal?: AbortSignal): Promise<number> {
  const args = ['--literal-pathspecs', 'grep', '--no-textconv', '-a', '-h', '-c', '-e', '', commit, '--', path];
  try {
    return Number((await view.run({ args, signal })).stdout.toString().trim());
  } catch (error) {
    if (error instanceof GitFailure && error.exitCode === 1) return 0;
    throw error;
  }
}

export async function isAncestor(view: View, ancestor: string, commit: string): Promise<boolean> {
  try {
    await view.run({ args: ['merge-base', '--is-ancestor', '--end-of-options', ancestor, commit] });
    return true;
  } catch (error) {
    if (error instanceof GitFailure && error.exitCode === 1) return false;
    throw error;
  }
}

type Command = readonly [verb: string, ref: string, ...values: string[]];

async function update(view: View, commands: readonly Command[]): Promise<void> {
  await removeStaleLocks(...commands.map(([, ref]) => path.join(view.repository.gitDir, ref)));
  const stdin = commands
    .map(([verb, ref, ...values]) => `${verb} ${ref}\0${values.map((value) => `${value}\0`).join('')}`)
    .join('');
  await view.run({ args: ['update-ref', '--no-deref', '--stdin', '-z'], stdin, env: identity });
}

/** Who moves references, in their logs. */
const identity = {
  GIT_COMMITTER_NAME: 'Muster',
  GIT_COMMITTER_EMAIL: 'muster@localhost',
};
