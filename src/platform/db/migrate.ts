import type { Knex } from 'knex';
import { AppError, messageOf } from '../../errors.js';
import type { ConnectionConfig, Db } from './db.js';

/** One step of the schema. Once released it never changes. */
export interface Migration {
  /** Sorts by its number: `0001_jobs`. */
  readonly name: string;
  up(knex: Knex): Promise<void>;
}

const table = 'muster_migrations';

/**
 * Brings the schema up to date and answers the names of the steps taken. Any number of servers may do so at once: one
 * transaction does all of it, and a lock that ends with that transaction keeps the others waiting, kill -9 included.
 * Throws `conflict` when the database has steps that this version does not know, `unavailable` with the reason when it
 * cannot be used at all.
 */
export async function migrate(db: Db, connection: ConnectionConfig, all: readonly Migration[]): Promise<string[]> {
  const done = await taken(db).catch((error: unknown) => {
    throw new AppError('unavailable', `Cannot use the database: ${reasonOf(error)}`, { cause: error });
  });
  const known = new Set(all.map(({ name }) => name));
  const foreign = done.filter((name) => !known.has(name));
  if (foreign.length > 0) {
    throw new AppError('conflict', `The database is of a newer version of Muster: it has ${foreign.join(', ')}.`);
  }
  // Loading knex takes longer than everything else at the start, and most starts have nothing to migrate.
  if (done.length === all.length) return [];
  const { default: createKnex } = await import('knex');
  const knex = createKnex({ client: 'pg', connection: { ...connection }, pool: { min: 0, max: 1 } });
  try {
    return await knex.transaction(async (trx) => {
      await trx.raw(`SELECT pg_advisory_xact_lock(hashtext('muster migrations'))`);
      const [, names] = (await trx.migrate.latest({
        tableName: table,
        migrationSource: {
          getMigrations: async () => [...all],
          getMigrationName: (migration: Migration) => migration.name,
          getMigration: async (migration: Migration) => ({ up: migration.up, down: () => Promise.resolve() }),
        },
      })) as [number, string[]];
      return names;
    });
  } finally {
    await knex.destroy();
  }
}

/** Why the first look at the database failed. A name with several addresses fails with an error for each. */
function reasonOf(error: unknown): string {
  const reason = error instanceof AppError ? error.cause : error;
  return reason instanceof AggregateError ? reason.errors.map(messageOf).join('; ') : messageOf(reason);
}

async function taken(db: Db): Promise<string[]> {
  const [found] = await db.query<{ exists: boolean }>(
    { name: 'migrations_exist', text: 'SELECT to_regclass($1) IS NOT NULL AS exists' },
    [table],
  );
  if (found?.exists !== true) return [];
  const rows = await db.query<{ name: string }>(
    { name: 'migrations_taken', text: `SELECT name FROM ${table} ORDER BY name` },
    [],
  );
  return rows.map(({ name }) => name);
}
