import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { Blocker, Reach } from './blockers.js';
import type { Place, Status } from './tasks.js';

/** The SQL of task_blockers: who waits for whom. */

export interface Edge {
  readonly task: Pick<Place, 'id' | 'parentId' | 'grandId'>;
  readonly blockerId: string;
}

const insert: Statement = {
  name: 'task_blockers_insert',
  text: `INSERT INTO task_blockers (task_id, blocker_id, parent_id, grand_id)
    SELECT g.task_id, g.blocker_id, g.parent_id, g.grand_id
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
      AS g (task_id, blocker_id, parent_id, grand_id, place)
    ORDER BY g.place ON CONFLICT DO NOTHING RETURNING task_id`,
};

/** Answers how many of them are new. */
export async function insertEdges(tx: Tx, edges: readonly Edge[]): Promise<number> {
  const rows = await tx.query(insert, [
    edges.map(({ task }) => task.id),
    edges.map(({ blockerId }) => blockerId),
    edges.map(({ task }) => task.parentId ?? null),
    edges.map(({ task }) => task.grandId ?? null),
  ]);
  return rows.length;
}

const remove: Statement = {
  name: 'task_blockers_remove',
  text: 'DELETE FROM task_blockers WHERE task_id = $1 AND blocker_id = $2 RETURNING task_id',
};

/** Answers whether there was one. */
export async function deleteEdge(tx: Tx, id: string, blockerId: string): Promise<boolean> {
  return (await tx.query(remove, [id, blockerId])).length > 0;
}

const degree: Statement = {
  name: 'task_blockers_degree',
  text: `SELECT (SELECT count(*) FROM task_blockers WHERE task_id = $1) AS blocked_by,
      (SELECT count(*) FROM task_blockers WHERE blocker_id = $2) AS blocks`,
};

/** How many blockers a task has, and how many tasks another one blocks. */
export async function countEdges(
  tx: Tx,
  id: string,
  blockerId: string,
): Promise<{ readonly blockedBy: number; readonly blocks: number }> {
  const [row] = await tx.query<{ blocked_by: number; blocks: number }>(degree, [id, blockerId]);
  return { blockedBy: row?.blocked_by ?? 0, blocks: row?.blocks ?? 0 };
}

const blocked: Statement = {
  name: 'task_blockers_blocked',
  text: 'SELECT blocker_id AS id, count(*) AS count FROM task_blockers WHERE blocker_id = ANY ($1) GROUP BY blocker_id',
};

/** How many tasks each of these blocks; those that block any. */
export async function countBlocked(on: Queries, ids: readonly string[]): Promise<Map<string, number>> {
  const rows = await on.query<{ id: string; count: number }>(blocked, [ids]);
  return new Map(rows.map(({ id, count }) => [id, count]));
}

/**
 * Follows who waits for whom from these tasks on: for their blockers, their ancestors' (they cannot start before them) and their
 * descendants' (they cannot end before them). Goes along edges only, so that a milestone of many tasks costs no more than what they are
 * blocked by; and looks each task up by itself, since Postgres expects thousands and would rather read them all.
 */
const reach: Statement = {
  name: 'task_blockers_reach',
  text: `WITH RECURSIVE reached (from_id, id) AS (
      SELECT NULL::text COLLATE "C", s.id COLLATE "C" FROM unnest($1::text[]) AS s (id)
      UNION
      SELECT r.id, e.blocker_id
      FROM reached r
        CROSS JOIN LATERAL (SELECT o.id, o.parent_id, o.grand_id FROM tasks o WHERE o.id = r.id LIMIT 1) t
        CROSS JOIN LATERAL (
          SELECT b.blocker_id FROM task_blockers b WHERE b.task_id = ANY (ARRAY[t.id, t.parent_id, t.grand_id])
          UNION ALL SELECT b.blocker_id FROM task_blockers b WHERE b.parent_id = t.id
          UNION ALL SELECT b.blocker_id FROM task_blockers b WHERE b.grand_id = t.id
        ) e
    )
    SELECT r.from_id, r.id, t.parent_id, t.grand_id
    FROM reached r CROSS JOIN LATERAL (SELECT o.parent_id, o.grand_id FROM tasks o WHERE o.id = r.id LIMIT 1) t`,
};

/** What these tasks wait for, together. */
export async function findReach(on: Queries, ids: readonly string[]): Promise<Reach> {
  const rows = await on.query<{
    from_id: string | null;
    id: string;
    parent_id: string | null;
    grand_id: string | null;
  }>(reach, [ids]);
  return {
    steps: rows.flatMap(({ from_id: from, id: to }) => (from === null ? [] : [{ from, to }])),
    reached: new Map(
      rows.map((row) => [
        row.id,
        { id: row.id, parentId: row.parent_id ?? undefined, grandId: row.grand_id ?? undefined },
      ]),
    ),
  };
}

const unreleased: Statement = {
  name: 'task_blockers_unreleased',
  text: `SELECT b.blocker_id AS id, t.status, b.task_id AS of FROM task_blockers b JOIN tasks t ON t.id = b.blocker_id
    WHERE b.task_id = ANY ($1) AND t.status <> 'Completed' ORDER BY b.n LIMIT 100`,
};

/** What a task waits for, its ancestors' blockers included; at most 100. */
export function findUnreleased(on: Queries, { id, parentId, grandId }: Edge['task']): Promise<Blocker[]> {
  const ids = [id, parentId, grandId].filter((each) => each !== undefined);
  return on.query<Blocker>(unreleased, [ids]);
}

const outward: Statement = {
  name: 'task_blockers_outward',
  text: `SELECT b.task_id, b.blocker_id, s.status FROM task_blockers b JOIN tasks s ON s.id = b.blocker_id
    WHERE b.blocker_id = ANY ($1) AND NOT b.task_id = ANY ($1) ORDER BY b.n`,
};

/** Which other tasks these block. */
export async function findBlockedByThese(
  on: Queries,
  ids: readonly string[],
): Promise<readonly { readonly taskId: string; readonly blockerId: string; readonly status: Status }[]> {
  const rows = await on.query<{ task_id: string; blocker_id: string; status: Status }>(outward, [ids]);
  return rows.map(({ task_id: taskId, blocker_id: blockerId, status }) => ({ taskId, blockerId, status }));
}
