// GET of one task with its context and POST of one task over REST, among 10,000 tasks.

import { startChild } from '../lib/child.mjs';
import { withServerCpu } from '../lib/cpu.mjs';
import { settle, withClient } from '../lib/db.mjs';
import { loadHttp } from '../lib/load.mjs';
import {
  createSchema,
  fillTasks,
  OTHER_REPOS,
  REPO,
  reviewedSubtask,
  taskAt,
  waitingSubtask,
} from '../lib/task-data.mjs';

const TASKS = 10_000;
const MILESTONES = TASKS / 100;
const CONNECTIONS = 64;
const SCHEMA = 'peer_tasks';

const PEERS = {
  'fastify + pg pool of 8': { pool: 8 },
  'fastify + pg pool of 16': { pool: 16 },
  // For reads only: what a transaction does next hangs on what it has read.
  'fastify + pg pipelined': { pool: 1, pipeline: 4 },
};

const each = (make) => Array.from({ length: MILESTONES }, (_, milestone) => make(milestone));
const get = (id) => ({ method: 'GET', path: `/api/tasks/${id}` });
const post = (milestone, more = {}) => ({
  method: 'POST',
  path: '/api/tasks',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({
    repo_id: REPO,
    kind: 'Task',
    parent_id: taskAt(milestone, 0),
    description: 'Answer with the fields that were asked for, and nothing else',
    context: 'The list of fields comes from the query string; unknown ones are refused.',
    priority: milestone % 4,
    ...more,
  }),
});

const ROUTES = {
  'GET /api/tasks/{id}, a subtask that waits': each((milestone) => get(waitingSubtask(milestone))),
  'GET /api/tasks/{id}, a subtask in review': each((milestone) => get(reviewedSubtask(milestone))),
  'POST /api/tasks': each((milestone) => post(milestone)),
  'POST /api/tasks, in 16 repositories': OTHER_REPOS.map((repo_id) => post(0, { repo_id, parent_id: undefined })),
  'POST /api/tasks, with a blocker': each((milestone) => post(milestone, { blocked_by: [taskAt(milestone, 1)] })),
};

export async function taskCases({ database, muster, seconds }) {
  await createSchema(database.connection, SCHEMA);
  await refill(database.connection);
  const cases = [];
  const children = [];
  async function add(peer, pid, port) {
    for (const [route, requests] of Object.entries(ROUTES)) {
      if (route.startsWith('POST') && peer.endsWith('pipelined')) continue;
      const load = { port, requests, connections: CONNECTIONS };
      await loadHttp({ ...load, seconds: 1 });
      const what = `REST ${route}, ${CONNECTIONS} conn.`;
      cases.push({
        name: `${what} ${peer}`,
        what,
        peer,
        async measure() {
          // Everybody begins with the same tasks, of which a blocker may have 500 that wait for it.
          if (route.startsWith('POST')) await refill(database.connection);
          return withServerCpu({ server: pid, postgres: database.pid }, () => loadHttp({ ...load, seconds }));
        },
      });
    }
  }
  for (const [peer, options] of Object.entries(PEERS)) {
    const child = await startChild(
      'peers/tasks.mjs',
      { schema: SCHEMA, ...options },
      { DATABASE_URL: database.connection },
    );
    children.push(child);
    await add(peer, child.pid, child.message.port);
  }
  await add('muster', muster.pid, muster.port);
  cases.sort((a, b) => a.what.localeCompare(b.what));
  return { cases, stop: () => Promise.all(children.map((child) => child.stop())) };
}

/** Muster looks around by itself meanwhile, which may meet it in a deadlock. */
async function truncate(client) {
  for (;;) {
    try {
      await client.query('truncate repos, task_counts, events_new cascade');
      return;
    } catch (error) {
      if (error.code !== '40P01') throw error;
    }
  }
}

async function refill(connection) {
  for (const schema of ['public', SCHEMA]) {
    await withClient(connection, async (client) => {
      await client.query(`set search_path = ${schema}`);
      await truncate(client);
      await client.query('alter table tasks alter column n restart');
      await fillTasks(client, TASKS);
    });
  }
  await settle(connection);
}
