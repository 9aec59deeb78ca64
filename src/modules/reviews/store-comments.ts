import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { ReviewComment, Side } from './comments.js';

interface CommentRow {
  readonly id: string;
  readonly review_id: string;
  readonly task_id: string;
  readonly author: 'Agent' | 'Human';
  readonly file_path: string;
  readonly line_start: number | null;
  readonly line_end: number | null;
  readonly side: Side;
  readonly body: string;
  readonly created_at: Date;
  readonly resolved_at: Date | null;
}

const columns = 'id, review_id, task_id, author, file_path, line_start, line_end, side, body, created_at, resolved_at';

function commentOf(row: CommentRow): ReviewComment {
  return {
    id: row.id,
    reviewId: row.review_id,
    taskId: row.task_id,
    author: row.author,
    filePath: row.file_path,
    lineStart: row.line_start ?? undefined,
    lineEnd: row.line_end ?? undefined,
    side: row.side,
    body: row.body,
    createdAt: row.created_at,
    resolvedAt: row.resolved_at ?? undefined,
  };
}

const insert: Statement = {
  name: 'review_comments_insert',
  text: `INSERT INTO review_comments (id, review_id, task_id, author, file_path, line_start, line_end, side, body, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
};

export async function insertComment(tx: Tx, comment: ReviewComment): Promise<void> {
  const { id, reviewId, taskId, author, filePath, lineStart, lineEnd, side, body, createdAt } = comment;
  const lines = [lineStart ?? null, lineEnd ?? null];
  await tx.query(insert, [id, reviewId, taskId, author, filePath, ...lines, side, body, createdAt.toISOString()]);
}

const find: Statement = { name: 'review_comments_find', text: `SELECT ${columns} FROM review_comments WHERE id = $1` };

export async function findComment(on: Queries, id: string): Promise<ReviewComment | undefined> {
  const [row] = await on.query<CommentRow>(find, [id]);
  return row && commentOf(row);
}

const list: Statement = {
  name: 'review_comments_list',
  text: `SELECT ${columns} FROM review_comments WHERE review_id = $1 AND ($2::text IS NULL OR id > $2) ORDER BY id LIMIT $3`,
};

/** Of a review, oldest first, those after an id. */
export async function listComments(
  on: Queries,
  reviewId: string,
  after: string | undefined,
  limit: number,
): Promise<ReviewComment[]> {
  return (await on.query<CommentRow>(list, [reviewId, after ?? null, limit])).map(commentOf);
}

const resolve: Statement = {
  name: 'review_comments_resolve',
  text: `UPDATE review_comments SET resolved_at = $2 WHERE id = $1 AND resolved_at IS NULL RETURNING ${columns}`,
};

/** Answers the comment when it was not resolved before. */
export async function resolveComment(tx: Tx, id: string, now: Date): Promise<ReviewComment | undefined> {
  const [row] = await tx.query<CommentRow>(resolve, [id, now.toISOString()]);
  return row && commentOf(row);
}
