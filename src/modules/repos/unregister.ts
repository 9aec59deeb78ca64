import { AppError } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Db, Tx } from '../../platform/db/db.js';
import { type Git, inspectRepository, isGone } from '../../platform/git/index.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { Log } from '../../platform/log.js';
import { type Appended, appendEvents, type Origin } from '../events/index.js';
import { type Repo, unknownRepo } from './repos.js';
import { isReferredTo, lockForRemoval, removeRepo } from './store.js';

/** What there is of the tasks of a repository. */
export interface Left {
  /** Of tasks. */
  readonly count: number;
  /** When there are none: the ids of deleted ones whose branches and work trees are still to be cleared away. */
  readonly deleted: readonly string[];
}

/** The tasks of a repository that is to be unregistered. They know of repositories, and not the other way round. */
export interface TasksOfRepo {
  /** Lets none be added, changed or deleted until the transaction ends. To be called before anything is read. */
  lock(tx: Tx, repoId: string): Promise<void>;
  /** To be asked under the lock. */
  left(tx: Tx, repoId: string): Promise<Left>;
  /** Removes the files of deleted ones whose repository is gone. */
  discard(repo: Repo, taskIds: readonly string[]): Promise<void>;
  /** Says that nothing is left of deleted ones. */
  forget(tx: Tx, taskIds: readonly string[]): Promise<void>;
  /** Tries at once to clear away what is left of deleted ones, however often that has failed. */
  clearAway(taskIds: readonly string[]): void;
}

export interface UnregisterDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  readonly git: Git;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
  readonly tasks: TasksOfRepo;
}

export type Unregister = (repo: Repo, origin: Origin, keep: Keep<void> | undefined) => Promise<void>;

/**
 * Forgets a repository that has no tasks. What deleted tasks have left in it is cleared away first; where the repository is gone, there is
 * nothing to be cleared away in it, and what is left outside is removed here. That comes before the rows which tell of it go: nobody
 * wants the files of a deleted task, and whoever dies in between leaves what the next call finishes.
 */
export function createUnregister({ db, clock, log, git, appended, tasks }: UnregisterDeps): Unregister {
  /** Forgets it, unless more of deleted tasks is left than was discarded: then answers which, and has changed nothing. */
  async function forget(
    tx: Tx,
    { id, path, name }: Repo,
    discarded: ReadonlySet<string>,
    origin: Origin,
    keep: Keep<void> | undefined,
  ): Promise<readonly string[]> {
    await tasks.lock(tx, id);
    if (!(await lockForRemoval(tx, id))) throw unknownRepo(id);
    const { count, deleted } = await tasks.left(tx, id);
    if (count > 0) throw hasTasks(id, count);
    const more = deleted.filter((taskId) => !discarded.has(taskId));
    if (more.length > 0) return more;
    await tasks.forget(tx, deleted);
    await removeRepo(tx, id);
    await appendEvents(tx, origin, clock.now(), [{ type: 'RepoUnregistered', repoId: id, payload: { path, name } }]);
    await keep?.(tx, undefined);
    tx.afterCommit(() => {
      log.info('repo_unregistered', { corr_id: origin.correlationId, repo_id: id });
      appended('RepoUnregistered', 1);
    });
    return [];
  }

  return async (repo, origin, keep) => {
    const attempt = (discarded: ReadonlySet<string>): Promise<readonly string[]> =>
      unlessReferredTo(repo, () => db.transaction((tx) => forget(tx, repo, discarded, origin, keep)));
    const left = await attempt(new Set());
    if (left.length === 0) return;
    if (!(await isGone(repo.path))) throw await whyNotYet(repo, left);
    await tasks.discard(repo, left);
    // Somebody may have put it back, and deleted another task.
    if ((await attempt(new Set(left))).length > 0) throw beingCleared(repo);
  };

  async function whyNotYet(repo: Repo, left: readonly string[]): Promise<AppError> {
    const found = await inspectRepository(git, repo.path);
    if (found.kind === 'refused') return notCleared(repo, found.why);
    tasks.clearAway(left);
    return beingCleared(repo);
  }
}

async function unlessReferredTo<T>({ id }: Repo, remove: () => Promise<T>): Promise<T> {
  try {
    return await remove();
  } catch (error) {
    if (!isReferredTo(error)) throw error;
    throw new AppError('conflict', `${id} is still in use; delete first what belongs to it.`, {
      details: { id },
      cause: error,
    });
  }
}

function hasTasks(id: string, count: number): AppError {
  const some = count === 1 ? 'a task; delete it first' : `${count} tasks; delete them first`;
  return new AppError('conflict', `${id} still has ${some}.`, { details: { id, used_by: 'tasks', count } });
}

function beingCleared({ id }: Repo): AppError {
  return new AppError('conflict', `Work trees of deleted tasks of ${id} are just being cleared away; try again.`, {
    details: { id, used_by: 'work_trees' },
  });
}

/** What is in the way there is for people to see to. */
function notCleared({ id, path }: Repo, why: string): AppError {
  return new AppError(
    'conflict',
    `Work trees of deleted tasks of ${id} cannot be cleared away: the repository ${path} ${why}.`,
    { details: { id, used_by: 'work_trees', path } },
  );
}
