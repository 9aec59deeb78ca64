import type { Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import type { Change } from '../events/index.js';
import { newReview, type Review, type Verdict } from './reviews.js';
import { closeReviews, insertReview } from './store.js';

/** A task whose reviews change. Its repository goes into the events. */
export interface Reviewed {
  readonly id: string;
  readonly repoId: string;
}

/** Opens a review of a task that has none open, in the transaction that submits it. Answers what is to be recorded. */
export async function openReview(
  tx: Tx,
  newId: NewId,
  task: Reviewed,
  headCommit: string,
  now: Date,
): Promise<{ readonly review: Review; readonly change: Change }> {
  const review = newReview(newId('rev'), task.id, headCommit, now);
  await insertReview(tx, review);
  const payload = {
    status: review.status,
    head_commit: headCommit,
    submitted_at: review.submittedAt,
    gates_completed_at: review.gatesCompletedAt ?? null,
    agent_completed_at: null,
    human_completed_at: null,
    created_at: review.createdAt,
    updated_at: review.updatedAt,
  };
  const change: Change = { type: 'ReviewCreated', taskId: task.id, repoId: task.repoId, reviewId: review.id, payload };
  return { review, change };
}

/** Ends what is open of these tasks, of one repository, in the transaction that moves them on. Answers what is to be recorded. */
export async function endReviews(
  tx: Tx,
  tasks: readonly Reviewed[],
  verdict: Verdict,
  now: Date,
): Promise<readonly Change[]> {
  const closed = await closeReviews(
    tx,
    tasks.map(({ id }) => id),
    verdict,
    now,
  );
  const type = verdict === 'Approved' ? 'ReviewApproved' : 'ChangesRequested';
  const repoOf = new Map(tasks.map(({ id, repoId }) => [id, repoId]));
  return closed.map(({ id, taskId, status, updatedAt, humanCompletedAt }) => ({
    type,
    taskId,
    repoId: repoOf.get(taskId),
    reviewId: id,
    payload: { status, updated_at: updatedAt, human_completed_at: humanCompletedAt ?? null },
  }));
}
