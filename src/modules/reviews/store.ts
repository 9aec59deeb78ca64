import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { Review, ReviewStatus, Verdict } from './reviews.js';

interface ReviewRow {
  readonly id: string;
  readonly task_id: string;
  readonly status: ReviewStatus;
  readonly base_commit: string;
  readonly head_commit: string;
  readonly head_tree: string | null;
  readonly summary: string | null;
  readonly submitted_at: Date;
  readonly gates_completed_at: Date | null;
  readonly agent_completed_at: Date | null;
  readonly human_completed_at: Date | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const columns = `id, task_id, status, base_commit, head_commit, head_tree, summary, submitted_at, gates_completed_at,
  agent_completed_at, human_completed_at, created_at, updated_at`;

function reviewOf(row: ReviewRow): Review {
  return {
    id: row.id,
    taskId: row.task_id,
    status: row.status,
    baseCommit: row.base_commit,
    headCommit: row.head_commit,
    headTree: row.head_tree ?? undefined,
    summary: row.summary ?? undefined,
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
  text: `INSERT INTO reviews (id, task_id, status, base_commit, head_commit, head_tree, submitted_at, gates_completed_at,
      created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`,
};

export async function insertReview(tx: Tx, review: Review): Promise<void> {
  await tx.query(insert, [
    review.id,
    review.taskId,
    review.status,
    review.baseCommit,
    review.headCommit,
    review.headTree ?? null,
    review.submittedAt.toISOString(),
    review.gatesCompletedAt?.toISOString() ?? null,
    review.createdAt.toISOString(),
  ]);
}

const find: Statement = { name: 'reviews_find', text: `SELECT ${columns} FROM reviews WHERE id = $1` };

export async function findReview(on: Queries, id: string): Promise<Review | undefined> {
  const [row] = await on.query<ReviewRow>(find, [id]);
  return row && reviewOf(row);
}

const list: Statement = {
  name: 'reviews_list',
  text: `SELECT ${columns} FROM reviews WHERE task_id = $1 AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3`,
};

/** Of a task, oldest first, those after an id. */
export async function listReviews(
  on: Queries,
  taskId: string,
  after: string | undefined,
  limit: number,
): Promise<Review[]> {
  return (await on.query<ReviewRow>(list, [taskId, after ?? null, limit])).map(reviewOf);
}

const phase: Statement = {
  name: 'reviews_phase',
  text: `UPDATE reviews SET status = $2, agent_completed_at = $3, human_completed_at = $4, summary = $5, updated_at = $6,
    gates_completed_at = $7, head_commit = $8, head_tree = $9
    WHERE id = $1`,
};

/** Writes down what a phase has come to. */
export async function savePhase(tx: Tx, review: Review): Promise<void> {
  await tx.query(phase, [
    review.id,
    review.status,
    review.agentCompletedAt?.toISOString() ?? null,
    review.humanCompletedAt?.toISOString() ?? null,
    review.summary ?? null,
    review.updatedAt.toISOString(),
    review.gatesCompletedAt?.toISOString() ?? null,
    review.headCommit,
    review.headTree ?? null,
  ]);
}

const openOfRepo: Statement = {
  name: 'reviews_open_of_repo',
  text: `SELECT r.id FROM reviews r JOIN tasks t ON t.id = r.task_id
    WHERE t.repo_id = $1 AND r.status NOT IN ('Approved', 'ChangesRequested') ORDER BY r.id LIMIT 1000`,
};

/** The ids of the open reviews of a repository. */
export async function findOpenOfRepo(on: Queries, repoId: string): Promise<readonly string[]> {
  return (await on.query<{ id: string }>(openOfRepo, [repoId])).map(({ id }) => id);
}

const addDoer: Statement = {
  name: 'task_doers_add',
  text: 'INSERT INTO task_doers (task_id, actor_id) VALUES ($1, $2) ON CONFLICT DO NOTHING',
};

/** Says who starts or submits a task. */
export async function insertDoer(tx: Tx, taskId: string, actorId: string): Promise<void> {
  await tx.query(addDoer, [taskId, actorId]);
}

const doer: Statement = {
  name: 'task_doers_find',
  text: 'SELECT 1 FROM task_doers WHERE task_id = $1 AND actor_id = $2',
};

/** Whether somebody has ever started or submitted a task. */
export async function isDoer(on: Queries, taskId: string, actorId: string): Promise<boolean> {
  return (await on.query(doer, [taskId, actorId])).length > 0;
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
