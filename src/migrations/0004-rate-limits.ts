import type { Knex } from 'knex';

/**
 * How many calls each subject has made in a window of time, counted by all servers together. Unlogged: the counts of the present
 * moment are worth no disk write, and a crash of Postgres begins them anew.
 */
export const rateLimits = {
  name: '0004_rate_limits',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE UNLOGGED TABLE rate_counts (
        subject text COLLATE "C" NOT NULL,
        until timestamptz NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (subject, until)
      ) WITH (
        fillfactor = 50,
        autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_cost_delay = 0
      );
    `);
  },
};
