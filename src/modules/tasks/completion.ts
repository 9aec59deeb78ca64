import type { Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import type { ReviewedTasks } from '../reviews/index.js';
import { complete, move } from './moves.js';
import { findNodes, lockNode, type Node } from './store.js';
import { isTaskId } from './tasks.js';

/** What reviews do with tasks. */
export function createReviewedTasks(newId: NewId): ReviewedTasks {
  async function present(tx: Tx, id: string): Promise<Node> {
    const node = (await findNodes(tx, [id])).get(id);
    if (node === undefined) throw new Error(`${id} is gone, although it is locked`);
    return node;
  }

  return {
    find: async (on, id) => (isTaskId(id) ? (await findNodes(on, [id])).get(id) : undefined),
    lock: lockNode,
    complete: async (tx, id, now) => complete(tx, newId, await present(tx, id), 'TaskCompleted', now),
    reopen: async (tx, id, now) => move(tx, await present(tx, id), 'InProgress', 'TaskStatusChanged', now),
  };
}
