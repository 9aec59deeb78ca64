import type { Knex } from 'knex';

/**
 * `state` tells one thing more than the status on the wire: `scheduled` is a queued job whose time has not come, so that
 * the index which claims read holds only jobs that can run now, and a claim's cost does not grow with those that wait.
 * Ids sort by time ("C" collation), which makes them the listing's order. Rows of a busy queue are updated twice in their
 * life, so vacuum comes by often.
 */
export const jobs = {
  name: '0001_jobs',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE jobs (
        id text COLLATE "C" PRIMARY KEY,
        kind text COLLATE "C" NOT NULL,
        state text COLLATE "C" NOT NULL
          CHECK (state IN ('scheduled', 'queued', 'running', 'done', 'error', 'canceled')),
        priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 3),
        attempts integer NOT NULL DEFAULT 0,
        max_attempts integer NOT NULL,
        timeout_sec integer,
        lease_sec integer,
        run_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL,
        started_at timestamptz,
        finished_at timestamptz,
        lease_expires_at timestamptz,
        lease_token text COLLATE "C",
        worker_id text,
        error_code text,
        error_message text,
        payload json NOT NULL,
        result json,
        progress json,
        idempotency_key text COLLATE "C",
        request_hash bytea
      ) WITH (
        autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_insert_scale_factor = 0.1,
        autovacuum_analyze_scale_factor = 0.05,
        autovacuum_vacuum_cost_delay = 0
      );

      CREATE INDEX jobs_ready ON jobs (kind, priority, run_at, id) WHERE state = 'queued';
      CREATE INDEX jobs_scheduled ON jobs (run_at) WHERE state = 'scheduled';
      CREATE INDEX jobs_running ON jobs (id) WHERE state = 'running';
      CREATE INDEX jobs_failed ON jobs (state, id) WHERE state IN ('error', 'canceled');
      CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
      CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
    `);
  },
};
