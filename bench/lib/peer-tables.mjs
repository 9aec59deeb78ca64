// The tables behind the REST and gRPC peers: the columns of a Muster job and of a Muster event with the indexes that
// claiming and sequencing need, in a schema of their own.

import { withClient } from './db.mjs';

const TABLES = `
  drop schema if exists peer cascade;
  create schema peer;

  create table peer.jobs (
    id text collate "C" primary key,
    kind text not null,
    status text not null default 'queued',
    payload json,
    result json,
    error json,
    priority smallint not null default 2,
    attempts int not null default 0,
    max_attempts int not null default 3,
    run_at timestamptz not null default now(),
    timeout_sec int,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    progress json,
    lease_token text,
    lease_expires_at timestamptz
  );
  create index jobs_queued on peer.jobs (kind, priority, run_at, id) where status = 'queued';
  create index jobs_running on peer.jobs (id) where status = 'running';
  create index jobs_finished on peer.jobs (finished_at) where finished_at is not null;

  create table peer.events (
    id bigint generated always as identity primary key,
    seq bigint unique,
    at timestamptz not null default now(),
    type text not null,
    source text not null,
    actor text not null,
    job_id text collate "C",
    payload json
  );
  create index events_unnumbered on peer.events (id) where seq is null;
`;

/** Makes the tables with `rows` finished jobs in them; resolves with their ids. */
export async function createPeerTables(connection, rows) {
  return withClient(connection, async (client) => {
    await client.query(TABLES);
    const { rows: made } = await client.query(
      `insert into peer.jobs (id, kind, status, payload, result, attempts, started_at, finished_at)
       select 'job_' || lpad(n::text, 26, '0'), 'build', 'done', $2, $3, 1, now(), now()
       from generate_series(1, $1::int) n returning id`,
      [
        rows,
        JSON.stringify({ repo: 'muster', commit: '0123abcd', steps: ['lint', 'test'] }),
        JSON.stringify({ ok: true }),
      ],
    );
    return made.map((row) => row.id);
  });
}

export const SELECT_JOB = `
  select id, kind, status, payload, result, error, priority, attempts, max_attempts, run_at, timeout_sec, created_at,
    started_at, finished_at, progress
  from peer.jobs where id = $1`;
