// What one would write by hand with Fastify and pg for tasks, over tables and with statements such as Muster's: a task with its
// context, and a new task in one transaction. Named prepared statements, no logging.
//
// Options: schema, pool (connections), pipeline (read over this many pipelined connections instead of the pool; 0: do not).

import { randomBytes } from 'node:crypto';
import fastify from 'fastify';
import pg from 'pg';
import { answer, childOptions } from '../lib/child.mjs';

const { schema, pool: size = 8, pipeline = 0 } = childOptions();
const connectionString = process.env.DATABASE_URL;

// As Muster's sessions have it: with plans made once, these statements are quicker.
const prepare = (client) =>
  client.query(`set search_path = ${schema}; set plan_cache_mode = force_generic_plan; set jit = off;
    set max_parallel_workers_per_gather = 0; set random_page_cost = 1.1; set timezone = 'UTC'`);
const pool = new pg.Pool({ connectionString, max: size, min: size, onConnect: prepare });
const pipelined = await Promise.all(
  Array.from({ length: pipeline }, async () => {
    const client = new pg.Client({ connectionString });
    await client.connect();
    await prepare(client);
    client.pipeline = true;
    return client;
  }),
);

let turn = 0;
const reader = () => (pipelined.length > 0 ? pipelined[(turn = (turn + 1) % pipelined.length)] : pool);

const ANCESTORS = 'LEFT JOIN tasks p ON p.id = t.parent_id LEFT JOIN tasks g ON g.id = t.grand_id';
const statement = (name, text) => (values) => ({ name, text, values });

const selectTask = statement(
  'select_task',
  `SELECT t.id, t.repo_id, t.parent_id, t.kind, t.description, t.context, t.priority, t.status,
    t.depth, t.created_at, t.updated_at, t.started_at, t.completed_at,
    ARRAY(SELECT b.blocker_id FROM task_blockers b WHERE b.task_id = t.id ORDER BY b.n) AS blocked_by,
    ARRAY(SELECT b.task_id FROM task_blockers b WHERE b.blocker_id = t.id ORDER BY b.n) AS blocks,
    (t.own_blockers > 0 OR coalesce(p.own_blockers, 0) > 0 OR coalesce(g.own_blockers, 0) > 0) AS effectively_blocked,
    p.kind AS parent_kind, p.context AS parent_context, g.context AS grand_context
  FROM tasks t ${ANCESTORS} WHERE t.id = $1`,
);
const selectReview = statement(
  'select_review',
  `SELECT id, task_id, status, base_commit, head_commit, head_tree, summary, submitted_at, gates_completed_at, agent_completed_at,
    human_completed_at, created_at, updated_at
  FROM reviews WHERE task_id = $1 AND status NOT IN ('Approved', 'ChangesRequested')`,
);
const selectVcs = statement(
  'select_vcs',
  `SELECT task_id, repo_id, state, ref_name, base_commit, start_commit, head_commit, worktree_path, created_at, updated_at, archived_at
  FROM task_vcs WHERE task_id = $1`,
);

const selectLearnings = statement(
  'select_learnings',
  `SELECT l.id, l.task_id, l.content, l.source_task_id, l.created_at FROM tasks t
    CROSS JOIN LATERAL unnest(ARRAY[t.id, t.parent_id, t.grand_id]) AS a (id)
    CROSS JOIN LATERAL (SELECT * FROM learnings WHERE task_id = a.id ORDER BY n DESC LIMIT 100) l
  WHERE t.id = $1 ORDER BY l.task_id, l.n`,
);
const selectGates = statement(
  'select_gates',
  `SELECT g.id, g.repo_id, g.task_id, g.source, g.name, g.command, g.timeout_secs, g.max_retries, g.poll_interval_secs,
    g.max_pending_secs, g.created_at, g.updated_at
  FROM tasks t JOIN gates g ON g.repo_id = t.repo_id AND (g.task_id IS NULL OR g.task_id IN (t.id, t.parent_id, t.grand_id))
  WHERE t.id = $1 ORDER BY g.n`,
);

const lockGraph = statement('lock_graph', 'SELECT repo_id FROM task_graphs WHERE repo_id = $1 FOR UPDATE');
const selectNodes = statement(
  'select_nodes',
  `SELECT t.id, t.repo_id, t.kind, t.parent_id, t.grand_id, t.milestone_id, t.depth, t.status, t.own_blockers,
    coalesce(p.own_blockers, 0) + coalesce(g.own_blockers, 0) AS blockers_above,
    (coalesce(p.status, '') = 'Cancelled')::int + (coalesce(g.status, '') = 'Cancelled')::int AS cancelled_above,
    t.archived_at IS NOT NULL AS archived
  FROM tasks t ${ANCESTORS} WHERE t.id = ANY ($1)`,
);
const countEdges = statement('count_edges', 'SELECT count(*) AS blocks FROM task_blockers WHERE blocker_id = $1');
const selectReach = statement(
  'select_reach',
  `WITH RECURSIVE reached (from_id, id) AS (
    SELECT NULL::text COLLATE "C", $1::text COLLATE "C"
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
  SELECT r.from_id, r.id, t.parent_id, t.grand_id FROM reached r CROSS JOIN LATERAL (SELECT o.parent_id, o.grand_id FROM tasks o WHERE o.id = r.id LIMIT 1) t`,
);
const insertTask = statement(
  'insert_task',
  `INSERT INTO tasks (id, repo_id, parent_id, grand_id, milestone_id, depth, kind, description, context, priority, status,
    own_blockers, blockers_above, cancelled_above, created_at, updated_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'Pending', $11, $12, $13, $14, $14)`,
);
const addChild = statement('add_child', 'UPDATE tasks SET open_children = open_children + 1 WHERE id = $1');
const insertBlocker = statement(
  'insert_blocker',
  'INSERT INTO task_blockers (task_id, blocker_id, parent_id, grand_id) VALUES ($1, $2, $3, $4)',
);
const insertEvent = statement(
  'insert_event',
  `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, task_id, repo_id, payload)
  VALUES (1, $1, 'TaskCreated', 'Rest', 'human', 'local', $2, $3, $4)`,
);

const app = fastify({ logger: false });

app.get('/api/tasks/:id', async (request, reply) => {
  const ids = [request.params.id];
  const from = reader();
  const answers = await Promise.all(
    [selectTask(ids), selectReview(ids), selectVcs(ids), selectLearnings(ids), selectGates(ids)].map((each) =>
      from.query(each),
    ),
  );
  const [task, review, vcs] = answers.map(({ rows }) => rows[0]);
  const [learnings, gates] = answers.slice(3).map(({ rows }) => rows);
  if (task === undefined) return reply.code(404).send({ error: 'not_found', code: 404 });
  const { parent_kind, parent_context, grand_context, ...rest } = task;
  const underMilestone = parent_kind === 'Milestone';
  return {
    ...rest,
    inherited: {
      own: rest.context,
      parent: underMilestone ? null : parent_context,
      milestone: underMilestone ? parent_context : grand_context,
    },
    review: review ?? null,
    vcs: vcs ?? null,
    learnings: {
      own: learnings.filter((each) => each.task_id === task.id),
      parent: underMilestone ? [] : learnings.filter((each) => each.task_id === task.parent_id),
      milestone: learnings.filter(
        (each) => each.task_id !== task.id && (underMilestone || each.task_id !== task.parent_id),
      ),
    },
    gates,
  };
});

const body = {
  type: 'object',
  required: ['repo_id', 'kind', 'description'],
  properties: {
    repo_id: { type: 'string' },
    kind: { enum: ['Milestone', 'Task', 'Subtask'] },
    description: { type: 'string', minLength: 1, maxLength: 16_384 },
    context: { type: 'string', maxLength: 65_536 },
    parent_id: { type: 'string' },
    priority: { type: 'integer', minimum: 0, maximum: 3 },
    blocked_by: { type: 'array', items: { type: 'string' } },
  },
};

// Ids that ascend, as Muster's do, so that both write to the right edge of the primary key.
let count = 0;
const newId = () =>
  `task_${Date.now().toString(36)}${(count++).toString(36).padStart(6, '0')}${randomBytes(5).toString('hex')}`;

class Refusal extends Error {}

async function create(
  client,
  { repo_id, kind, description, context = null, parent_id = null, priority = 2, blocked_by = [] },
) {
  const { rows: locked } = await client.query(lockGraph([repo_id]));
  if (locked.length === 0) throw new Refusal('repo_id');
  const referred = parent_id === null ? blocked_by : [parent_id, ...blocked_by];
  const { rows } = referred.length > 0 ? await client.query(selectNodes([referred])) : { rows: [] };
  const nodes = new Map(rows.map((row) => [row.id, row]));
  const parent = nodes.get(parent_id);
  if (parent_id !== null && parent?.repo_id !== repo_id) throw new Refusal('parent_id');
  let ownBlockers = 0;
  for (const blocker of blocked_by) {
    if (nodes.get(blocker)?.repo_id !== repo_id) throw new Refusal('blocked_by');
    const counted = await client.query(countEdges([blocker]));
    if (Number(counted.rows[0].blocks) >= 500) throw new Refusal('blocked_by');
    if (parent !== undefined) {
      const reached = await client.query(selectReach([blocker]));
      if (reached.rows.some(({ id }) => id === parent_id)) throw new Refusal('blocked_by');
    }
    if (nodes.get(blocker).status !== 'Completed') ownBlockers += 1;
  }
  const id = newId();
  const now = new Date();
  const depth = parent === undefined ? 0 : parent.depth + 1;
  const grand = parent?.parent_id ?? null;
  const above = parent === undefined ? 0 : parent.own_blockers + parent.blockers_above;
  await client.query(
    insertTask([
      ...[id, repo_id, parent_id, grand, kind === 'Milestone' ? id : (parent?.milestone_id ?? null), depth, kind],
      ...[description, context, priority, ownBlockers, above, parent?.cancelled_above ?? 0, now],
    ]),
  );
  if (parent !== undefined) await client.query(addChild([parent_id]));
  for (const blocker of blocked_by) await client.query(insertBlocker([id, blocker, parent_id, grand]));
  const task = {
    parent_id,
    kind,
    description,
    context,
    priority,
    status: 'Pending',
    blocked_by,
    depth,
    created_at: now,
    updated_at: now,
  };
  await client.query(insertEvent([now, id, repo_id, JSON.stringify(task)]));
  return {
    id,
    repo_id,
    ...task,
    blocks: [],
    effectively_blocked: ownBlockers + above > 0,
    started_at: null,
    completed_at: null,
  };
}

app.post('/api/tasks', { schema: { body } }, async (request, reply) => {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const task = await create(client, request.body);
    await client.query('commit');
    return reply.code(201).send(task);
  } catch (error) {
    await client.query('rollback');
    if (error instanceof Refusal)
      return reply.code(400).send({ error: 'invalid_request', details: { field: error.message } });
    throw error;
  } finally {
    client.release();
  }
});

await app.listen({ port: 0, host: '127.0.0.1' });
answer({ port: app.server.address().port });
