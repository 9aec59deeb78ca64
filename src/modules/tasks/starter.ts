import { AppError } from '../../errors.js';
import type { Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import { appendEvents, type Change, type Origin } from '../events/index.js';
import { insertDoer } from '../reviews/index.js';
import type { Prepared, PrepareInput, Vcs } from '../vcs/index.js';
import { checkUnblocked } from './blockers.js';
import { type ChangerDeps, lockTask, presentTask } from './changer.js';
import { vcsChange } from './changes.js';
import { move } from './moves.js';
import { findFull, type TaskWithContext } from './reader.js';
import { type Held, lockSeen, lostHold, mayBeForgotten, type Seen, type Steps } from './steps.js';
import { lockGraphs, type Node } from './store.js';
import { findUnreleased } from './store-blockers.js';
import { findNextReady, type WorkScope } from './store-list.js';
import { findVcsRows, setStarting, settlePrepared } from './store-vcs.js';
import type { Task } from './tasks.js';
import { target } from './transitions.js';

export interface StarterDeps extends Pick<ChangerDeps, 'db' | 'clock' | 'log'> {
  readonly vcs: Pick<Vcs, 'prepare'>;
}

export interface StartInput {
  readonly id: string;
  readonly base?: string | undefined;
}

/** Starts tasks. */
export interface Starter {
  /** Rejects with `blocked`, `conflict` and what `Vcs.prepare` rejects with; the task is then as it was. */
  start(input: StartInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  /**
   * Starts the ready task that goes first, which nobody else then gets. Undefined when none is ready. One that cannot be started as things
   * are is passed over, so that it does not keep everybody from the others; when none of those can either, rejects as `start` would.
   */
  claimNext(
    scope: WorkScope,
    origin: Origin,
    keep?: Keep<TaskWithContext | undefined>,
  ): Promise<TaskWithContext | undefined>;
}

/** A task that is to be started, and where. */
type Reserved = Held & Begin;

type Begin = Pick<PrepareInput, 'base' | 'lastSeen' | 'lastHead'>;

export function createStarter({ db, clock, log, vcs }: StarterDeps, steps: Steps): Starter {
  async function reserve(tx: Tx, seen: Seen, base: string | undefined): Promise<Reserved> {
    const { node, row } = seen;
    const { id } = node;
    target(id, node.status, 'start');
    if (node.starting) throw new AppError('conflict', `${id} is being started by somebody else.`);
    if (node.ownBlockers + node.blockersAbove > 0) checkUnblocked(id, await findUnreleased(tx, node));
    const known = row?.base_commit ?? undefined;
    if (known !== undefined && base !== undefined) throw baseStays(id, known);
    const [held, begin] = await Promise.all([
      steps.take(tx, seen, 'preparing'),
      known === undefined
        ? beginOf(tx, node, base)
        : { base: known, lastSeen: known, lastHead: row?.head_commit ?? known },
      setStarting(tx, id, true),
    ]);
    return { ...held, ...begin };
  }

  async function prepare<R>(held: Reserved, origin: Origin, answer: (tx: Tx) => Promise<R>): Promise<R> {
    const isNew = held.row === undefined;
    const { changes, result } = await steps.carryOut(
      held,
      (signal) =>
        vcs.prepare({
          ...held.foreseen,
          base: held.base,
          lastSeen: held.lastSeen,
          lastHead: held.lastHead,
          fresh: isNew,
          signal,
        }),
      (tx, made) => settle(tx, held, made, origin, answer),
    );
    steps.tell(changes, origin);
    return result;
  }

  async function settle<R>(
    tx: Tx,
    { node: { id }, row: before, hold }: Held,
    made: Prepared,
    origin: Origin,
    answer: (tx: Tx) => Promise<R>,
  ): Promise<{ readonly changes: readonly Change[]; readonly result: R }> {
    const node = await lockTask(tx, id);
    const now = clock.now();
    // Somebody may have cancelled it meanwhile.
    const to = target(id, node.status, 'start');
    const [row, moved] = await Promise.all([
      settlePrepared(tx, hold, made, now),
      move(tx, node, to, 'TaskStarted', now),
      insertDoer(tx, id, origin.actor.id),
    ]);
    if (row === undefined) throw lostHold(id);
    const changes = before === undefined ? [vcsChange('RefCreated', node, row), ...moved] : moved;
    const [, result] = await Promise.all([appendEvents(tx, origin, now, changes), answer(tx)]);
    return { changes, result };
  }

  async function reserveNext(
    scope: WorkScope,
    refused: ReadonlyMap<string, AppError>,
    keep: Keep<undefined> | undefined,
  ): Promise<Reserved | undefined> {
    return db.transaction(async (tx) => {
      const [, id] = await Promise.all([lockGraphs(tx, [scope.repoId]), findNextReady(tx, scope, [...refused.keys()])]);
      if (id !== undefined) return reserve(tx, await lockSeen(tx, id), undefined);
      const [why] = refused.values();
      if (why !== undefined) throw why;
      await keep?.(tx, undefined);
      return undefined;
    });
  }

  return {
    async start({ id, base }, origin, keep) {
      const held = await db.transaction(async (tx) => reserve(tx, await lockSeen(tx, id), base), mayBeForgotten);
      return prepare(held, origin, async (tx) => {
        const task = await presentTask(tx, id);
        await keep?.(tx, task);
        return task;
      });
    },
    async claimNext(scope, origin, keep) {
      const refused = new Map<string, AppError>();
      for (;;) {
        const held = await reserveNext(scope, refused, keep);
        if (held === undefined) return undefined;
        const { id } = held.node;
        try {
          return await prepare(held, origin, async (tx) => {
            const [full] = await findFull(tx, [id]);
            await keep?.(tx, full);
            return full;
          });
        } catch (error) {
          if (!isOfTask(error) || refused.size === maxRefused) throw error;
          log.warn('task_not_started', { corr_id: origin.correlationId, task_id: id, error });
          refused.set(id, error);
        }
      }
    },
  };
}

/** Whether another task may well be started where this one could not: its branch has gone astray, or somebody has cancelled it. */
function isOfTask(error: unknown): error is AppError {
  return error instanceof AppError && (error.kind === 'conflict' || error.kind === 'invalid_state');
}

/** Rather the repository than its tasks is at fault when so many cannot be started. */
const maxRefused = 10;

/**
 * Where a task begins that never has: where it is asked to, else at the tip of the nearest ancestor that was started, or where that was last
 * when people have done away with its branch. No base: at the tip of the default branch.
 */
async function beginOf(tx: Tx, { parentId, grandId }: Node, asked: string | undefined): Promise<Begin> {
  if (asked !== undefined) return { base: asked };
  const ids = [parentId, grandId].filter((id) => id !== undefined);
  if (ids.length === 0) return {};
  const rows = await findVcsRows(tx, ids);
  for (const id of ids) {
    const row = rows.get(id);
    if (row === undefined || row.base_commit === null) continue;
    const lastSeen = row.head_commit ?? row.base_commit;
    return { base: row.archived_at === null ? row.ref_name : lastSeen, lastSeen };
  }
  return {};
}

function baseStays(id: string, base: string): AppError {
  return new AppError('conflict', `base: ${id} began at ${base} when it was first started, and stays there.`, {
    details: { field: 'base', base_commit: base },
  });
}
