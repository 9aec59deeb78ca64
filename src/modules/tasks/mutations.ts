import { AppError, invalidField } from '../../errors.js';
import type { Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import type { Change, EventType, Origin } from '../events/index.js';
import { endGateRuns } from '../gates/index.js';
import { endHelp } from '../help/index.js';
import { endReviews, findOpenReviews } from '../reviews/index.js';
import { checkNoCycle, tooManyBlocked } from './blockers.js';
import { type ChangerDeps, createChanger } from './changer.js';
import { blockerChange, deletedChange, statusChange, updatedChange } from './changes.js';
import { backToReview, complete, move } from './moves.js';
import { findNodes, type Node } from './store.js';
import { countEdges, deleteEdge, findBlockedByThese, findReach, insertEdges } from './store-blockers.js';
import {
  addOpenChildren,
  addOwnBlockers,
  changeStatuses,
  deleteTasks,
  findOpenBelow,
  findSubtree,
  patchTask,
  type StatusChange,
  touchTasks,
} from './store-change.js';
import { removeVcs } from './store-vcs.js';
import { isTaskId, limits, noSuchTask, patchOf, type Status, type Task, type UpdateInput } from './tasks.js';
import { checkSetStatus, isOpen, target } from './transitions.js';

export interface BlockInput {
  readonly id: string;
  readonly blockerId: string;
}

/** Changes of tasks that need nothing but the database. Each answers the task as it is afterwards. */
export interface Mutations {
  update(input: UpdateInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  /** Cancels it and every open descendant. A Cancelled task stays as it is. */
  cancel(id: string, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  /** Rejects with `children_open`. */
  forceComplete(id: string, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  setStatus(input: { readonly id: string; readonly status: Status }, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  /** Rejects with `cycle`. A blocker that is there already stays as it is. */
  block(input: BlockInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  unblock(input: BlockInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  /** Deletes it and all that is below it. */
  remove(id: string, origin: Origin, keep?: Keep<void>): Promise<void>;
}

export interface MutationsDeps extends ChangerDeps {
  readonly newId: NewId;
}

export function createMutations(deps: MutationsDeps): Mutations {
  const { newId } = deps;
  const { change, remove } = createChanger(deps);

  return {
    async update(input, origin, keep) {
      const patch = patchOf(input);
      return change(input.id, origin, keep, async (tx, node, now) => {
        if (Object.keys(patch).length === 0) return [];
        await patchTask(tx, node.id, patch, now);
        return [updatedChange(node, patch, now)];
      });
    },
    cancel: (id, origin, keep) =>
      change(id, origin, keep, async (tx, node, now) => {
        target(id, node.status, 'cancel');
        return node.status === 'Cancelled' ? [] : cancelWithAll(tx, node, 'TaskCancelled', now);
      }),
    forceComplete: (id, origin, keep) =>
      change(id, origin, keep, async (tx, node, now) => {
        target(id, node.status, 'forceComplete');
        return complete(tx, newId, node, 'TaskCompleted', now);
      }),
    setStatus: ({ id, status }, origin, keep) =>
      change(id, origin, keep, (tx, node, now) => setStatus(tx, newId, node, status, now)),
    block: ({ id, blockerId }, origin, keep) =>
      change(id, origin, keep, async (tx, node, now) => {
        const blocker = await blockerOf(tx, node, blockerId);
        checkNoCycle(await findReach(tx, [blockerId]), 'blocker_id', node, blockerId);
        const counts = await countEdges(tx, id, blockerId);
        if ((await insertEdges(tx, [{ task: node, blockerId }])) === 0) return [];
        if (counts.blockedBy >= limits.blockers) throw tooManyBlockers(id);
        if (counts.blocks >= limits.blockers) throw tooManyBlocked('blocker_id', blockerId);
        if (blocker.status !== 'Completed') await addOwnBlockers(tx, [{ id, by: 1 }]);
        await touchTasks(tx, [id], now);
        return [blockerChange('BlockerAdded', node, blockerId, now)];
      }),
    unblock: ({ id, blockerId }, origin, keep) =>
      change(id, origin, keep, async (tx, node, now) => {
        const blocker = await blockerOf(tx, node, blockerId);
        if (!(await deleteEdge(tx, id, blockerId))) return [];
        if (blocker.status !== 'Completed') await addOwnBlockers(tx, [{ id, by: -1 }]);
        await touchTasks(tx, [id], now);
        return [blockerChange('BlockerRemoved', node, blockerId, now)];
      }),
    remove: (id, origin, keep) => remove(id, origin, keep, removeSubtree),
  };
}

/** The task that is to block another one, or does. Throws `invalid_request` when there is none in the repository. */
async function blockerOf(tx: Tx, { repoId }: Node, blockerId: string): Promise<Node> {
  if (blockerId === '') throw invalidField('blocker_id', 'is required');
  const blocker = isTaskId(blockerId) ? (await findNodes(tx, [blockerId])).get(blockerId) : undefined;
  if (blocker?.repoId !== repoId) throw noSuchTask('blocker_id', blockerId);
  return blocker;
}

async function setStatus(tx: Tx, newId: NewId, node: Node, to: Status, now: Date): Promise<readonly Change[]> {
  const { id, status: from, parentId } = node;
  const parents = parentId === undefined ? undefined : await findNodes(tx, [parentId]);
  const hasOpenReview = (await findOpenReviews(tx, [id])).has(id);
  checkSetStatus(id, from, to, { parent: parents?.get(parentId ?? '')?.status, hasOpenReview });
  if (from === to) return [];
  if (node.archived) {
    throw new AppError('invalid_state', `${id} is archived, and stays ${from}.`, {
      details: { from, to, allowed: [] },
    });
  }
  const type = 'TaskStatusChanged';
  if (to === 'Completed') return complete(tx, newId, node, type, now);
  if (to === 'Cancelled') return cancelWithAll(tx, node, type, now);
  if (to === 'InReview') return backToReview(tx, node, now);
  const changed = await move(tx, node, to, type, now);
  return [...changed, ...(await endReviews(tx, [node], 'ChangesRequested', now))];
}

/** Cancels a task and every open descendant, and ends their reviews and what they have asked. `type` is that of the task's own event. */
async function cancelWithAll(tx: Tx, node: Node, type: EventType, now: Date): Promise<readonly Change[]> {
  const { id, repoId, parentId, status: from } = node;
  const below = await findOpenBelow(tx, id);
  const all: readonly StatusChange[] = [
    { id, parentId, from, to: 'Cancelled' },
    ...below.map((each): StatusChange => ({ ...each, from: each.status, to: 'Cancelled' })),
  ];
  const started = await changeStatuses(tx, all, now);
  const ended = await endReviews(
    tx,
    all.map((each) => ({ id: each.id, repoId })),
    'ChangesRequested',
    now,
  );
  const changes = all.map((each) =>
    statusChange(
      each.id === id ? type : 'TaskCancelled',
      { id: each.id, repoId },
      { from: each.from, status: 'Cancelled', startedAt: started.get(each.id) },
      now,
    ),
  );
  const waited = all.filter((each) => each.from === 'AwaitingHuman').map((each) => ({ id: each.id, repoId }));
  return [...changes, ...ended, ...(waited.length === 0 ? [] : await endHelp(tx, waited))];
}

/** What the task and those below it blocked is released from them. */
async function removeSubtree(tx: Tx, node: Node, now: Date): Promise<readonly Change[]> {
  const { id, repoId, parentId, status } = node;
  const ids = await findSubtree(tx, id);
  const edges = await findBlockedByThese(tx, ids);
  await addOwnBlockers(
    tx,
    edges.map((edge) => ({ id: edge.taskId, by: edge.status === 'Completed' ? 0 : -1 })),
  );
  await touchTasks(tx, [...new Set(edges.map(({ taskId }) => taskId))], now);
  const ended = await endGateRuns(tx, ids, now);
  await deleteTasks(tx, ids);
  await removeVcs(tx, ids, now);
  if (isOpen(status)) await addOpenChildren(tx, [{ id: parentId, by: -1 }]);
  return [
    ...edges.map(({ taskId, blockerId }) => blockerChange('BlockerRemoved', { id: taskId, repoId }, blockerId, now)),
    ...ended,
    ...ids.map((each) => deletedChange({ id: each, repoId })),
  ];
}

function tooManyBlockers(id: string): AppError {
  return new AppError('conflict', `${id} has ${limits.blockers} blockers already, which is as many as may be.`, {
    details: { field: 'blocker_id', max: limits.blockers },
  });
}
