import { AppError, invalidField } from '../../errors.js';
import { isObjectId, isRefName, type Person, type WorkTree } from '../../platform/git/index.js';
import { isId } from '../../platform/ids.js';
import { checkText } from '../../platform/text.js';

/** The repository that a task is done in, as far as git has to do with it. */
export interface TaskRepo {
  readonly id: string;
  readonly path: string;
  readonly defaultBranch: string;
}

/** Which task's branch and work tree. */
export interface TaskRef {
  readonly repo: TaskRepo;
  readonly taskId: string;
  /** What `Vcs.foresee` has seen of it. */
  readonly tree?: Promise<WorkTree> | undefined;
}

/** What a task's work is done in. */
export interface Prepared {
  /** `task/<id>`. */
  readonly branch: string;
  readonly baseCommit: string;
  /** The base, until something is committed. */
  readonly headCommit: string;
  readonly worktreePath: string;
}

/** What a task was submitted with. */
export interface Submitted {
  readonly headCommit: string;
  readonly headTree: string;
}

/** The branch of a task, without `refs/heads/`. */
export function branchOf(taskId: string): string {
  return `task/${taskId}`;
}

export function branchRef(taskId: string): string {
  return `refs/heads/${branchOf(taskId)}`;
}

/** What keeps the last commit of an archived task from being collected as garbage. */
export function archiveRef(taskId: string): string {
  return `refs/muster/archive/${taskId}`;
}

/** What keeps a commit that was submitted: reviews tell of it for as long as they are there. */
export function submittedRef(commit: string): string {
  return `refs/muster/submitted/${commit}`;
}

/** Below `.git`: what tasks write into besides what all of git does. */
export const writtenPlaces = [
  'refs/heads/task',
  'refs/muster',
  'refs/muster/archive',
  'refs/muster/submitted',
  'logs/refs/heads/task',
  'logs/refs/muster',
  'logs/refs/muster/archive',
  'logs/refs/muster/submitted',
];

/** Its id becomes a part of paths and of names of branches. */
export function checkTaskId(taskId: string): void {
  if (!['ms', 'task', 'sub'].some((prefix) => isId(prefix, taskId))) throw new Error('no id of a task');
}

/** What a task begins at, when it is asked for: a commit, a branch or a tag. Throws `invalid_request` naming the field. */
export function checkBase(base: string): void {
  if (isObjectId(base) || isRefName(base)) return;
  throw invalidField('base', 'must be the name of a branch, a tag or a commit');
}

export function unknownBase(base: string): AppError {
  return invalidField('base', `there is no branch, tag or commit '${base.slice(0, 200)}' in the repository`);
}

/** Nobody has asked for what the repository has lost. */
export function lostBase(taskId: string, commit: string): AppError {
  const message = `The repository no longer has the commit ${commit}, at which ${taskId} is to begin.`;
  return new AppError('conflict', message, { details: { base_commit: commit } });
}

/** Nothing can begin where there is no commit: none yet on the branch that is checked out, or the default branch is gone. */
export function noCommitYet({ path, defaultBranch }: TaskRepo, headBranch: string | undefined): AppError {
  const message =
    defaultBranch === headBranch
      ? `The branch '${defaultBranch}' of the repository ${path} has no commit yet, so that no task can begin; make one first.`
      : `The repository ${path} has no branch '${defaultBranch}', at which tasks begin; set its default_branch to another one.`;
  return new AppError('conflict', message, { details: { path, default_branch: defaultBranch } });
}

export function nothingToSubmit(branch: string): AppError {
  return new AppError('nothing_to_submit', `Nothing has been changed on ${branch} since it began.`, {
    details: { branch },
  });
}

const maxMessage = 65_536;

/** Throws `invalid_request` naming the field. */
export function checkMessage(message: string): string {
  checkText('message', message);
  if (message.trim() === '') throw invalidField('message', 'must say something');
  if (Buffer.byteLength(message) > maxMessage) throw invalidField('message', `must have at most ${maxMessage} bytes`);
  return message;
}

/** Git leaves these out of names, and refuses what is nothing but them. */
const crud = /^[\s.,:;<>"\\']*$/;
// oxlint-disable-next-line no-control-regex -- those are what is looked for
const unfit = /[\u0000-\u001f\u007f<>]/;

/** Throws `invalid_request` naming the field, which is `author` or `committer`. */
export function checkPerson(field: string, { name, email }: Person): Person {
  if (crud.test(name) || unfit.test(name) || name.length > 200)
    throw invalidField(`${field}.name`, 'is no name of a person');
  if (crud.test(email) || unfit.test(email) || /\s/.test(email) || email.length > 200) {
    throw invalidField(`${field}.email`, 'is no address');
  }
  return { name, email };
}

/** Whether the branch, the work tree or what git knows of it is not there. */
export function isBroken(error: unknown): error is AppError {
  return error instanceof AppError && (error.details?.['worktree'] ?? error.details?.['gone']) !== undefined;
}

/** Says what can be done about that. */
export function withAdvice(error: unknown): unknown {
  if (!isBroken(error)) return error;
  const message = `${error.message} Set the task to Pending and start it: what is missing is made again, and the rest left as it is.`;
  return new AppError(error.kind, message, { details: { ...error.details }, cause: error });
}
