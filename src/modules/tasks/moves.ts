import type { Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import type { Change, EventType } from '../events/index.js';
import { endHelp, type FromStatus } from '../help/index.js';
import { copyLearnings } from '../learnings/index.js';
import { endReviews, judgeGates } from '../reviews/index.js';
import { checkChildrenClosed } from './blockers.js';
import { statusChange } from './changes.js';
import { findNodes, type Node } from './store.js';
import { changeStatuses, findOpenChildren } from './store-change.js';
import type { Status } from './tasks.js';
import { target } from './transitions.js';

type Moved = Pick<Node, 'id' | 'repoId' | 'parentId' | 'status'>;

/** Moves one task, to anywhere but completion. `type` is that of the event. */
export function move(
  tx: Tx,
  node: Moved,
  to: Exclude<Status, 'Completed'>,
  type: EventType,
  now: Date,
): Promise<readonly Change[]> {
  return moveTo(tx, node, to, type, now);
}

/**
 * Completes one task, whichever way it is: its children are done (else `children_open`), what it blocked is released, its parent gets what
 * it has learned, and its open review becomes Approved. `type` is that of the task's event. Answers what is to be recorded.
 */
export async function complete(
  tx: Tx,
  newId: NewId,
  node: Moved,
  type: EventType,
  now: Date,
): Promise<readonly Change[]> {
  checkChildrenClosed(node.id, await findOpenChildren(tx, node.id));
  const moved = await moveTo(tx, node, 'Completed', type, now);
  const approved = await endReviews(tx, [node], 'Approved', now);
  return [...moved, ...approved, ...(await bubbleIfCompleted(tx, newId, { ...node, status: 'Completed' }, now))];
}

/** Takes up what a Completed task has learned: to its parent, and on from there where that is Completed, too. */
export async function bubbleIfCompleted(tx: Tx, newId: NewId, node: Moved, now: Date): Promise<readonly Change[]> {
  const { id, repoId, parentId, status } = node;
  if (status !== 'Completed' || parentId === undefined) return [];
  const copied = await copyLearnings(tx, newId, { from: id, to: parentId, repoId }, now);
  const parent = copied.length === 0 ? undefined : (await findNodes(tx, [parentId])).get(parentId);
  return parent === undefined ? copied : [...copied, ...(await bubbleIfCompleted(tx, newId, parent, now))];
}

async function moveTo(tx: Tx, node: Moved, to: Status, type: EventType, now: Date): Promise<readonly Change[]> {
  const { id, parentId, status: from } = node;
  const started = await changeStatuses(tx, [{ id, parentId, from, to }], now);
  const moved = statusChange(type, node, { from, status: to, startedAt: started.get(id) }, now);
  return from === 'AwaitingHuman' ? [moved, ...(await endHelp(tx, [node]))] : [moved];
}

/** Moves a task to InReview that has a review open, which goes on by what its gates have come to meanwhile. */
export async function backToReview(tx: Tx, node: Moved, now: Date): Promise<readonly Change[]> {
  const moved = await move(tx, node, 'InReview', 'TaskStatusChanged', now);
  return [...moved, ...(await goOn(tx, { ...node, status: 'InReview' }, now))];
}

/** Moves the review of a task on when its gates have all ended. */
export function goOn(tx: Tx, node: Moved, now: Date): Promise<readonly Change[]> {
  return judgeGates(tx, node, () => move(tx, node, 'InProgress', 'TaskStatusChanged', now), now);
}

/** What requests for help do to tasks. Their own rows are changed first, since a task that moves on otherwise ends what is open of them. */
export const waiting = {
  /** Where a task goes back to that is made to wait now. Throws `invalid_state` when it cannot be. */
  askedIn({ id, status }: Moved): FromStatus {
    target(id, status, 'wait');
    return status as FromStatus;
  },
  wait: (tx: Tx, node: Moved, now: Date) => move(tx, node, 'AwaitingHuman', 'TaskStatusChanged', now),
  /** Throws `invalid_state` when it does not wait. */
  async resume(tx: Tx, node: Moved, to: FromStatus, now: Date): Promise<readonly Change[]> {
    target(node.id, node.status, 'resume');
    if (to === 'InReview') return backToReview(tx, node, now);
    return move(tx, node, to, 'TaskStatusChanged', now);
  },
} as const;
