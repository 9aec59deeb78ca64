import type { Knex } from 'knex';

/**
 * What was learned on tasks. `n` tells the order in which a task got them. `origin_id` is the learning that a copy was made of first, and
 * its own id otherwise: a task gets each but once, however often those below it are completed.
 */
export const learnings = {
  name: '0012_learnings',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE learnings (
        id text COLLATE "C" PRIMARY KEY,
        n bigint GENERATED ALWAYS AS IDENTITY,
        task_id text COLLATE "C" NOT NULL REFERENCES tasks ON DELETE CASCADE,
        content text NOT NULL,
        source_task_id text COLLATE "C",
        origin_id text COLLATE "C" NOT NULL,
        created_at timestamptz NOT NULL,
        UNIQUE (task_id, origin_id),
        CHECK ((source_task_id IS NULL) = (origin_id = id))
      );
      CREATE INDEX learnings_task ON learnings (task_id, n);
    `);
  },
};
