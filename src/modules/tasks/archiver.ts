import { AppError } from '../../errors.js';
import type { Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import { appendEvents, type Change, type Origin } from '../events/index.js';
import type { ChangerDeps } from './changer.js';
import { vcsChange } from './changes.js';
import { type Held, lockSeen, type Seen, type Steps } from './steps.js';
import type { Node } from './store.js';
import { findVcsRows, markArchived, type TaskVcs, vcsOf } from './store-vcs.js';

/** Archives what git has of tasks. */
export interface Archiver {
  /** Removes branch and work tree of a task that is Completed or Cancelled, and keeps its commits. */
  archive(id: string, origin: Origin, keep?: Keep<TaskVcs>): Promise<TaskVcs>;
}

interface Archived {
  readonly made: TaskVcs;
  readonly changes: readonly Change[];
  /** Undefined when that has been done before. */
  readonly held: Held | undefined;
}

export function createArchiver({ db, clock }: Pick<ChangerDeps, 'db' | 'clock'>, steps: Steps): Archiver {
  async function decide(tx: Tx, id: string, origin: Origin): Promise<Archived> {
    const { node, row } = await lockSeen(tx, id);
    if (node.status !== 'Completed' && node.status !== 'Cancelled') throw notDone(id, node);
    if (row === undefined) throw nothingToArchive(id);
    const known = row.archived_at === null ? undefined : vcsOf(row);
    return known === undefined ? mark(tx, { node, row }, origin) : { made: known, changes: [], held: undefined };
  }

  async function mark(tx: Tx, seen: Seen, origin: Origin): Promise<Archived> {
    const { node } = seen;
    const { id } = node;
    const held = await steps.take(tx, seen, 'archiving');
    const now = clock.now();
    await markArchived(tx, id, now);
    const row = (await findVcsRows(tx, [id])).get(id);
    const made = vcsOf(row);
    if (made === undefined) throw new Error(`${id} has nothing to be archived`);
    const changes = [vcsChange('TaskArchived', node, row)];
    await appendEvents(tx, origin, now, changes);
    return { held, made, changes };
  }

  return {
    async archive(id, origin, keep) {
      const { made, changes, held } = await db.transaction(async (tx) => {
        const archived = await decide(tx, id, origin);
        await keep?.(tx, archived.made);
        return archived;
      });
      steps.tell(changes, origin);
      if (held !== undefined) await steps.clearAway(held);
      return made;
    },
  };
}

function notDone(id: string, { status }: Node): AppError {
  return new AppError('invalid_state', `${id} is ${status}; only what is Completed or Cancelled can be archived.`, {
    details: { from: status, to: 'archived', allowed: [] },
  });
}

function nothingToArchive(id: string): AppError {
  return new AppError('conflict', `${id} was never started, so that there is nothing to be archived.`, {
    details: { id },
  });
}
