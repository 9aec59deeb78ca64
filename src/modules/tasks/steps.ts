import { AppError } from '../../errors.js';
import type { Tx } from '../../platform/db/db.js';
import type { Change, Origin } from '../events/index.js';
import { getRepo } from '../repos/index.js';
import { branchOf, type TaskRef, type Vcs } from '../vcs/index.js';
import { type ChangerDeps, lockTask } from './changer.js';
import { createHolds, type Holds } from './holds.js';
import { lockGraphs, type Node } from './store.js';
import {
  findVcsRows,
  type Hold,
  holdReady,
  insertHeld,
  insertRest,
  setStarting,
  settleArchived,
  settleBack,
  settleGone,
  type VcsRow,
} from './store-vcs.js';

export interface StepsDeps extends ChangerDeps {
  readonly vcs: Pick<Vcs, 'archive' | 'foresee'>;
  readonly pollMs: number;
}

/** A task, and what is known of it in git. */
export interface Seen {
  readonly node: Node;
  readonly row: VcsRow | undefined;
}

/** One in hands, for which git is to do something; as it was before. */
export interface Held extends Seen {
  readonly ref: TaskRef;
  /** The same, with the repository already being looked at, for what git is to do next. */
  readonly foreseen: TaskRef;
  readonly hold: Hold;
}

/** What every step that takes git is made of, and how one is healed that somebody has died over. */
export interface Steps {
  /** Takes a task, whose repository is locked, into our hands for a step. Rejects with `conflict` when others have it in theirs. */
  take(tx: Tx, seen: Seen, state: 'preparing' | 'committing' | 'archiving'): Promise<Held>;
  /** Has git do something, and writes down what has come of it; when either fails, all is as it was before. */
  carryOut<T, R>(
    held: Held,
    git: (signal: AbortSignal) => Promise<T>,
    settle: (tx: Tx, made: T) => Promise<R>,
  ): Promise<R>;
  /** Has git follow what is archived. Should it fail, that is tried again until it does not. */
  clearAway(held: Held): Promise<void>;
  /** To be called when changes have been committed. */
  tell(changes: readonly Change[], origin: Origin): void;
  readonly background: Pick<Holds, 'start' | 'stop' | 'wake' | 'retry'>;
}

type Owned = Pick<Node, 'id' | 'repoId'>;

export function createSteps({ db, clock, log, appended, vcs, pollMs }: StepsDeps): Steps {
  const holds = createHolds({ db, clock, log, pollMs, heal });

  /** Takes back what was begun, as far as it is still in these hands. */
  async function undo(
    { node, ref, hold }: Pick<Held, 'ref' | 'hold'> & { readonly node: Owned },
    isUntouched = false,
  ): Promise<void> {
    const row = (await findVcsRows(db, [node.id])).get(node.id);
    // When others have done that already, git may have gone on behind their back.
    const isOurs = row === undefined ? await holdRest(node, hold) : row.holder === hold.holder;
    if (!isOurs) return;
    const isUnmade = row === undefined || row.state === 'removing' || row.base_commit === null;
    if (isUnmade && !isUntouched) await vcs.archive(ref);
    await db.transaction(async (tx) => {
      await lockGraphs(tx, [node.repoId]);
      if (isUnmade) await settleGone(tx, hold);
      else await settleBack(tx, hold);
      if (row?.state === 'preparing') await setStarting(tx, node.id, false);
    });
  }

  /** Takes what git may have left of a task that nobody has in hands. Answers whether it could. */
  function holdRest(node: Owned, hold: Hold): Promise<boolean> {
    return db.transaction(async (tx) => {
      await lockGraphs(tx, [node.repoId]);
      const { until } = holds.create(node.id);
      const made = { repoId: node.repoId, refName: branchOf(node.id) };
      return insertRest(tx, { ...hold, until }, made, clock.now());
    });
  }

  async function heal(row: VcsRow, hold: Hold): Promise<void> {
    const node = { id: row.task_id, repoId: row.repo_id };
    const ref = await db.transaction((tx) => refOf(tx, node));
    return row.state === 'archiving' ? remove({ ref, hold }) : undo({ node, ref, hold });
  }

  async function remove({ ref, hold }: Pick<Held, 'ref' | 'hold'>): Promise<void> {
    await vcs.archive(ref);
    await settleArchived(db, hold);
  }

  return {
    async take(tx, { node, row }, state) {
      if (row !== undefined && row.state !== 'ready') throw inOtherHands(node.id, row);
      const hold = holds.create(node.id);
      const taken =
        row === undefined
          ? insertHeld(tx, hold, { repoId: node.repoId, refName: branchOf(node.id) }, clock.now())
          : holdReady(tx, hold, state);
      // While this is written down and committed.
      const looking = refOf(tx, node).then((ref) => ({ ref, foreseen: vcs.foresee(ref) }));
      const [refs] = await Promise.all([looking, taken]);
      return { node, ...refs, hold, row };
    },
    carryOut: (held, git, settle) =>
      holds.keep(held.hold, async (signal) => {
        try {
          const made = await git(signal);
          return await db.transaction((tx) => settle(tx, made));
        } catch (error) {
          // What cannot be undone now is healed when the hold is over. A repository that could not even be opened is as it was.
          const isUntouched = await held.foreseen.tree?.then(
            () => false,
            () => true,
          );
          await undo(held, isUntouched).catch((cause: unknown) =>
            log.warn('work_not_undone', { task_id: held.node.id, error: cause }),
          );
          throw error;
        }
      }),
    clearAway: (held) =>
      holds
        .keep(held.hold, () => remove({ ref: held.foreseen, hold: held.hold }))
        .catch((error: unknown) => log.warn('work_not_cleared_away', { task_id: held.node.id, error })),
    tell(changes, origin) {
      for (const { type, taskId, repoId } of changes) {
        appended(type, 1);
        log.info('work_changed', { corr_id: origin.correlationId, type, task_id: taskId, repo_id: repoId });
      }
    },
    background: {
      start: () => holds.start(),
      stop: () => holds.stop(),
      wake: () => holds.wake(),
      retry: (ids) => holds.retry(ids),
    },
  };
}

/**
 * For the transaction that says what is about to be done. Should Postgres crash and forget it, what git has done meanwhile is found by
 * whoever does the same again: a branch that has begun, a commit that is there.
 */
export const mayBeForgotten = { durable: false };

/** Locks the repository of a task, and sees what there is. Rejects with `not_found`. */
export async function lockSeen(tx: Tx, id: string): Promise<Seen> {
  const [node, rows] = await Promise.all([lockTask(tx, id), findVcsRows(tx, [id])]);
  return { node, row: rows.get(id) };
}

async function refOf(tx: Tx, { id, repoId }: Owned): Promise<TaskRef> {
  const repo = await getRepo(tx, repoId);
  if (repo === undefined) throw new Error(`${id} is in no repository`);
  return { repo, taskId: id };
}

function inOtherHands(id: string, { state, archived_at: archivedAt }: VcsRow): AppError {
  const why = archivedAt !== null ? 'is archived' : `is ${state} in other hands; try again`;
  return new AppError('conflict', `The work tree of ${id} ${why}.`, { details: { id, state } });
}

/** The row is no longer in the hands that git was at work for. */
export function lostHold(id: string): AppError {
  return new AppError('unavailable', `Git took so long over ${id} that others have put things right; try again.`);
}
