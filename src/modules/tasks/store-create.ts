import type { Statement, Tx } from '../../platform/db/db.js';
import type { Node } from './store.js';
import type { NewTask } from './tasks.js';

/** A task to be stored, with what its row says of others. */
export type PlacedTask = NewTask & Node;

const insert: Statement = {
  name: 'tasks_insert',
  text: `INSERT INTO tasks (id, repo_id, parent_id, grand_id, milestone_id, depth, kind, description, context, priority, status,
      own_blockers, blockers_above, cancelled_above, created_at, updated_at)
    SELECT g.id, g.repo_id, g.parent_id, g.grand_id, g.milestone_id, g.depth, g.kind, g.description, g.context, g.priority, 'Pending',
      g.own_blockers, g.blockers_above, g.cancelled_above, $14, $14
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::text[], $8::text[], $9::text[],
      $10::smallint[], $11::integer[], $12::integer[], $13::integer[]) WITH ORDINALITY
      AS g (id, repo_id, parent_id, grand_id, milestone_id, depth, kind, description, context, priority, own_blockers, blockers_above,
        cancelled_above, place)
    ORDER BY g.place`,
};

/** Inserts the tasks in this order. Their repositories are locked. */
export async function insertTasks(tx: Tx, tasks: readonly PlacedTask[], now: Date): Promise<void> {
  await tx.query(insert, [
    tasks.map((task) => task.id),
    tasks.map((task) => task.repoId),
    tasks.map((task) => task.parentId ?? null),
    tasks.map((task) => task.grandId ?? null),
    tasks.map((task) => task.milestoneId ?? null),
    tasks.map((task) => task.depth),
    tasks.map((task) => task.kind),
    tasks.map((task) => task.description),
    tasks.map((task) => task.context ?? null),
    tasks.map((task) => task.priority),
    tasks.map((task) => task.ownBlockers),
    tasks.map((task) => task.blockersAbove),
    tasks.map((task) => task.cancelledAbove),
    now.toISOString(),
  ]);
}
