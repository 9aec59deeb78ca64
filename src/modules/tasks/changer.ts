import type { Clock } from '../../platform/clock.js';
import type { Db, Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { Log } from '../../platform/log.js';
import { type Appended, appendEvents, type Change, type EventType, type Origin } from '../events/index.js';
import { findNodes, findTask, lockGraphOf, type Node } from './store.js';
import { isTaskId, type Task, taskNotFound } from './tasks.js';

export interface ChangerDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
}

/** Makes a change of the task, of which it is told as it is now, and answers what is to be recorded. */
export type Work = (tx: Tx, task: Node, now: Date) => Promise<readonly Change[]>;

export interface Changer {
  /** Answers the task as it is after the change; the same change is what `keep` keeps. Rejects with `not_found`. */
  change(id: string, origin: Origin, keep: Keep<Task> | undefined, work: Work): Promise<Task>;
  /** The same for a change that leaves no task to be answered. */
  remove(id: string, origin: Origin, keep: Keep<void> | undefined, work: Work): Promise<void>;
}

/** Changes one task at a time, with no other change of its repository under way. */
export function createChanger({ db, clock, log, appended }: ChangerDeps): Changer {
  async function begin(tx: Tx, id: string, origin: Origin, work: Work): Promise<readonly Change[]> {
    const repoId = isTaskId(id) ? await lockGraphOf(tx, id) : undefined;
    // Read when the lock is there, not before: whoever had it may have deleted the task.
    const node = repoId === undefined ? undefined : (await findNodes(tx, [id])).get(id);
    if (node === undefined) throw taskNotFound(id);
    const now = clock.now();
    const changes = await work(tx, node, now);
    await appendEvents(tx, origin, now, changes);
    return changes;
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

  return {
    async change(id, origin, keep, work) {
      const { task, changes } = await db.transaction(async (tx) => {
        const made = await begin(tx, id, origin, work);
        const changed = await findTask(tx, id);
        if (changed === undefined) throw taskNotFound(id);
        await keep?.(tx, changed);
        return { task: changed, changes: made };
      });
      tell(origin, changes);
      return task;
    },
    async remove(id, origin, keep, work) {
      const changes = await db.transaction(async (tx) => {
        const made = await begin(tx, id, origin, work);
        await keep?.(tx, undefined);
        return made;
      });
      tell(origin, changes);
    },
  };
}

/** `TaskCancelled` is `task_cancelled` in the log. */
function eventOf(type: EventType): string {
  return type.replaceAll(/(?<=[a-z])[A-Z]/g, '_$&').toLowerCase();
}
