import type { ChunkedMap } from './chunked-map.js';
import type { LedgerEvent } from './event-json.js';
import { told } from './told.js';

/**
 * A review as REST prints it. What no event has told yet is undefined; that happens only to reviews that were opened before the first
 * event that was reduced.
 */
export interface ReviewRow {
  readonly id: string;
  readonly task_id: string | null;
  readonly status:
    'GatesPending' | 'GatesEscalated' | 'AgentPending' | 'HumanPending' | 'Approved' | 'ChangesRequested' | undefined;
  readonly base_commit: string | undefined;
  readonly head_commit: string | undefined;
  readonly head_tree: string | null | undefined;
  readonly summary: string | null | undefined;
  readonly submitted_at: string | undefined;
  readonly gates_completed_at: string | null | undefined;
  readonly agent_completed_at: string | null | undefined;
  readonly human_completed_at: string | null | undefined;
  readonly created_at: string | undefined;
  readonly updated_at: string | undefined;
}

/** A comment as REST prints it, with the same of what is undefined. */
export interface CommentRow {
  readonly id: string;
  readonly review_id: string | null;
  readonly task_id: string | null;
  readonly author: 'Agent' | 'Human' | undefined;
  readonly file_path: string | undefined;
  readonly line_start: number | null | undefined;
  readonly line_end: number | null | undefined;
  readonly side: 'Left' | 'Right' | undefined;
  readonly body: string | undefined;
  readonly created_at: string | undefined;
  readonly resolved_at: string | null | undefined;
}

export interface ReviewRows {
  readonly reviews: ChunkedMap<ReviewRow>;
  readonly comments: ChunkedMap<CommentRow>;
}

/** Reviews and their comments after one more event. They go with their task. */
export function reviewsAfter({ reviews, comments }: ReviewRows, event: LedgerEvent): ReviewRows {
  const { type, task_id, review_id } = event;
  switch (type) {
    case 'ReviewCreated':
    case 'ReviewPhaseChanged':
    case 'ReviewApproved':
    case 'ChangesRequested': {
      if (review_id === null) break;
      const before = reviews.get(review_id) ?? { ...unknownReview, id: review_id, task_id };
      return { comments, reviews: reviews.with(review_id, { ...before, ...told(event, reviewFields) }) };
    }
    case 'CommentAdded':
    case 'CommentResolved': {
      const id = String(event.payload['comment_id']);
      const before = comments.get(id) ?? { ...unknownComment, id, task_id, review_id };
      // A new comment is not resolved, which goes without saying.
      const fresh = type === 'CommentAdded' ? { resolved_at: null } : {};
      return { reviews, comments: comments.with(id, { ...before, ...fresh, ...told(event, commentFields) }) };
    }
    case 'TaskDeleted':
      return { reviews: withoutTask(reviews, task_id), comments: withoutTask(comments, task_id) };
  }
  return { reviews, comments };
}

const unknownReview: Omit<ReviewRow, 'id' | 'task_id'> = {
  status: undefined,
  base_commit: undefined,
  head_commit: undefined,
  head_tree: undefined,
  summary: undefined,
  submitted_at: undefined,
  gates_completed_at: undefined,
  agent_completed_at: undefined,
  human_completed_at: undefined,
  created_at: undefined,
  updated_at: undefined,
};
const reviewFields = Object.keys(unknownReview);

const unknownComment: Omit<CommentRow, 'id' | 'task_id' | 'review_id'> = {
  author: undefined,
  file_path: undefined,
  line_start: undefined,
  line_end: undefined,
  side: undefined,
  body: undefined,
  created_at: undefined,
  resolved_at: undefined,
};
const commentFields = Object.keys(unknownComment);

function withoutTask<Row extends { readonly id: string; readonly task_id: string | null }>(
  rows: ChunkedMap<Row>,
  taskId: string | null,
): ChunkedMap<Row> {
  const gone = [...rows.values()].filter(({ task_id }) => task_id === taskId);
  return gone.reduce((left, { id }) => left.without(id), rows);
}
