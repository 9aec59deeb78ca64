import type { Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import type { Change } from '../events/index.js';
import { createdChange, phaseChange } from './changes.js';
import { newReview, type Submission, type Verdict } from './reviews.js';
import { closeReviews, insertReview } from './store.js';

/** What tasks do to their reviews, in transactions of theirs. */

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
  submission: Submission,
  now: Date,
): Promise<Change> {
  const review = newReview(newId('rev'), task.id, submission, now);
  await insertReview(tx, review);
  return createdChange(review, task.repoId);
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
  return closed.map((review) => phaseChange(type, review, repoOf.get(review.taskId)));
}
