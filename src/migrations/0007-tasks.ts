import type { Knex } from 'knex';

/**
 * Tasks, laid out so that what is next, what a list shows and how far things have come cost the same however many tasks there are.
 *
 *   tasks          a row for each. What depends on other rows (how many blockers and children are not done, whether an ancestor is
 *                  cancelled) is counted in it by the transaction that changes the others, so that `state`, which the indexes go by,
 *                  follows from the row alone
 *   task_blockers  who waits for whom, with the waiting task's ancestors, so that cycles are found along these rows only
 *   task_counts    how many tasks of each state there are in a repository and below a task, kept by triggers
 *   task_graphs    a row for each repository: its lock is the fence of all that changes tasks of that repository. Rules that look
 *                  at several tasks, such as that nobody waits for itself, are then decided one after the other, in any number of
 *                  servers, and nobody ends in a deadlock
 *
 * A Pending task that somebody is `starting` is not ready for others; git is at work on it, which no transaction waits for.
 * `n` tells the order in which tasks were made. `blockers_above` and `cancelled_above` are right for Pending tasks only: nobody
 * asks otherwise, and a milestone may have a hundred thousand done ones. `own_blockers` and `open_children` always are.
 */
export const tasks = {
  name: '0007_tasks',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE tasks (
        id text COLLATE "C" PRIMARY KEY,
        n bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        repo_id text COLLATE "C" NOT NULL REFERENCES repos,
        parent_id text COLLATE "C" REFERENCES tasks,
        grand_id text COLLATE "C",
        milestone_id text COLLATE "C",
        depth smallint NOT NULL,
        kind text COLLATE "C" NOT NULL CHECK (kind IN ('Milestone', 'Task', 'Subtask')),
        description text NOT NULL,
        context text,
        priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 3),
        status text COLLATE "C" NOT NULL
          CHECK (status IN ('Pending', 'InProgress', 'InReview', 'AwaitingHuman', 'Completed', 'Cancelled')),
        own_blockers integer NOT NULL DEFAULT 0 CHECK (own_blockers >= 0),
        blockers_above integer NOT NULL DEFAULT 0,
        open_children integer NOT NULL DEFAULT 0 CHECK (open_children >= 0),
        cancelled_above integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        started_at timestamptz,
        completed_at timestamptz,
        archived_at timestamptz,
        starting boolean NOT NULL DEFAULT false,
        state text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
          CASE
            WHEN status = 'InProgress' THEN 'in_progress'
            WHEN status = 'InReview' THEN 'in_review'
            WHEN status = 'AwaitingHuman' THEN 'awaiting_human'
            WHEN status = 'Completed' THEN CASE WHEN archived_at IS NULL THEN 'completed' ELSE 'completed_archived' END
            WHEN status = 'Cancelled' THEN CASE WHEN archived_at IS NULL THEN 'cancelled' ELSE 'cancelled_archived' END
            WHEN starting THEN 'starting'
            WHEN own_blockers > 0 OR blockers_above > 0 THEN 'blocked'
            WHEN open_children > 0 OR cancelled_above > 0 THEN 'waiting'
            ELSE 'ready'
          END
        ) STORED,
        CHECK ((completed_at IS NULL) = (status <> 'Completed')),
        CHECK (status <> 'Completed' OR open_children = 0),
        CHECK (archived_at IS NULL OR status IN ('Completed', 'Cancelled'))
      ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
      CREATE INDEX tasks_ready ON tasks (repo_id, priority, depth DESC, n) WHERE state = 'ready';
      CREATE INDEX tasks_milestone_ready ON tasks (milestone_id, priority, depth DESC, n) WHERE state = 'ready';
      CREATE INDEX tasks_repo ON tasks (repo_id, n);
      CREATE INDEX tasks_state ON tasks (state, kind, n);
      CREATE INDEX tasks_repo_state ON tasks (repo_id, state, kind, n);
      CREATE INDEX tasks_parent ON tasks (parent_id, state, n) WHERE parent_id IS NOT NULL;
      CREATE INDEX tasks_roots ON tasks (repo_id, state, kind, n) WHERE parent_id IS NULL;
      CREATE INDEX tasks_all_roots ON tasks (state, kind, n) WHERE parent_id IS NULL;
      CREATE INDEX tasks_open_grand ON tasks (grand_id, status)
        WHERE grand_id IS NOT NULL AND status NOT IN ('Completed', 'Cancelled');
      CREATE INDEX tasks_grand ON tasks (grand_id, n) WHERE grand_id IS NOT NULL;

      CREATE TABLE task_blockers (
        task_id text COLLATE "C" NOT NULL REFERENCES tasks ON DELETE CASCADE,
        blocker_id text COLLATE "C" NOT NULL REFERENCES tasks ON DELETE CASCADE,
        n bigint GENERATED ALWAYS AS IDENTITY,
        parent_id text COLLATE "C",
        grand_id text COLLATE "C",
        PRIMARY KEY (task_id, blocker_id),
        CHECK (task_id <> blocker_id)
      );
      CREATE INDEX task_blockers_blocker ON task_blockers (blocker_id, n);
      CREATE INDEX task_blockers_parent ON task_blockers (parent_id) WHERE parent_id IS NOT NULL;
      CREATE INDEX task_blockers_grand ON task_blockers (grand_id) WHERE grand_id IS NOT NULL;

      CREATE TABLE task_counts (
        scope_id text COLLATE "C" NOT NULL,
        state text COLLATE "C" NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (scope_id, state)
      ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

      CREATE TABLE task_graphs (
        repo_id text COLLATE "C" PRIMARY KEY REFERENCES repos ON DELETE CASCADE
      );

      CREATE FUNCTION count_new_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO task_counts AS c (scope_id, state, count)
        SELECT s.scope_id, t.state, count(*)
        FROM added t CROSS JOIN LATERAL (VALUES (t.repo_id), (t.parent_id), (t.grand_id)) s (scope_id)
        WHERE s.scope_id IS NOT NULL GROUP BY s.scope_id, t.state
        ON CONFLICT (scope_id, state) DO UPDATE SET count = c.count + excluded.count;
        RETURN NULL;
      END $$;
      CREATE TRIGGER count_new_tasks AFTER INSERT ON tasks
        REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_new_tasks();

      CREATE FUNCTION count_changed_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO task_counts AS c (scope_id, state, count)
        SELECT s.scope_id, d.state, sum(d.change)
        FROM was w JOIN became b USING (id)
          CROSS JOIN LATERAL (VALUES (w.state, -1), (b.state, 1)) d (state, change)
          CROSS JOIN LATERAL (VALUES (b.repo_id), (b.parent_id), (b.grand_id)) s (scope_id)
        WHERE w.state <> b.state AND s.scope_id IS NOT NULL
        GROUP BY s.scope_id, d.state HAVING sum(d.change) <> 0
        ON CONFLICT (scope_id, state) DO UPDATE SET count = c.count + excluded.count;
        DELETE FROM task_counts c USING (
          SELECT DISTINCT s.scope_id, w.state FROM was w JOIN became b USING (id)
            CROSS JOIN LATERAL (VALUES (b.repo_id), (b.parent_id), (b.grand_id)) s (scope_id)
          WHERE w.state <> b.state
        ) e WHERE c.scope_id = e.scope_id AND c.state = e.state AND c.count = 0;
        RETURN NULL;
      END $$;
      CREATE TRIGGER count_changed_tasks AFTER UPDATE ON tasks
        REFERENCING OLD TABLE AS was NEW TABLE AS became FOR EACH STATEMENT EXECUTE FUNCTION count_changed_tasks();

      CREATE FUNCTION count_deleted_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO task_counts AS c (scope_id, state, count)
        SELECT s.scope_id, t.state, -count(*)
        FROM gone t CROSS JOIN LATERAL (VALUES (t.repo_id), (t.parent_id), (t.grand_id)) s (scope_id)
        WHERE s.scope_id IS NOT NULL GROUP BY s.scope_id, t.state
        ON CONFLICT (scope_id, state) DO UPDATE SET count = c.count + excluded.count;
        DELETE FROM task_counts c USING gone t WHERE c.scope_id = t.id;
        DELETE FROM task_counts c USING (
          SELECT DISTINCT s.scope_id, t.state FROM gone t
            CROSS JOIN LATERAL (VALUES (t.repo_id), (t.parent_id), (t.grand_id)) s (scope_id)
        ) e WHERE c.scope_id = e.scope_id AND c.state = e.state AND c.count = 0;
        RETURN NULL;
      END $$;
      CREATE TRIGGER count_deleted_tasks AFTER DELETE ON tasks
        REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION count_deleted_tasks();
    `);
  },
};
