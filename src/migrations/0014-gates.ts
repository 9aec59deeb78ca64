import type { Knex } from 'knex';

/**
 * Gates, and what they have found.
 *
 *   gates       of a repository (no task_id) or of a task. Those with source File stand in the repository's own file.
 *   gate_files  the commit of the default branch that a repository's gates of source File are of
 *   gate_runs   an attempt of a gate for a review, with all that its verdict rests on as it was when it was queued. `round` counts the
 *               times that a review's gates were run; `runs` the starts of the command, and fences whoever has lost it to another;
 *               `job_id` is the job that is to start it next.
 */
export const gates = {
  name: '0014_gates',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE gates (
        id text COLLATE "C" PRIMARY KEY,
        n bigint GENERATED ALWAYS AS IDENTITY,
        repo_id text COLLATE "C" NOT NULL REFERENCES repos ON DELETE CASCADE,
        task_id text COLLATE "C" REFERENCES tasks ON DELETE CASCADE,
        source text COLLATE "C" NOT NULL CHECK (source IN ('Api', 'File')),
        name text COLLATE "C" NOT NULL,
        command text NOT NULL,
        timeout_secs integer NOT NULL,
        max_retries integer NOT NULL,
        poll_interval_secs integer NOT NULL,
        max_pending_secs integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CHECK (source = 'Api' OR task_id IS NULL)
      );
      CREATE UNIQUE INDEX gates_of_repo ON gates (repo_id, source, name) WHERE task_id IS NULL;
      CREATE UNIQUE INDEX gates_of_task ON gates (task_id, name) WHERE task_id IS NOT NULL;

      CREATE TABLE gate_files (
        repo_id text COLLATE "C" PRIMARY KEY REFERENCES repos ON DELETE CASCADE,
        commit text NOT NULL
      );

      CREATE TABLE gate_runs (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        repo_id text COLLATE "C" NOT NULL,
        task_id text COLLATE "C" NOT NULL REFERENCES tasks ON DELETE CASCADE,
        review_id text COLLATE "C" NOT NULL REFERENCES reviews ON DELETE CASCADE,
        round integer NOT NULL,
        gate_id text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        command text NOT NULL,
        timeout_secs integer NOT NULL,
        max_retries integer NOT NULL,
        poll_interval_secs integer NOT NULL,
        max_pending_secs integer NOT NULL,
        attempt integer NOT NULL,
        head_commit text NOT NULL,
        head_tree text NOT NULL,
        status text COLLATE "C" NOT NULL
          CHECK (status IN ('Running', 'Pending', 'Passed', 'Failed', 'Timeout', 'Escalated', 'Cancelled')),
        runs integer NOT NULL DEFAULT 0,
        job_id text COLLATE "C" NOT NULL UNIQUE,
        correlation_id text,
        stdout text NOT NULL DEFAULT '',
        stderr text NOT NULL DEFAULT '',
        exit_code integer,
        started_at timestamptz NOT NULL,
        pending_since timestamptz,
        next_run_at timestamptz,
        completed_at timestamptz,
        UNIQUE (review_id, round, gate_id),
        CHECK ((status IN ('Running', 'Pending')) = (completed_at IS NULL)),
        CHECK ((status = 'Pending') = (next_run_at IS NOT NULL))
      );
      CREATE INDEX gate_runs_review ON gate_runs (review_id, n);
      CREATE INDEX gate_runs_attempts ON gate_runs (task_id, gate_id, n);
      CREATE INDEX gate_runs_open ON gate_runs (task_id) WHERE completed_at IS NULL;
    `);
  },
};
