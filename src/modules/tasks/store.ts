import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { Lineage } from '../gates/index.js';
import { isTaskId, type Kind, type Place, type Status, type Task } from './tasks.js';

/**
 * The SQL of the tables of tasks; migrations/0007-tasks.ts tells how they are laid out. Here: reading tasks, and the fence. One family a
 * file besides: `store-create.ts`, `store-change.ts`, `store-blockers.ts`, `store-list.ts`.
 */

export interface TaskRow {
  readonly id: string;
  readonly n: number;
  readonly repo_id: string;
  readonly parent_id: string | null;
  readonly grand_id: string | null;
  readonly kind: Kind;
  readonly description: string;
  readonly context: string | null;
  readonly priority: number;
  readonly status: Status;
  readonly depth: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly started_at: Date | null;
  readonly completed_at: Date | null;
  readonly archived_at: Date | null;
  readonly blocked_by: readonly string[];
  readonly blocks: readonly string[];
  readonly effectively_blocked: boolean;
}

/** Of a task `t`, its parent `p` and the parent's parent `g`. */
export const taskColumns = `t.id, t.n, t.repo_id, t.parent_id, t.grand_id, t.kind, t.description, t.context, t.priority, t.status,
  t.depth, t.created_at, t.updated_at, t.started_at, t.completed_at, t.archived_at,
  ARRAY(SELECT b.blocker_id FROM task_blockers b WHERE b.task_id = t.id ORDER BY b.n) AS blocked_by,
  ARRAY(SELECT b.task_id FROM task_blockers b WHERE b.blocker_id = t.id ORDER BY b.n) AS blocks,
  (t.own_blockers > 0 OR coalesce(p.own_blockers, 0) > 0 OR coalesce(g.own_blockers, 0) > 0) AS effectively_blocked`;

/**
 * One look-up each by the primary key, said so that the planner cannot make a join of it: for some 50 rows it would go through all tasks
 * in the order of their ids, in the hope of meeting the parents early.
 */
const ancestor = (id: string, name: string): string =>
  `LEFT JOIN LATERAL (
    SELECT a.own_blockers, a.status, a.kind, a.context FROM tasks a WHERE a.id = ${id} OFFSET 0
  ) ${name} ON true`;

export const withAncestors = `${ancestor('t.parent_id', 'p')} ${ancestor('t.grand_id', 'g')}`;

export function taskOf(row: TaskRow): Task {
  return {
    id: row.id,
    repoId: row.repo_id,
    parentId: row.parent_id ?? undefined,
    kind: row.kind,
    description: row.description,
    context: row.context ?? undefined,
    priority: row.priority,
    status: row.status,
    blockedBy: row.blocked_by,
    blocks: row.blocks,
    effectivelyBlocked: row.effectively_blocked,
    depth: row.depth,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    startedAt: row.started_at ?? undefined,
    completedAt: row.completed_at ?? undefined,
  };
}

const find: Statement = {
  name: 'tasks_find',
  text: `SELECT ${taskColumns} FROM tasks t ${withAncestors} WHERE t.id = $1`,
};

export async function findTask(on: Queries, id: string): Promise<Task | undefined> {
  const [row] = await on.query<TaskRow>(find, [id]);
  return row && taskOf(row);
}

/** What is inherited. */
export interface Context {
  readonly own: string | undefined;
  /** Of the parent, where that is no milestone. */
  readonly parent: string | undefined;
  readonly milestone: string | undefined;
}

export interface TaskInContext {
  readonly task: Task;
  /** Whom it inherits from, as `Context` has them. */
  readonly above: { readonly parentId: string | undefined; readonly milestoneId: string | undefined };
  readonly context: Context;
}

interface InContextRow extends TaskRow {
  readonly parent_kind: Kind | null;
  readonly parent_context: string | null;
  readonly grand_context: string | null;
}

const inContext: Statement = {
  name: 'tasks_in_context',
  text: `SELECT ${taskColumns}, p.kind AS parent_kind, p.context AS parent_context, g.context AS grand_context
    FROM tasks t ${withAncestors} WHERE t.id = ANY ($1)`,
};

export async function findInContext(on: Queries, ids: readonly string[]): Promise<TaskInContext[]> {
  return (await on.query<InContextRow>(inContext, [ids])).map((row) => {
    const underMilestone = row.parent_kind === 'Milestone';
    const milestone = underMilestone ? row.parent_context : row.grand_context;
    const parent = underMilestone ? null : row.parent_context;
    const context = { own: row.context ?? undefined, parent: parent ?? undefined, milestone: milestone ?? undefined };
    const above = {
      parentId: underMilestone ? undefined : (row.parent_id ?? undefined),
      milestoneId: (underMilestone ? row.parent_id : row.grand_id) ?? undefined,
    };
    return { task: taskOf(row), above, context };
  });
}

/** What rules ask of a task. */
export interface Node extends Place {
  readonly milestoneId: string | undefined;
  readonly status: Status;
  readonly ownBlockers: number;
  readonly blockersAbove: number;
  readonly cancelledAbove: number;
  readonly archived: boolean;
  /** Git is at work so that it can be started. */
  readonly starting: boolean;
}

/** What hands gates down to a task: its ancestors, and itself. */
export function lineageOf({ id, repoId, parentId, grandId }: Node): Lineage {
  return { repoId, taskIds: [grandId, parentId, id].filter((each) => each !== undefined) };
}

interface NodeRow {
  readonly id: string;
  readonly repo_id: string;
  readonly kind: Kind;
  readonly parent_id: string | null;
  readonly grand_id: string | null;
  readonly milestone_id: string | null;
  readonly depth: number;
  readonly status: Status;
  readonly own_blockers: number;
  readonly blockers_above: number;
  readonly cancelled_above: number;
  readonly archived: boolean;
  readonly starting: boolean;
}

/** What is above is counted here, since the row's own numbers are right for Pending tasks only. */
const nodes: Statement = {
  name: 'tasks_nodes',
  text: `SELECT t.id, t.repo_id, t.kind, t.parent_id, t.grand_id, t.milestone_id, t.depth, t.status, t.own_blockers,
      coalesce(p.own_blockers, 0) + coalesce(g.own_blockers, 0) AS blockers_above,
      (coalesce(p.status, '') = 'Cancelled')::int + (coalesce(g.status, '') = 'Cancelled')::int AS cancelled_above,
      t.archived_at IS NOT NULL AS archived, t.starting
    FROM tasks t ${withAncestors} WHERE t.id = ANY ($1)`,
  changesNothing: true,
};

export async function findNodes(on: Queries, ids: readonly string[]): Promise<ReadonlyMap<string, Node>> {
  const rows = await on.query<NodeRow>(nodes, [ids]);
  return new Map(
    rows.map((row) => [
      row.id,
      {
        id: row.id,
        repoId: row.repo_id,
        kind: row.kind,
        parentId: row.parent_id ?? undefined,
        grandId: row.grand_id ?? undefined,
        milestoneId: row.milestone_id ?? undefined,
        depth: row.depth,
        status: row.status,
        ownBlockers: row.own_blockers,
        blockersAbove: row.blockers_above,
        cancelledAbove: row.cancelled_above,
        archived: row.archived,
        starting: row.starting,
      },
    ]),
  );
}

const lock: Statement = {
  name: 'task_graphs_lock',
  text: 'SELECT repo_id FROM task_graphs WHERE repo_id = ANY ($1) ORDER BY repo_id FOR UPDATE',
  changesNothing: true,
};

/**
 * Locks the tasks of these repositories against every other change until the transaction ends. Answers those that have a fence: a
 * repository without one has no tasks. To be called before anything is read that a change rests on, and once in a transaction.
 */
export async function lockGraphs(tx: Tx, repoIds: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await tx.query<{ repo_id: string }>(lock, [repoIds]);
  return new Set(rows.map(({ repo_id }) => repo_id));
}

const lockOf: Statement = {
  name: 'task_graphs_lock_of',
  text: `SELECT g.repo_id FROM task_graphs g WHERE g.repo_id = (SELECT t.repo_id FROM tasks t WHERE t.id = $1) FOR UPDATE`,
  changesNothing: true,
};

/** The same for the repository of a task, which is answered; undefined when there is no such task. */
export async function lockNode(tx: Tx, id: string): Promise<Node | undefined> {
  if (!isTaskId(id)) return undefined;
  // The second reads when the lock is there, not before: whoever had it may have deleted the task.
  const [locked, found] = await Promise.all([tx.query(lockOf, [id]), findNodes(tx, [id])]);
  return locked.length === 0 ? undefined : found.get(id);
}

const add: Statement = {
  name: 'task_graphs_add',
  text: 'INSERT INTO task_graphs (repo_id) SELECT unnest($1::text[]) ORDER BY 1 ON CONFLICT DO NOTHING',
};

/** Gives repositories their fence. Waits for whoever is just doing the same. */
export async function addGraphs(tx: Tx, repoIds: readonly string[]): Promise<void> {
  await tx.query(add, [repoIds]);
}
