import type { Knex } from 'knex';

/** Reviews of what tasks were submitted with. One of a task may be open at a time. */
export const reviews = {
  name: '0008_reviews',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE reviews (
        id text COLLATE "C" PRIMARY KEY,
        task_id text COLLATE "C" NOT NULL REFERENCES tasks ON DELETE CASCADE,
        status text COLLATE "C" NOT NULL CHECK (status IN
          ('GatesPending', 'GatesEscalated', 'AgentPending', 'HumanPending', 'Approved', 'ChangesRequested')),
        head_commit text NOT NULL,
        submitted_at timestamptz NOT NULL,
        gates_completed_at timestamptz,
        agent_completed_at timestamptz,
        human_completed_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
      );
      CREATE UNIQUE INDEX reviews_open ON reviews (task_id) WHERE status NOT IN ('Approved', 'ChangesRequested');
      CREATE INDEX reviews_task ON reviews (task_id, id);
    `);
  },
};
