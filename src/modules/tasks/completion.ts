import type { Queries, Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import type { GatedReviews, GatedTasks } from '../gates/index.js';
import {
  findOpenOfRepo,
  findOpenReviews,
  findReview,
  type GatedTask,
  isReviewId,
  type ReviewedTasks,
} from '../reviews/index.js';
import { vcsChange } from './changes.js';
import { complete, goOn, move } from './moves.js';
import { addGraphs, findNodes, lineageOf, lockGraphs, lockNode, type Node } from './store.js';
import { findSubtree } from './store-change.js';
import { saveHead } from './store-vcs.js';
import { isTaskId } from './tasks.js';

/** What reviews do with tasks. */
export function createReviewedTasks(newId: NewId): ReviewedTasks {
  return {
    find: async (on, id) => gated(await find(on, id)),
    lock: async (tx, id) => gated(await lockNode(tx, id)),
    complete: async (tx, id, now) => complete(tx, newId, await present(tx, id), 'TaskCompleted', now),
    reopen: async (tx, id, now) => move(tx, await present(tx, id), 'InProgress', 'TaskStatusChanged', now),
    async moveHead(tx, id, headCommit, now) {
      return [vcsChange('Committed', await present(tx, id), await saveHead(tx, id, headCommit, now))];
    },
  };
}

/** What gates do with tasks. */
export const gatedTasks: GatedTasks = {
  async lineage(on, id) {
    const node = await find(on, id);
    return node && lineageOf(node);
  },
  async lock(tx, repoId) {
    await addGraphs(tx, [repoId]);
    await lockGraphs(tx, [repoId]);
  },
  async openReviews(tx, { type, id }) {
    if (type === 'Repo') return findOpenOfRepo(tx, id);
    const open = await findOpenReviews(tx, await findSubtree(tx, id));
    return [...open.values()].map((review) => review.id).sort();
  },
};

/** What gates do with reviews. */
export const gatedReviews: GatedReviews = {
  exists: async (on, id) => isReviewId(id) && (await findReview(on, id)) !== undefined,
  async judge(tx, id, now) {
    const node = await find(tx, id);
    return node === undefined ? [] : goOn(tx, node, now);
  },
};

async function find(on: Queries, id: string): Promise<Node | undefined> {
  return isTaskId(id) ? (await findNodes(on, [id])).get(id) : undefined;
}

async function present(tx: Tx, id: string): Promise<Node> {
  const node = await find(tx, id);
  if (node === undefined) throw new Error(`${id} is gone, although it is locked`);
  return node;
}

function gated(node: Node | undefined): GatedTask | undefined {
  return node && { ...node, lineage: lineageOf(node) };
}
