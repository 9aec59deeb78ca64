import type { Knex } from 'knex';

/**
 * A job is updated at least twice in its life, and a queue is busy, so the table `jobs` is laid out for updates in place:
 * none of its indexes has a column that changes, and its pages are filled to a third, so that Postgres can put the two
 * later versions of a row beside the first without touching any index (a HOT update). That is twice as fast as a table with
 * indexes by state (docs/benchmarks.md) and leaves nothing for vacuum to sweep.
 *
 * Finding jobs by their state is the work of small tables beside it, each written in the same statement as the state:
 *
 *   jobs_ready      one row for each job that can be claimed now, in the order of claims
 *   jobs_scheduled  one row for each queued job whose time has not come
 *   jobs_claimed    one row for each claim, however many jobs it took: when to look whether their leases still run
 *   jobs_failed     one row for each job that ended as error or canceled
 *
 * A row in them may outlive its reason (a canceled job is still in jobs_ready until somebody comes by); a reader always
 * looks at the job's own state. None is ever missing. Ids sort by time ("C" collation), which is the listing's order.
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
        fillfactor = 35,
        autovacuum_vacuum_scale_factor = 0.05,
        autovacuum_vacuum_cost_delay = 0
      );
      CREATE INDEX jobs_kind ON jobs (kind, id);
      CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;

      CREATE TABLE jobs_ready (
        kind text COLLATE "C" NOT NULL,
        priority smallint NOT NULL,
        run_at timestamptz NOT NULL,
        id text COLLATE "C" NOT NULL,
        PRIMARY KEY (kind, priority, run_at, id)
      ) WITH (
        autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0
      );

      CREATE TABLE jobs_scheduled (
        run_at timestamptz NOT NULL,
        id text COLLATE "C" NOT NULL,
        PRIMARY KEY (run_at, id)
      );

      CREATE TABLE jobs_claimed (
        check_at timestamptz NOT NULL,
        job_ids text[] COLLATE "C" NOT NULL
      ) WITH (
        autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0
      );
      CREATE INDEX jobs_claimed_check_at ON jobs_claimed (check_at);

      CREATE TABLE jobs_failed (
        id text COLLATE "C" PRIMARY KEY
      );
    `);
  },
};
