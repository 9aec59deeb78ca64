import type { TestDatabase } from '../../support/database.js';

type Queryable = Pick<TestDatabase, 'query'>;

/** Keys are not what a call changes, and an event may have got its number at any time. */
const apart = ['idempotency_keys', 'muster_migrations', 'events', 'events_new', 'events_head'];

/** Everything in the database that a call can change, as a text to be compared. */
export async function stateOf(database: Queryable): Promise<string> {
  const tables = await database.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL ($1) ORDER BY 1`,
    [apart],
  );
  const parts = tables.map(
    ({ name }) => `(SELECT '${name}: ' || coalesce(string_agg(t::text, ' ' ORDER BY t::text), '') FROM ${name} t)`,
  );
  const events = `(SELECT 'events: ' || (SELECT count(*) FROM events) + (SELECT coalesce(sum(count), 0) FROM events_new))`;
  const [row] = await database.query<{ state: string }>(
    `SELECT concat_ws(E'\\n', ${[...parts, events].join(', ')}) AS state`,
  );
  return row?.state ?? '';
}

/** Lets no answer be written, as if its statement failed. Answers what ends that. */
export async function refuseAnswers(database: Queryable): Promise<() => Promise<void>> {
  await database.query(`
    CREATE FUNCTION refuse_answer() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      RAISE EXCEPTION 'no answer today';
    END $$;
    CREATE TRIGGER refuse_answer BEFORE UPDATE OF answer ON idempotency_keys
      FOR EACH ROW EXECUTE FUNCTION refuse_answer()`);
  return async () => {
    await database.query('DROP TRIGGER refuse_answer ON idempotency_keys; DROP FUNCTION refuse_answer()');
  };
}
