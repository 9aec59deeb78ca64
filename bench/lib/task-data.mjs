// Tasks by the hundred thousand, as a plan that is nine tenths done: every milestone of 33 tasks with two subtasks each has three
// open tasks with two open subtasks each. Made by statements of many rows, with the triggers that keep the counts.

import { migrations } from '../../dist/src/migrations/index.js';
import { settle, withClient } from './db.mjs';

export const REPO = 'repo_01M80V0E8VB3ME7N0000000000';
/** Without tasks. */
export const OTHER_REPOS = Array.from(
  { length: 16 },
  (_, n) => `repo_01M80V0E8VB3ME7N00000001${String(n).padStart(2, '0')}`,
);
const PER_MILESTONE = 100;
/** Tasks a statement inserts. */
const STEP = 100_000;

/** The id that the `place`th of a milestone's hundred has: 0 the milestone, 1 to 33 its tasks, 34 to 99 their subtasks. */
export function taskAt(milestone, place) {
  const prefix = place === 0 ? 'ms' : place <= 33 ? 'task' : 'sub';
  return idOf(prefix, milestone * PER_MILESTONE + place + 1);
}

/** A subtask that waits for another, and whose task and milestone have contexts of their own. */
export const waitingSubtask = (milestone) => taskAt(milestone, 35);
/** A subtask with branch, work tree and an open review. */
export const reviewedSubtask = (milestone) => taskAt(milestone, 37);

const idOf = (prefix, number) => `${prefix}_01M80V0E8VB3ME7N${String(number).padStart(10, '0')}`;

/** Makes Muster's own tables in a schema of their own, for a rival that writes rows by itself. */
export async function createSchema(connection, schema) {
  await withClient(connection, async (client) => {
    await client.query(`create schema ${schema}`);
    await client.query(`set search_path = ${schema}`);
    await migrate(client);
  });
}

export async function migrate(client) {
  for (const { up } of migrations) await up({ raw: (sql) => client.query(sql) });
}

/** Fills the tables of `search_path` with `count` tasks, a multiple of 100, and makes sure that what is counted in them is right. */
export async function fillTasks(client, count) {
  await client.query(
    `insert into repos (id, path, name, vcs_type, default_branch, created_at, updated_at)
     select id, '/bench/' || id, 'bench', 'Git', 'main', now(), now() from unnest($1::text[]) id`,
    [[REPO, ...OTHER_REPOS]],
  );
  await client.query('insert into task_graphs select id from repos');
  for (let first = 1; first <= count; first += STEP) {
    const range = [first, Math.min(count, first + STEP - 1)];
    await client.query(INSERT_TASKS, [REPO, ...range]);
    await client.query(INSERT_BLOCKERS, range);
    await client.query(INSERT_VCS, [REPO, ...range]);
    await client.query(INSERT_REVIEWS, range);
  }
  await checkTasks(client);
}

const id = (prefix, number) => `${prefix} || '_01M80V0E8VB3ME7N' || lpad((${number})::text, 10, '0')`;

/** Of the `j`th task: milestone `m`, place `k` in it, and the place of its parent, where that is a task. */
const PLACES = (from, to) => `
  select j, k, j - k as first,
    case when k = 0 then 'ms' when k <= 33 then 'task' else 'sub' end as prefix,
    case when k >= 34 then 1 + (k - 34) / 2 end as parent,
    k <= 3 or k between 34 and 39 as is_open
  from (select j, (j - 1) % ${PER_MILESTONE} as k from generate_series(${from}::int, ${to}::int) j) s`;

// The third task of a milestone waits for the first; of an open task's subtasks the second waits for the first, but for the one
// that is in review.
const INSERT_TASKS = `
  insert into tasks (id, repo_id, parent_id, grand_id, milestone_id, depth, kind, description, context, priority, status,
    own_blockers, blockers_above, open_children, created_at, updated_at, started_at, completed_at, archived_at)
  select ${id('prefix', 'j')}, $1,
    case when k = 0 then null when k <= 33 then ${id("'ms'", 'first')} else ${id("'task'", 'first + parent')} end,
    case when k >= 34 then ${id("'ms'", 'first')} end, ${id("'ms'", 'first')},
    case when k = 0 then 0 when k <= 33 then 1 else 2 end,
    case when k = 0 then 'Milestone' when k <= 33 then 'Task' else 'Subtask' end,
    'Do number ' || j || ' of the plan, and say in the end what has come of it', 'What to know of ' || j || repeat('. So it is', 20),
    (j / 7) % 4, case when k = 37 then 'InReview' when is_open then 'Pending' else 'Completed' end,
    case when k in (3, 35) then 1 else 0 end, case when is_open and parent = 3 then 1 else 0 end,
    case when k = 0 then 3 when k <= 3 then 2 else 0 end, now(), now(),
    case when k = 37 or not is_open then now() end, case when not is_open then now() end,
    case when not is_open and k % 2 = 0 then now() end
  from (${PLACES('$2', '$3')}) p order by j`;

const INSERT_BLOCKERS = `
  insert into task_blockers (task_id, blocker_id, parent_id, grand_id)
  select ${id('prefix', 'j')}, ${id('prefix', 'j - 1')},
    case when k <= 33 then ${id("'ms'", 'first')} else ${id("'task'", 'first + parent')} end,
    case when k >= 34 then ${id("'ms'", 'first')} end
  from (${PLACES('$1', '$2')}) p where k between 5 and 33 or (k >= 34 and k % 2 = 1 and k not in (37, 39))
  union all
  select ${id("'task'", 'j')}, ${id("'task'", 'first + 1')}, ${id("'ms'", 'first')}, null
  from (${PLACES('$1', '$2')}) p where k = 3`;

const INSERT_VCS = `
  insert into task_vcs (task_id, repo_id, state, ref_name, base_commit, start_commit, head_commit, worktree_path, created_at, updated_at)
  select t.id, $1, 'ready', 'task/' || t.id, repeat('a', 40), repeat('a', 40), repeat('b', 40), '/bench/worktrees/' || t.id, now(), now()
  from tasks t where t.n between $2 and $3 and t.status = 'InReview'`;

const INSERT_REVIEWS = `
  insert into reviews (id, task_id, status, base_commit, head_commit, submitted_at, gates_completed_at, created_at, updated_at)
  select 'rev' || substr(t.id, 4), t.id, 'HumanPending', repeat('a', 40), repeat('b', 40), now(), now(), now(), now()
  from tasks t where t.n between $1 and $2 and t.status = 'InReview'`;

/** Counts anew what is counted in the rows. */
const WRONG = `
  select 'task_counts' as what, count(*)::int as rows from (
    select s.scope_id, t.state, count(*) as count
    from tasks t cross join lateral (values (t.repo_id), (t.parent_id), (t.grand_id)) s (scope_id)
    where s.scope_id is not null group by 1, 2
  ) a full join task_counts c using (scope_id, state) where a.count is distinct from c.count
  union all
  select 'own_blockers', count(*) from tasks t where t.own_blockers <> (
    select count(*) from task_blockers b join tasks o on o.id = b.blocker_id where b.task_id = t.id and o.status <> 'Completed')
  union all
  select 'open_children', count(*) from tasks t where t.open_children <> (
    select count(*) from tasks c where c.parent_id = t.id and c.status not in ('Completed', 'Cancelled'))
  union all
  select 'blockers_above', count(*) from tasks t where t.status = 'Pending' and t.blockers_above <> (
    select coalesce(sum(a.own_blockers), 0) from tasks a where a.id in (t.parent_id, t.grand_id))
  union all
  select 'open', abs(count(*) filter (where status not in ('Completed', 'Cancelled')) * 10 - count(*)) from tasks`;

/** Throws when the tasks are not such as Muster would have made them. */
export async function checkTasks(client) {
  await client.query('analyze');
  const { rows } = await client.query(WRONG);
  const wrong = rows.filter((each) => Number(each.rows) > 0);
  if (wrong.length > 0) throw new Error(`the tasks made contradict themselves: ${JSON.stringify(wrong)}`);
}

/** A database of its own, of that many tasks. Resolves with its connection string. */
export async function createTaskDatabase(connection, count) {
  const name = `tasks_${count}`;
  await withClient(connection, (client) => client.query(`create database ${name}`));
  const url = new URL(connection);
  url.pathname = `/${name}`;
  await withClient(url.href, async (client) => {
    await migrate(client);
    await fillTasks(client, count);
  });
  await settle(url.href);
  return url.href;
}
