// What one would write by hand with Fastify and pg: two routes, named prepared statements, no logging.
//
// Options: pool (connections), pipeline (read over this many pipelined connections instead of the pool; 0: do not).

import { randomBytes } from 'node:crypto';
import fastify from 'fastify';
import pg from 'pg';
import { answer, childOptions } from '../lib/child.mjs';
import { SELECT_JOB } from '../lib/peer-tables.mjs';

const { pool: size = 8, pipeline = 0, transaction = 'pool' } = childOptions();
const connectionString = process.env.DATABASE_URL;

const pool = new pg.Pool({ connectionString, max: size, min: size });
const pipelined = await Promise.all(
  Array.from({ length: pipeline }, async () => {
    const client = new pg.Client({ connectionString, pipeline: true });
    await client.connect();
    return client;
  }),
);

let turn = 0;
const nextPipelined = () => pipelined[(turn = (turn + 1) % pipelined.length)];
const reader = () => (pipelined.length > 0 ? nextPipelined() : pool);

const insertJob = (id, { kind, payload }) => ({
  name: 'insert_job',
  text: 'insert into peer.jobs (id, kind, payload) values ($1, $2, $3)',
  values: [id, kind, JSON.stringify(payload)],
});
const insertEvent = (id, { kind }) => ({
  name: 'insert_event',
  text: `insert into peer.events (type, source, actor, job_id, payload) values ('JobQueued', 'Rest', 'local', $1, $2)`,
  values: [id, JSON.stringify({ kind })],
});
const BEGIN = { name: 'begin', text: 'begin' };
const COMMIT = { name: 'commit', text: 'commit' };

async function insertStepwise(id, body) {
  const client = await pool.connect();
  try {
    await client.query(BEGIN);
    await client.query(insertJob(id, body));
    await client.query(insertEvent(id, body));
    await client.query(COMMIT);
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

// The whole transaction leaves in one go. When an insert fails Postgres turns this commit into a rollback.
async function insertPipelined(id, body) {
  const client = nextPipelined();
  await Promise.all([
    client.query(BEGIN),
    client.query(insertJob(id, body)),
    client.query(insertEvent(id, body)),
    client.query(COMMIT),
  ]);
}

const insert = transaction === 'pipelined' ? insertPipelined : insertStepwise;

// Ids that ascend, as Muster's do, so that both write to the right edge of the primary key.
let count = 0;
const newId = () =>
  `job_${Date.now().toString(36)}${(count++).toString(36).padStart(6, '0')}${randomBytes(5).toString('hex')}`;

const app = fastify({ logger: false });

app.get('/v1/jobs/:id', async (request, reply) => {
  const { rows } = await reader().query({ name: 'select_job', text: SELECT_JOB, values: [request.params.id] });
  if (rows.length === 0) return reply.code(404).send({ error: 'not_found', code: 404 });
  return rows[0];
});

const body = { type: 'object', required: ['kind'], properties: { kind: { type: 'string' }, payload: {} } };

app.post('/v1/jobs', { schema: { body } }, async (request, reply) => {
  const id = newId();
  await insert(id, request.body);
  return reply.code(201).send({ id, status: 'queued', kind: request.body.kind });
});

await app.listen({ port: 0, host: '127.0.0.1' });
answer({ port: app.server.address().port });
