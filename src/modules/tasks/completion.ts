import type { Tx } from '../../platform/db/db.js';
import type { Change, EventType } from '../events/index.js';
import { endReviews, type ReviewedTasks } from '../reviews/index.js';
import { checkChildrenClosed } from './blockers.js';
import { move } from './move.js';
import { findNodes, lockGraphOf, type Node } from './store.js';
import { findOpenChildren } from './store-change.js';
import { isTaskId } from './tasks.js';

/**
 * Completes a task, whichever way it is: its children are done (else `children_open`), what it blocked is released, its open
 * review becomes Approved. `type` is that of the task's event. Answers what is to be recorded.
 */
export async function complete(tx: Tx, node: Node, type: EventType, now: Date): Promise<readonly Change[]> {
  checkChildrenClosed(node.id, await findOpenChildren(tx, node.id));
  const moved = await move(tx, node, 'Completed', type, now);
  return [...moved, ...(await endReviews(tx, [node], 'Approved', now))];
}

/** What reviews do with tasks. */
export function createReviewedTasks(): ReviewedTasks {
  async function present(tx: Tx, id: string): Promise<Node> {
    const node = (await findNodes(tx, [id])).get(id);
    if (node === undefined) throw new Error(`${id} is gone, although it is locked`);
    return node;
  }

  return {
    find: async (on, id) => (isTaskId(id) ? (await findNodes(on, [id])).get(id) : undefined),
    async lock(tx, id) {
      const repoId = await lockGraphOf(tx, id);
      return repoId === undefined ? undefined : (await findNodes(tx, [id])).get(id);
    },
    complete: async (tx, id, now) => complete(tx, await present(tx, id), 'TaskCompleted', now),
    reopen: async (tx, id, now) => move(tx, await present(tx, id), 'InProgress', 'TaskStatusChanged', now),
  };
}
