import type { Knex } from 'knex';

/**
 * Who may call, and what only some may read.
 *
 *   tokens        a row for each token ever made; revoked ones stay, since the ledger names them
 *   tokens_state  one row: how often the tokens have changed, so that servers see by one number that theirs are out of date; 0 as
 *                 long as there has never been one. Its lock orders changes
 *   tickets       one-use tickets of the next seconds; lost in a crash of Postgres, which costs a browser one more request
 *
 * Events may be `restricted`: an audit trail that not every reader of the ledger may see. They are numbered with all others.
 */
export const access = {
  name: '0003_access',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE tokens (
        id text COLLATE "C" PRIMARY KEY,
        role text COLLATE "C" NOT NULL CHECK (role IN ('human', 'agent', 'worker', 'viewer')),
        name text NOT NULL,
        capabilities text[] NOT NULL,
        task_id text COLLATE "C",
        hash bytea NOT NULL UNIQUE,
        created_by text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz
      );

      CREATE TABLE tokens_state (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        version bigint NOT NULL
      );
      INSERT INTO tokens_state (version) VALUES (0);

      CREATE UNLOGGED TABLE tickets (
        hash bytea PRIMARY KEY,
        principal json NOT NULL,
        expires_at timestamptz NOT NULL
      );
      CREATE INDEX tickets_expires_at ON tickets (expires_at);

      ALTER TABLE events_new ADD COLUMN restricted boolean NOT NULL DEFAULT false;
      ALTER TABLE events ADD COLUMN restricted boolean NOT NULL DEFAULT false;

      CREATE OR REPLACE FUNCTION number_events(most integer) RETURNS integer LANGUAGE plpgsql AS $$
      DECLARE
        head bigint;
        numbered integer;
      BEGIN
        SELECT h.seq INTO STRICT head FROM events_head h FOR UPDATE;
        WITH taken AS (
          DELETE FROM events_new WHERE id = ANY (ARRAY(
            SELECT w.id FROM (
              SELECT n.id, sum(n.count) OVER (ORDER BY n.id) - n.count AS before
              FROM (SELECT f.id, f.count FROM events_new f ORDER BY f.id LIMIT most) n
            ) w WHERE w.before < most
          )) RETURNING *
        )
        INSERT INTO events (seq, at, type, source, actor_kind, actor_id, correlation_id, task_id, review_id, repo_id,
          session_id, job_id, payload, restricted)
        SELECT head + row_number() OVER (ORDER BY t.id, e.n), t.at, t.type, t.source, t.actor_kind, t.actor_id,
          t.correlation_id, t.task_id, t.review_id, t.repo_id, t.session_id, e.job_id, coalesce(e.payload::json, t.payload),
          t.restricted
        FROM taken t CROSS JOIN LATERAL unnest(coalesce(t.job_ids, ARRAY[NULL::text]), t.payloads)
          WITH ORDINALITY AS e (job_id, payload, n);
        GET DIAGNOSTICS numbered = ROW_COUNT;
        IF numbered > 0 THEN
          UPDATE events_head SET seq = head + numbered;
        END IF;
        RETURN numbered;
      END $$;
    `);
  },
};
