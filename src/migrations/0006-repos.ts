import type { Knex } from 'knex';

/**
 * The repositories that tasks are done in. A path can be longer than what a B-tree can hold, so a hash index keeps them unique.
 * Whatever belongs to a repository refers to it, which keeps it from being unregistered.
 */
export const repos = {
  name: '0006_repos',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE repos (
        id text COLLATE "C" PRIMARY KEY,
        path text COLLATE "C" NOT NULL,
        name text NOT NULL,
        vcs_type text COLLATE "C" NOT NULL CHECK (vcs_type IN ('Git')),
        default_branch text NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT repos_path_key EXCLUDE USING hash (path WITH =)
      );
    `);
  },
};
