import type { Queries, Statement } from '../../platform/db/db.js';
import type { State } from './states.js';
import { taskColumns, taskOf, type TaskRow, withAncestors } from './store.js';
import type { Kind, Task } from './tasks.js';

/** The SQL of lists, trees, progress and what is next. Whatever is asked for, an index has it in its order. */

export interface ListFilter {
  /** Undefined: all. */
  readonly repoId: string | undefined;
  /** `roots`: those without a parent. */
  readonly parent: { readonly id: string } | 'roots' | undefined;
  /** Undefined: all of them. */
  readonly pairs: readonly { readonly state: State; readonly kind: Kind }[] | undefined;
  /** Only those older than this `n`. */
  readonly before: number | undefined;
  readonly limit: number;
}

export interface Listed {
  readonly task: Task;
  readonly n: number;
}

/** One page, newest first: of each pair of state and kind the newest few, and of all these the newest. */
export async function listTasks(on: Queries, filter: ListFilter): Promise<Listed[]> {
  const { repoId, parent, pairs, before, limit } = filter;
  const scope = typeof parent === 'object' ? 'parent' : parent === 'roots' ? 'roots' : 'any';
  const conditions = [
    ...(repoId !== undefined ? ['t.repo_id = $3'] : ['$3::text IS NULL']),
    ...(scope === 'parent' ? ['t.parent_id = $4'] : ['$4::text IS NULL']),
    ...(scope === 'roots' ? ['t.parent_id IS NULL'] : []),
    't.n < $2',
  ];
  const page =
    pairs === undefined
      ? `SELECT t.n FROM tasks t WHERE ${conditions.join(' AND ')} ORDER BY t.n DESC LIMIT $1`
      : `SELECT l.n FROM unnest($5::text[], $6::text[]) AS w (state, kind) CROSS JOIN LATERAL (
          SELECT t.n FROM tasks t WHERE ${conditions.join(' AND ')} AND t.state = w.state AND t.kind = w.kind
          ORDER BY t.n DESC LIMIT $1
        ) l ORDER BY l.n DESC LIMIT $1`;
  const rows = await on.query<TaskRow>(
    {
      name: `tasks_list_${repoId !== undefined}_${scope}_${pairs !== undefined}`,
      text: `SELECT ${taskColumns} FROM (${page}) page JOIN tasks t ON t.n = page.n ${withAncestors} ORDER BY t.n DESC`,
    },
    [
      limit,
      before ?? Number.MAX_SAFE_INTEGER,
      repoId ?? null,
      typeof parent === 'object' ? parent.id : null,
      ...(pairs === undefined ? [] : [pairs.map(({ state }) => state), pairs.map(({ kind }) => kind)]),
    ],
  );
  return rows.map((row) => ({ task: taskOf(row), n: row.n }));
}

const tree = (name: string, from: string): Statement => ({
  name: `tasks_tree_${name}`,
  text: `SELECT ${taskColumns} FROM ${from} ${withAncestors} ORDER BY t.n`,
});

const trees = {
  all: tree('all', `(SELECT * FROM tasks WHERE $1::text IS NULL ORDER BY n LIMIT $2) t`),
  repo: tree('repo', `(SELECT * FROM tasks WHERE repo_id = $1 ORDER BY n LIMIT $2) t`),
  root: tree(
    'root',
    `(
      SELECT * FROM tasks WHERE id = $1
      UNION ALL (SELECT * FROM tasks WHERE parent_id = $1 LIMIT $2)
      UNION ALL (SELECT * FROM tasks WHERE grand_id = $1 LIMIT $2)
    ) t`,
  ),
};

/** Tasks of a tree, oldest first: all, those of a repository, or one and what is below it. Somewhat more than `limit` at the most. */
export async function findTree(
  on: Queries,
  of: { readonly repoId: string | undefined; readonly rootId: string | undefined },
  limit: number,
): Promise<Task[]> {
  const statement = of.rootId !== undefined ? trees.root : of.repoId !== undefined ? trees.repo : trees.all;
  return (await on.query<TaskRow>(statement, [of.rootId ?? of.repoId ?? null, limit])).map(taskOf);
}

const counts: Statement = {
  name: 'task_counts_of',
  text: `SELECT state, sum(count)::bigint AS count FROM (
      SELECT c.state, c.count FROM task_counts c WHERE c.scope_id = $1
      UNION ALL SELECT t.state, 1 FROM tasks t WHERE t.id = $1
    ) s GROUP BY state`,
};

/** How many tasks there are of each state in a repository, or in a task and below it. */
export async function countStates(on: Queries, id: string): Promise<ReadonlyMap<string, number>> {
  const rows = await on.query<{ state: string; count: number }>(counts, [id]);
  return new Map(rows.map(({ state, count }) => [state, count]));
}

const next = (name: string, column: string): Statement => ({
  name: `tasks_next_${name}`,
  text: `SELECT t.id FROM tasks t WHERE t.${column} = $1 AND t.state = 'ready' AND t.id <> ALL ($2)
    ORDER BY t.priority, t.depth DESC, t.n LIMIT 1`,
});
const nexts = { repo: next('repo', 'repo_id'), milestone: next('milestone', 'milestone_id') };

/** Where to look for work: in a repository, or in one of its milestones. */
export interface WorkScope {
  readonly repoId: string;
  /** Only this one and what is below it. */
  readonly milestoneId: string | undefined;
}

/** The id of the ready task that goes first, but for some. */
export async function findNextReady(
  on: Queries,
  { repoId, milestoneId }: WorkScope,
  except: readonly string[] = [],
): Promise<string | undefined> {
  const statement = milestoneId !== undefined ? nexts.milestone : nexts.repo;
  const [row] = await on.query<{ id: string }>(statement, [milestoneId ?? repoId, except]);
  return row?.id;
}
