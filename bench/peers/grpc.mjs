// A bare @grpc/grpc-js server with one unary method, Muster's own GetJob.
//
// Options: source: 'constant' answers the same message each time, 'pg' reads it with a prepared statement.

import grpc from '@grpc/grpc-js';
import pg from 'pg';
import { answer, childOptions } from '../lib/child.mjs';
import { SELECT_JOB } from '../lib/peer-tables.mjs';
import { loadService } from '../lib/proto.mjs';

const { source, pool: size = 8, pipeline = 0 } = childOptions();
const connectionString = process.env.DATABASE_URL;
const JobService = loadService('muster.v1.JobService');

function toValue(json) {
  if (json === null) return { nullValue: 'NULL_VALUE' };
  if (typeof json === 'string') return { stringValue: json };
  if (typeof json === 'number') return { numberValue: json };
  if (typeof json === 'boolean') return { boolValue: json };
  if (Array.isArray(json)) return { listValue: { values: json.map(toValue) } };
  return {
    structValue: { fields: Object.fromEntries(Object.entries(json).map(([key, value]) => [key, toValue(value)])) },
  };
}

function toTimestamp(date) {
  if (date === null) return null;
  const ms = date.getTime();
  return { seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 };
}

const toJob = (row) => ({
  id: row.id,
  kind: row.kind,
  status: `JOB_STATUS_${row.status.toUpperCase()}`,
  payload: row.payload && toValue(row.payload),
  result: row.result && toValue(row.result),
  error: row.error,
  priority: row.priority,
  attempts: row.attempts,
  maxAttempts: row.max_attempts,
  runAt: toTimestamp(row.run_at),
  timeoutSec: row.timeout_sec,
  createdAt: toTimestamp(row.created_at),
  startedAt: toTimestamp(row.started_at),
  finishedAt: toTimestamp(row.finished_at),
  progress: row.progress && toValue(row.progress),
});

const now = new Date();
const CONSTANT = toJob({
  id: 'job_00000000000000000000000001',
  kind: 'build',
  status: 'done',
  payload: { repo: 'muster', commit: '0123abcd', steps: ['lint', 'test'] },
  result: { ok: true },
  error: null,
  priority: 2,
  attempts: 1,
  max_attempts: 3,
  run_at: now,
  timeout_sec: null,
  created_at: now,
  started_at: now,
  finished_at: now,
  progress: null,
});

const pool = new pg.Pool({ connectionString, max: size, min: size });
const pipelined = await Promise.all(
  Array.from({ length: pipeline }, async () => {
    const client = new pg.Client({ connectionString, pipeline: true });
    await client.connect();
    return client;
  }),
);
let turn = 0;
const reader = () => (pipelined.length > 0 ? pipelined[(turn = (turn + 1) % pipelined.length)] : pool);

const fromConstant = (call, callback) => callback(null, { job: CONSTANT });
const fromPg = (call, callback) =>
  reader()
    .query({ name: 'select_job', text: SELECT_JOB, values: [call.request.id] })
    .then(({ rows }) => callback(null, { job: toJob(rows[0]) }), callback);

const server = new grpc.Server();
server.addService(JobService.service, { getJob: source === 'pg' ? fromPg : fromConstant });
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  answer({ port });
});
