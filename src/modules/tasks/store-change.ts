import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import { openStates, pendingStates } from './states.js';
import type { Patch, Status } from './tasks.js';
import { isOpen } from './transitions.js';

/** The SQL of changes of tasks. Whoever changes a task has locked its repository (`lockGraphs`). */

export interface StatusChange {
  readonly id: string;
  readonly parentId: string | undefined;
  readonly from: Status;
  readonly to: Status;
}

const quoted = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(', ');

const setStatus: Statement = {
  name: 'tasks_set_status',
  text: `UPDATE tasks t SET status = c.status, updated_at = $3, starting = t.starting AND c.status <> 'InProgress',
      started_at = CASE WHEN c.status = 'InProgress' THEN coalesce(t.started_at, $3) ELSE t.started_at END,
      completed_at = CASE WHEN c.status = 'Completed' THEN $3::timestamptz END,
      blockers_above = CASE WHEN c.status = 'Pending' THEN (
        SELECT coalesce(sum(a.own_blockers), 0) FROM tasks a WHERE a.id = ANY (ARRAY[t.parent_id, t.grand_id])
      ) ELSE t.blockers_above END,
      cancelled_above = CASE WHEN c.status = 'Pending' THEN (
        SELECT count(*) FROM tasks a WHERE a.id = ANY (ARRAY[t.parent_id, t.grand_id]) AND a.status = 'Cancelled'
      ) ELSE t.cancelled_above END
    FROM unnest($1::text[], $2::text[]) AS c (id, status) WHERE t.id = c.id
    RETURNING t.id, t.started_at`,
};

/**
 * Changes statuses, and counts anew what depends on them in other tasks. Not for a task together with an ancestor unless both are
 * closed by it. Answers when each task was first started.
 */
export async function changeStatuses(
  tx: Tx,
  changes: readonly StatusChange[],
  now: Date,
): Promise<ReadonlyMap<string, Date | undefined>> {
  const rows = await tx.query<{ id: string; started_at: Date | null }>(setStatus, [
    changes.map(({ id }) => id),
    changes.map(({ to }) => to),
    now.toISOString(),
  ]);
  const isCancelled = (status: Status): number => (status === 'Cancelled' ? 1 : 0);
  await addOpenChildren(
    tx,
    changes.map(({ parentId, from, to }) => ({ id: parentId, by: Number(isOpen(to)) - Number(isOpen(from)) })),
  );
  await addToBlocked(
    tx,
    changes.map(({ id, from, to }) => ({ id, by: Number(from === 'Completed') - Number(to === 'Completed') })),
  );
  await addBelow(
    tx,
    'cancelled_above',
    changes.map(({ id, from, to }) => ({ id, by: isCancelled(to) - isCancelled(from) })),
  );
  return new Map(rows.map(({ id, started_at }) => [id, started_at ?? undefined]));
}

/** By how much a number of a task changes. */
export interface Delta {
  readonly id: string | undefined;
  readonly by: number;
}

/** The sum for each task that has one, and those alone. */
function sums(deltas: readonly Delta[]): readonly [ids: readonly string[], by: readonly number[]] {
  const total = new Map<string, number>();
  for (const { id, by } of deltas) if (id !== undefined) total.set(id, (total.get(id) ?? 0) + by);
  const changed = [...total].filter(([, by]) => by !== 0);
  return [changed.map(([id]) => id), changed.map(([, by]) => by)];
}

const openChildren: Statement = {
  name: 'tasks_add_open_children',
  text: `UPDATE tasks t SET open_children = t.open_children + c.by
    FROM unnest($1::text[], $2::integer[]) AS c (id, by) WHERE t.id = c.id`,
};

export async function addOpenChildren(tx: Tx, deltas: readonly Delta[]): Promise<void> {
  const values = sums(deltas);
  if (values[0].length > 0) await tx.query(openChildren, values);
}

const ownBlockers: Statement = {
  name: 'tasks_add_own_blockers',
  text: `UPDATE tasks t SET own_blockers = t.own_blockers + c.by
    FROM unnest($1::text[], $2::integer[]) AS c (id, by) WHERE t.id = c.id`,
};

/** Counts blockers that are not Completed, for the tasks and all that is Pending below them. */
export async function addOwnBlockers(tx: Tx, deltas: readonly Delta[]): Promise<void> {
  const values = sums(deltas);
  if (values[0].length === 0) return;
  await tx.query(ownBlockers, values);
  await addBelow(tx, 'blockers_above', deltas);
}

const blocked: Statement = {
  name: 'tasks_blocked_by',
  text: 'SELECT task_id, blocker_id FROM task_blockers WHERE blocker_id = ANY ($1)',
};

/** The same for what these tasks block. */
async function addToBlocked(tx: Tx, deltas: readonly Delta[]): Promise<void> {
  const [ids, by] = sums(deltas);
  if (ids.length === 0) return;
  const byId = new Map(ids.map((id, index) => [id, by[index] ?? 0]));
  const rows = await tx.query<{ task_id: string; blocker_id: string }>(blocked, [ids]);
  await addOwnBlockers(
    tx,
    rows.map((row) => ({ id: row.task_id, by: byId.get(row.blocker_id) ?? 0 })),
  );
}

const below = (column: string): Statement => ({
  name: `tasks_add_${column}`,
  text: `UPDATE tasks t SET ${column} = t.${column} + s.by
    FROM (
      SELECT d.id, sum(c.by) AS by FROM unnest($1::text[], $2::integer[]) AS c (id, by) CROSS JOIN LATERAL (
        SELECT k.id FROM tasks k WHERE k.parent_id = c.id AND k.state IN (${quoted(pendingStates)})
        UNION ALL
        SELECT k.id FROM tasks k WHERE k.grand_id = c.id AND k.status = 'Pending'
          AND k.status NOT IN ('Completed', 'Cancelled')
      ) d GROUP BY d.id
    ) s WHERE t.id = s.id`,
});

const belowStatements = { blockers_above: below('blockers_above'), cancelled_above: below('cancelled_above') };

/** Tells all that is Pending below these tasks. */
async function addBelow(tx: Tx, column: keyof typeof belowStatements, deltas: readonly Delta[]): Promise<void> {
  const values = sums(deltas);
  if (values[0].length > 0) await tx.query(belowStatements[column], values);
}

export interface OpenTask {
  readonly id: string;
  readonly parentId: string | undefined;
  readonly status: Status;
}

const openBelow: Statement = {
  name: 'tasks_open_below',
  text: `SELECT t.id, t.parent_id, t.status, t.n FROM tasks t WHERE t.parent_id = $1 AND t.state IN (${quoted(openStates)})
    UNION ALL
    SELECT t.id, t.parent_id, t.status, t.n FROM tasks t WHERE t.grand_id = $1 AND t.status NOT IN ('Completed', 'Cancelled')
    ORDER BY n`,
};

/** Every open descendant, oldest first. */
export async function findOpenBelow(on: Queries, id: string): Promise<readonly OpenTask[]> {
  const rows = await on.query<{ id: string; parent_id: string | null; status: Status }>(openBelow, [id]);
  return rows.map(({ id: own, parent_id, status }) => ({ id: own, parentId: parent_id ?? undefined, status }));
}

const openChildrenOf: Statement = {
  name: 'tasks_open_children',
  text: `SELECT t.id, t.status FROM tasks t WHERE t.parent_id = $1 AND t.state IN (${quoted(openStates)})
    ORDER BY t.n LIMIT 100`,
};

/** Up to 100 open children, oldest first. */
export function findOpenChildren(on: Queries, id: string): Promise<Pick<OpenTask, 'id' | 'status'>[]> {
  return on.query(openChildrenOf, [id]);
}

const patch: Statement = {
  name: 'tasks_patch',
  text: `UPDATE tasks SET description = coalesce($2, description), context = CASE WHEN $3 THEN $4 ELSE context END,
      priority = coalesce($5, priority), updated_at = $6
    WHERE id = $1`,
};

export async function patchTask(tx: Tx, id: string, change: Patch, now: Date): Promise<void> {
  const { description, context, priority } = change;
  const values = [id, description ?? null, 'context' in change, context ?? null, priority ?? null, now.toISOString()];
  await tx.query(patch, values);
}

const touch: Statement = { name: 'tasks_touch', text: 'UPDATE tasks SET updated_at = $2 WHERE id = ANY ($1)' };

export async function touchTasks(tx: Tx, ids: readonly string[], now: Date): Promise<void> {
  await tx.query(touch, [ids, now.toISOString()]);
}

const subtree: Statement = {
  name: 'tasks_subtree',
  text: `SELECT t.id, t.depth, t.n FROM tasks t WHERE t.id = $1
    UNION ALL SELECT t.id, t.depth, t.n FROM tasks t WHERE t.parent_id = $1
    UNION ALL SELECT t.id, t.depth, t.n FROM tasks t WHERE t.grand_id = $1
    ORDER BY depth DESC, n`,
};

/** A task and all below it, the deepest first. */
export async function findSubtree(on: Queries, id: string): Promise<readonly string[]> {
  return (await on.query<{ id: string }>(subtree, [id])).map((row) => row.id);
}

const remove: Statement = { name: 'tasks_delete', text: 'DELETE FROM tasks WHERE id = ANY ($1)' };

/** Deletes a whole subtree, with the edges of its tasks. */
export async function deleteTasks(tx: Tx, ids: readonly string[]): Promise<void> {
  await tx.query(remove, [ids]);
}
