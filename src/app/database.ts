import { migrations } from '../migrations/index.js';
import type { Origin } from '../modules/events/index.js';
import { createTokens, type Tokens } from '../modules/tokens/index.js';
import { type Clock, createDatabaseClock } from '../platform/clock.js';
import { lockDataDir } from '../platform/data-dir.js';
import { type ConnectionConfig, createDatabase, type Database, type Db } from '../platform/db/db.js';
import { startEmbeddedPostgres } from '../platform/db/embedded.js';
import { migrate } from '../platform/db/migrate.js';
import { createWakeups } from '../platform/db/wakeups.js';
import { createIds } from '../platform/ids.js';
import { createLifecycle, type Lifecycle } from '../platform/lifecycle.js';
import type { Log } from '../platform/log.js';
import { createLoop } from '../platform/loop.js';
import type { ServerConfig } from '../settings.js';

const clockSyncMs = 30_000;

/** The database that DATABASE_URL names, or the embedded one, started and owned by this server. */
export async function openConnection(
  config: ServerConfig,
  log: Log,
  lifecycle: Lifecycle,
): Promise<{ connection: ConnectionConfig; failed: Promise<string> }> {
  if (config.databaseUrl !== undefined) {
    return { connection: { connectionString: config.databaseUrl }, failed: new Promise(() => undefined) };
  }
  const lock = await lockDataDir(config.dataDir, log);
  lifecycle.onStop('data directory', () => lock.release());
  const postgres = await startEmbeddedPostgres({ dataDir: config.dataDir, log });
  lifecycle.onStop('embedded postgres', () => postgres.stop());
  return { connection: postgres.connection, failed: postgres.crashed };
}

export async function migrateDatabase(db: Db, connection: ConnectionConfig, log: Log): Promise<void> {
  const taken = await migrate(db, connection, migrations);
  if (taken.length > 0) log.info('migrated', { steps: taken });
}

export async function startClock(db: Database, log: Log, lifecycle: Lifecycle): Promise<Clock> {
  const clock = await createDatabaseClock(() => db.now());
  const loop = createLoop({ name: 'clock', log, intervalMs: clockSyncMs, run: () => clock.sync() });
  lifecycle.stopping.addEventListener('abort', () => void loop.stop());
  lifecycle.onStop('clock', () => loop.stop());
  loop.start();
  return clock;
}

/** Brings the schema up to date without starting a server, for `muster migrate`. Answers the steps taken. */
export function migrateOnly(config: ServerConfig, log: Log): Promise<readonly string[]> {
  return withDatabase(config, log, (db, connection) => migrate(db, connection, migrations));
}

/**
 * Makes a token without a server, in the database itself: whoever can reach that needs no other proof. For the first token of a server
 * that others can reach, and for when the last one is lost. Running servers on the database learn of it.
 */
export function createTokenDirectly(
  config: ServerConfig,
  input: Parameters<Tokens['create']>[0],
  log: Log,
): ReturnType<Tokens['create']> {
  return withDatabase(config, log, async (db, connection) => {
    await migrateDatabase(db, connection, log);
    const clock = await createDatabaseClock(() => db.now());
    const tokens = createTokens({
      db,
      clock,
      newId: createIds(clock),
      wakeups: createWakeups({ connection, db, log, listen: false }),
      log,
      appended: () => undefined,
      localAllowed: false,
    });
    return tokens.create(input, directOrigin);
  });
}

/** Whoever holds the database in hands. */
const directOrigin: Origin = { source: 'Cli', actor: { kind: 'human', id: 'local' }, correlationId: undefined };

/** Lends the database to `use`; where it is the embedded one, only while no server has it. */
async function withDatabase<T>(
  config: ServerConfig,
  log: Log,
  use: (db: Database, connection: ConnectionConfig) => Promise<T>,
): Promise<T> {
  const lifecycle = createLifecycle(log);
  try {
    const { connection } = await openConnection(config, log, lifecycle);
    const db = createDatabase(connection, { poolSize: 2, log, ownSessions: config.listen });
    lifecycle.onStop('database', () => db.close());
    return await use(db, connection);
  } finally {
    await lifecycle.stop();
  }
}
