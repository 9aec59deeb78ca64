import type { Change } from '../events/index.js';
import type { ReviewComment } from './comments.js';
import type { Review } from './reviews.js';

/** What the ledger tells of reviews: enough to make the rows anew from nothing else (`src/client/reduce-reviews.ts`). */

export function createdChange(review: Review, repoId: string): Change {
  return about('ReviewCreated', review, repoId, {
    base_commit: review.baseCommit,
    submitted_at: review.submittedAt,
    gates_completed_at: review.gatesCompletedAt ?? null,
    agent_completed_at: null,
    human_completed_at: null,
    summary: null,
    created_at: review.createdAt,
  });
}

/** Of a review as it is after a phase. It names the commit and the tree that were judged. */
export function phaseChange(
  type: 'ReviewPhaseChanged' | 'ReviewApproved' | 'ChangesRequested',
  review: Review,
  repoId: string | undefined,
): Change {
  return about(type, review, repoId, {
    gates_completed_at: review.gatesCompletedAt ?? null,
    agent_completed_at: review.agentCompletedAt ?? null,
    human_completed_at: review.humanCompletedAt ?? null,
    ...(type === 'ChangesRequested' && { summary: review.summary ?? null }),
  });
}

function about(type: Change['type'], review: Review, repoId: string | undefined, more: Change['payload']): Change {
  const { id, taskId, status, headCommit, headTree, updatedAt } = review;
  const payload = {
    status,
    head_commit: headCommit,
    head_tree: headTree ?? null,
    ...more,
    updated_at: updatedAt,
  };
  return { type, taskId, repoId, reviewId: id, payload };
}

export function addedChange(comment: ReviewComment, repoId: string): Change {
  const payload = {
    comment_id: comment.id,
    author: comment.author,
    file_path: comment.filePath,
    line_start: comment.lineStart ?? null,
    line_end: comment.lineEnd ?? null,
    side: comment.side,
    body: comment.body,
    created_at: comment.createdAt,
  };
  return { type: 'CommentAdded', taskId: comment.taskId, repoId, reviewId: comment.reviewId, payload };
}

export function resolvedChange({ id, taskId, reviewId, resolvedAt }: ReviewComment, repoId: string): Change {
  return { type: 'CommentResolved', taskId, repoId, reviewId, payload: { comment_id: id, resolved_at: resolvedAt } };
}
