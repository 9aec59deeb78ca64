import type { Knex } from 'knex';

/**
 * What doers of tasks have asked humans. A task is AwaitingHuman exactly as long as one of its requests is Pending or Responded; one at a time
 * is. `n` tells the order in which they were asked.
 */
export const helpRequests = {
  name: '0013_help_requests',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE help_requests (
        id text COLLATE "C" PRIMARY KEY,
        n bigint GENERATED ALWAYS AS IDENTITY,
        task_id text COLLATE "C" NOT NULL REFERENCES tasks ON DELETE CASCADE,
        from_status text COLLATE "C" NOT NULL CHECK (from_status IN ('Pending', 'InProgress', 'InReview')),
        category text COLLATE "C" NOT NULL,
        reason text NOT NULL,
        suggested_options text[] NOT NULL,
        status text COLLATE "C" NOT NULL CHECK (status IN ('Pending', 'Responded', 'Resolved', 'Cancelled')),
        response text,
        chosen_option integer,
        created_at timestamptz NOT NULL,
        responded_at timestamptz,
        resumed_at timestamptz,
        deadline_at timestamptz,
        default_response text,
        default_option integer,
        answered_by_default boolean NOT NULL DEFAULT false,
        CHECK ((responded_at IS NULL) = (response IS NULL)),
        CHECK (CASE status WHEN 'Pending' THEN responded_at IS NULL WHEN 'Cancelled' THEN true ELSE responded_at IS NOT NULL END),
        CHECK ((status = 'Resolved') = (resumed_at IS NOT NULL)),
        CHECK (deadline_at IS NULL OR default_response IS NOT NULL)
      );
      CREATE UNIQUE INDEX help_requests_open ON help_requests (task_id) WHERE status IN ('Pending', 'Responded');
      CREATE INDEX help_requests_task ON help_requests (task_id, n);
      CREATE INDEX help_requests_deadline ON help_requests (deadline_at) WHERE status = 'Pending' AND deadline_at IS NOT NULL;
    `);
  },
};
