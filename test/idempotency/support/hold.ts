import pg from 'pg';
import { onTestFinished } from 'vitest';
import type { TestDatabase } from '../../support/database.js';
import { until } from '../../support/until.js';

/** Stops transactions that write an answer, in Postgres, for as long as the test wants. */
export interface Hold {
  /** Resolves when so many stand still. */
  standing(count: number): Promise<void>;
  /** Lets them go on, and all later ones pass. */
  letGo(): Promise<void>;
}

/** When they write the answer; or at their commit, which is then carried out whether or not its server is still there. */
export async function holdAnswers(database: TestDatabase, at: 'writing' | 'commit'): Promise<Hold> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  await client.query('SELECT pg_advisory_lock(7)');
  await client.query(`
    CREATE OR REPLACE FUNCTION hold_answer() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock_shared(7);
      RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER hold_answer AFTER UPDATE OF answer ON idempotency_keys
      DEFERRABLE INITIALLY ${at === 'commit' ? 'DEFERRED' : 'IMMEDIATE'} FOR EACH ROW EXECUTE FUNCTION hold_answer()`);
  const standing = async (): Promise<number> => {
    const { rows } = await client.query<{ count: string }>(
      `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
       WHERE d.datname = $1 AND l.locktype = 'advisory' AND l.objid = 7 AND NOT l.granted`,
      [database.name],
    );
    return Number(rows[0]?.count);
  };
  let ended = false;
  const letGo = async (): Promise<void> => {
    if (ended) return;
    ended = true;
    await client.query('SELECT pg_advisory_unlock(7)');
    await until('nobody stands still', async () => (await standing()) === 0);
    await client.query('DROP TRIGGER hold_answer ON idempotency_keys');
    await client.end();
  };
  onTestFinished(letGo);
  return {
    standing: async (count) => void (await until(`${count} stand still`, async () => (await standing()) === count)),
    letGo,
  };
}
