import type { Knex } from 'knex';

/**
 * The ledger. A transaction that changes something inserts its events into `events_new`; once it has committed, a sequencer
 * moves them to `events` and numbers them, and nobody reads them before. So the numbers follow the order in which
 * events become visible, without a gap, and writers never wait for each other.
 *
 *   events_new    events that have no number yet. A statement that changes many jobs in the same way, as a claim does, adds a
 *                 single row for all of them: `job_ids`, with a payload each (`payloads`) or one for all (`payload`). Ids are
 *                 drawn when rows are inserted
 *   events        the ledger, a row for each event: only added to at its end, in the order of `seq`, and never changed
 *   events_head   one row: the last number given, and the oldest number kept. Its lock is the sequencers' fence
 *
 * `number_events` is a function and not a few statements of a server's, so that a server that stops in the middle, by SIGSTOP even,
 * never holds that lock. Each of its statements sees what had been committed when it began, and the second one begins when
 * it has the lock: it sees all that earlier sequencers did, and numbers only what they could not see.
 */
export const events = {
  name: '0002_events',
  up: async (knex: Knex): Promise<void> => {
    const columns = `
        at timestamptz NOT NULL,
        type text COLLATE "C" NOT NULL,
        source text COLLATE "C" NOT NULL,
        actor_kind text COLLATE "C" NOT NULL,
        actor_id text COLLATE "C" NOT NULL,
        correlation_id text,
        task_id text COLLATE "C",
        review_id text COLLATE "C",
        repo_id text COLLATE "C",
        session_id text COLLATE "C"`;
    await knex.raw(`
      CREATE TABLE events_new (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        count integer NOT NULL,
        ${columns},
        job_ids text[] COLLATE "C",
        payloads text[],
        payload json
      ) WITH (
        autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0
      );

      CREATE TABLE events (
        seq bigint PRIMARY KEY,
        ${columns},
        job_id text COLLATE "C",
        payload json NOT NULL
      );
      CREATE INDEX events_task ON events (task_id, seq) WHERE task_id IS NOT NULL;
      CREATE INDEX events_review ON events (review_id, seq) WHERE review_id IS NOT NULL;
      CREATE INDEX events_repo ON events (repo_id, seq) WHERE repo_id IS NOT NULL;
      CREATE INDEX events_session ON events (session_id, seq) WHERE session_id IS NOT NULL;
      CREATE INDEX events_job ON events (job_id, seq) WHERE job_id IS NOT NULL;

      CREATE TABLE events_head (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        seq bigint NOT NULL,
        oldest bigint NOT NULL
      ) WITH (fillfactor = 10);
      INSERT INTO events_head (seq, oldest) VALUES (0, 1);

      CREATE FUNCTION number_events(most integer) RETURNS integer LANGUAGE plpgsql AS $$
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
          session_id, job_id, payload)
        SELECT head + row_number() OVER (ORDER BY t.id, e.n), t.at, t.type, t.source, t.actor_kind, t.actor_id,
          t.correlation_id, t.task_id, t.review_id, t.repo_id, t.session_id, e.job_id, coalesce(e.payload::json, t.payload)
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
