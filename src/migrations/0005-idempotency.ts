import type { Knex } from 'knex';

/**
 * Calls that came with an Idempotency-Key: a row for each key of each caller, from the moment its first call is taken up.
 *
 *   id             a hash of the caller and the key; the key itself is nowhere
 *   request_hash   of the method and its input: what the key stands for
 *   claim          whoever works on it; a row may change hands when its claim has lapsed, and the hand before can no longer write
 *   claimed_until  when its claim lapses unless it is renewed
 *   answer         set in the transaction that decides the call, and never changed: sealed so that only the key opens it, since
 *                  answers may hold secrets of which nothing else keeps more than a hash
 *
 * A row is written twice and then left alone until it is deleted, so its pages have room for the second version (a HOT update).
 */
export const idempotency = {
  name: '0005_idempotency',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE idempotency_keys (
        id bytea PRIMARY KEY,
        request_hash bytea NOT NULL,
        claim uuid NOT NULL,
        claimed_until timestamptz NOT NULL,
        created_at timestamptz NOT NULL,
        answer bytea
      ) WITH (
        fillfactor = 50,
        autovacuum_vacuum_scale_factor = 0.05,
        autovacuum_vacuum_cost_delay = 0
      );
      -- It is no use to compress what is sealed.
      ALTER TABLE idempotency_keys ALTER COLUMN answer SET STORAGE EXTERNAL;
      CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at);
    `);
  },
};
