import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import { type Learning, limits } from './learnings.js';

/** The SQL of learnings; migrations/0012-learnings.ts tells what the table is like. */

interface LearningRow {
  readonly id: string;
  readonly n: number;
  readonly task_id: string;
  readonly content: string;
  readonly source_task_id: string | null;
  readonly created_at: Date;
}

const columns = 'l.id, l.n, l.task_id, l.content, l.source_task_id, l.created_at';

function learningOf(row: LearningRow): Learning {
  return {
    id: row.id,
    taskId: row.task_id,
    content: row.content,
    sourceTaskId: row.source_task_id ?? undefined,
    createdAt: row.created_at,
  };
}

const insert: Statement = {
  name: 'learnings_insert',
  text: `INSERT INTO learnings (id, task_id, content, source_task_id, origin_id, created_at)
    SELECT c.id, $2, c.content, c.source_task_id, c.origin_id, $7
    FROM unnest($1::text[], $3::text[], $4::text[], $5::text[], $6::integer[])
      AS c (id, content, source_task_id, origin_id, place) ORDER BY c.place`,
};

/** A learning, and the one that it is a copy of in the end; its own id when it is none. */
export type Origined = Learning & { readonly originId: string };

/** Adds them to one task, in this order. Its repository is locked. */
export async function insertLearnings(
  tx: Tx,
  taskId: string,
  learnings: readonly Origined[],
  now: Date,
): Promise<void> {
  await tx.query(insert, [
    learnings.map(({ id }) => id),
    taskId,
    learnings.map(({ content }) => content),
    learnings.map(({ sourceTaskId }) => sourceTaskId ?? null),
    learnings.map(({ originId }) => originId),
    learnings.map((_, place) => place),
    now.toISOString(),
  ]);
}

const lacking: Statement = {
  name: 'learnings_lacking',
  text: `SELECT ${columns}, l.origin_id FROM learnings l
    WHERE l.task_id = $1 AND NOT EXISTS (SELECT FROM learnings k WHERE k.task_id = $2 AND k.origin_id = l.origin_id)
    ORDER BY l.n`,
};

/** What one task has and another has not, oldest first. */
export async function findLacking(tx: Tx, from: string, to: string): Promise<readonly Origined[]> {
  const rows = await tx.query<LearningRow & { readonly origin_id: string }>(lacking, [from, to]);
  return rows.map((row) => ({ ...learningOf(row), originId: row.origin_id }));
}

const newest: Statement = {
  name: 'learnings_newest',
  text: `SELECT ${columns} FROM unnest($1::text[]) AS t (id)
    CROSS JOIN LATERAL (SELECT * FROM learnings WHERE task_id = t.id ORDER BY n DESC LIMIT ${limits.inherited}) l
    ORDER BY l.task_id, l.n`,
};

/** The newest of each of these tasks that has any, oldest first. */
export async function findNewest(
  on: Queries,
  taskIds: readonly string[],
): Promise<ReadonlyMap<string, readonly Learning[]>> {
  const found = new Map<string, Learning[]>();
  for (const row of await on.query<LearningRow>(newest, [taskIds])) {
    const list = found.get(row.task_id) ?? [];
    list.push(learningOf(row));
    found.set(row.task_id, list);
  }
  return found;
}

const list: Statement = {
  name: 'learnings_list',
  text: `SELECT ${columns} FROM learnings l WHERE l.task_id = $1 AND l.n > $2 ORDER BY l.n LIMIT $3`,
};

/** A learning, and its place among all. */
export interface Listed {
  readonly learning: Learning;
  readonly n: number;
}

/** Those of a task after a place, oldest first, each with its own place. */
export async function listAfter(on: Queries, taskId: string, after: number, limit: number): Promise<readonly Listed[]> {
  const rows = await on.query<LearningRow>(list, [taskId, after, limit]);
  return rows.map((row) => ({ learning: learningOf(row), n: row.n }));
}
