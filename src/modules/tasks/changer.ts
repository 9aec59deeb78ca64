import type { Clock } from '../../platform/clock.js';
import type { Db, Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { Log } from '../../platform/log.js';
import { type Appended, appendEvents, type Change, type EventType, type Origin } from '../events/index.js';
import { findTask, lockNode, type Node } from './store.js';
import { type Task, taskNotFound } from './tasks.js';

export interface ChangerDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
}

/** Makes a change of the task, of which it is told as it is now, and answers what is to be recorded. */
export type Work = (tx: Tx, task: Node, now: Date) => Promise<readonly Change[]>;

/** The same for what belongs to the task, such as what was learned on it; `result` is what the change comes to. */
export type WorkOf<R> = (
  tx: Tx,
  task: Node,
  now: Date,
) => Promise<{ readonly changes: readonly Change[]; readonly result: R }>;

export interface Changer {
  /** Answers the task as it is after the change; the same change is what `keep` keeps. Rejects with `not_found`. */
  change(id: string, origin: Origin, keep: Keep<Task> | undefined, work: Work): Promise<Task>;
  /** The same for a change that leaves no task to be answered. */
  remove(id: string, origin: Origin, keep: Keep<void> | undefined, work: Work): Promise<void>;
  /** The same for a change that is answered with what it comes to. */
  changeOf<R>(id: string, origin: Origin, keep: Keep<R> | undefined, work: WorkOf<R>): Promise<R>;
}

/** Changes one task at a time, with no other change of its repository under way. */
export function createChanger({ db, clock, log, appended }: ChangerDeps): Changer {
  async function begin<R>(tx: Tx, id: string, origin: Origin, work: WorkOf<R>) {
    const node = await lockTask(tx, id);
    const now = clock.now();
    const made = await work(tx, node, now);
    await appendEvents(tx, origin, now, made.changes);
    return made;
  }

  function tell(origin: Origin, changes: readonly Change[]): void {
    const counts = new Map<EventType, number>();
    for (const { type, taskId, repoId, payload } of changes) {
      counts.set(type, (counts.get(type) ?? 0) + 1);
      const facts = { corr_id: origin.correlationId, task_id: taskId, repo_id: repoId, status: payload['status'] };
      log.info(eventOf(type), facts);
    }
    for (const [type, count] of counts) appended(type, count);
  }

  async function changeOf<R>(id: string, origin: Origin, keep: Keep<R> | undefined, work: WorkOf<R>): Promise<R> {
    const { changes, result } = await db.transaction(async (tx) => {
      const made = await begin(tx, id, origin, work);
      await keep?.(tx, made.result);
      return made;
    });
    tell(origin, changes);
    return result;
  }

  return {
    change: (id, origin, keep, work) =>
      changeOf(id, origin, keep, async (...at) => {
        const changes = await work(...at);
        return { changes, result: await presentTask(at[0], id) };
      }),
    remove: (id, origin, keep, work) =>
      changeOf(id, origin, keep, async (...at) => ({ changes: await work(...at), result: undefined })),
    changeOf,
  };
}

/** A task, with its repository locked. Rejects with `not_found`. */
export async function lockTask(tx: Tx, id: string): Promise<Node> {
  const node = await lockNode(tx, id);
  if (node === undefined) throw taskNotFound(id);
  return node;
}

/** The same as it is answered. */
export async function presentTask(tx: Tx, id: string): Promise<Task> {
  const task = await findTask(tx, id);
  if (task === undefined) throw taskNotFound(id);
  return task;
}

/** `TaskCancelled` is `task_cancelled` in the log. */
function eventOf(type: EventType): string {
  return type.replaceAll(/(?<=[a-z])[A-Z]/g, '_$&').toLowerCase();
}
