import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { Review, ReviewStatus, Verdict } from './reviews.js';

interface ReviewRow {
  readonly id: string;
  readonly task_id: string;
  readonly status: ReviewStatus;
  readonly head_commit: string;
  readonly submitted_at: Date;
  readonly gates_completed_at: Date | null;
  readonly agent_completed_at: Date | null;
  readonly human_completed_at: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const columns = `id, task_id, status, head_commit, submitted_at, gates_completed_at, agent_completed_at, human_completed_at,
  created_at, updated_at`;

function reviewOf(row: ReviewRow): Review {
  return {
    id: row.id,
    taskId: row.task_id,
    status: row.status,
    headCommit: row.head_commit,
    submittedAt: row.submitted_at,
    gatesCompletedAt: row.gates_completed_at ?? undefined,
    agentCompletedAt: row.agent_completed_at ?? undefined,
    humanCompletedAt: row.human_completed_at ?? undefined,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

const open: Statement = {
  name: 'reviews_open',
  text: `SELECT ${columns} FROM reviews WHERE task_id = ANY ($1) AND status NOT IN ('Approved', 'ChangesRequested')`,
};

/** The open review of each task that has one. */
export async function findOpenReviews(on: Queries, taskIds: readonly string[]): Promise<ReadonlyMap<string, Review>> {
  const rows = await on.query<ReviewRow>(open, [taskIds]);
  return new Map(rows.map((row) => [row.task_id, reviewOf(row)]));
}

const insert: Statement = {
  name: 'reviews_insert',
  text: `INSERT INTO reviews (id, task_id, status, head_commit, submitted_at, gates_completed_at, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`,
};

export async function insertReview(tx: Tx, review: Review): Promise<void> {
  await tx.query(insert, [
    review.id,
    review.taskId,
    review.status,
    review.headCommit,
    review.submittedAt.toISOString(),
    review.gatesCompletedAt?.toISOString() ?? null,
    review.createdAt.toISOString(),
  ]);
}

const close: Statement = {
  name: 'reviews_close',
  text: `UPDATE reviews SET status = $2, updated_at = $3, human_completed_at = CASE WHEN $2 = 'Approved' THEN $3::timestamptz END
    WHERE task_id = ANY ($1) AND status NOT IN ('Approved', 'ChangesRequested')
    RETURNING ${columns}`,
};

/** Ends what is open of these tasks. Answers it. */
export async function closeReviews(
  tx: Tx,
  taskIds: readonly string[],
  verdict: Verdict,
  now: Date,
): Promise<readonly Review[]> {
  return (await tx.query<ReviewRow>(close, [taskIds, verdict, now.toISOString()])).map(reviewOf);
}
