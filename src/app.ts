import { AppError } from './errors.js';
import { migrations } from './migrations/index.js';
import { createEventRpc, createEvents } from './modules/events/index.js';
import { createJobRpc, createJobs } from './modules/jobs/index.js';
import { createAuthenticate } from './platform/auth/authenticate.js';
import { localCaller } from './platform/auth/local.js';
import { createPolicy, type Grants } from './platform/auth/policy.js';
import { type Clock, createDatabaseClock } from './platform/clock.js';
import { lockDataDir } from './platform/data-dir.js';
import { type ConnectionConfig, createDatabase, type Database, type Db } from './platform/db/db.js';
import { startEmbeddedPostgres } from './platform/db/embedded.js';
import { migrate } from './platform/db/migrate.js';
import { createWakeups } from './platform/db/wakeups.js';
import { createApiDocs } from './platform/http/api-docs.js';
import { createHealth } from './platform/http/health.js';
import { createHttpServer } from './platform/http/server.js';
import { createIds } from './platform/ids.js';
import { createLifecycle, type Lifecycle } from './platform/lifecycle.js';
import type { Log } from './platform/log.js';
import { createLoop } from './platform/loop.js';
import { isLoopbackHost } from './platform/net.js';
import { createDispatch } from './platform/rpc/dispatch.js';
import { readVersion } from './platform/version.js';
import type { ServerConfig } from './settings.js';

/** Which scopes each role has; an agent's come with its capabilities, once there are agents. */
const grants: Grants = {
  roles: {
    human: ['*'],
    agent: ['*.read'],
    worker: ['jobs.read', 'jobs.work'],
    viewer: ['*.read'],
  },
  capabilities: {},
};

export interface App {
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Resolves with the reason when the server can no longer work and should be stopped. */
  readonly failed: Promise<string>;
  /** Drains requests, tells streams, stops the database. Never hangs, and may be called again. */
  stop(): Promise<void>;
}

export interface AppDeps {
  readonly config: ServerConfig;
  readonly log: Log;
  /** Tests set the time by hand; by default the database's time is everybody's. */
  readonly clock?: Clock;
  /** Jitter of retries, in [0, 1). */
  readonly random?: () => number;
}

const maxTimeoutMs = 600_000;
const clockSyncMs = 30_000;

/** Starts a server. What was started before a failure is stopped again before it rejects. */
export async function startApp(deps: AppDeps): Promise<App> {
  const { config, log } = deps;
  if (!isLoopbackHost(config.host)) {
    throw new AppError(
      'invalid_request',
      `MUSTER_HOST: '${config.host}' is open to others, and there are no tokens yet; use a loopback address such as 127.0.0.1`,
    );
  }
  const lifecycle = createLifecycle(log);
  try {
    return await compose(deps, lifecycle);
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}

async function compose(
  { config, log, clock: givenClock, random = Math.random }: AppDeps,
  lifecycle: Lifecycle,
): Promise<App> {
  const { connection, failed } = await openConnection(config, log, lifecycle);
  const db = createDatabase(connection, { poolSize: config.poolSize, log, ownSessions: config.listen });
  lifecycle.onStop('database', () => db.close());
  await migrateDatabase(db, connection, log);
  const clock = givenClock ?? (await startClock(db, log, lifecycle));

  const wakeups = createWakeups({ connection, db, log, listen: config.listen });
  lifecycle.onStop('wakeups', () => wakeups.stop());
  const events = createEvents({
    db,
    clock,
    wakeups,
    log,
    stopping: lifecycle.stopping,
    pollMs: config.pollInterval,
    stallMs: config.streamStall,
    retentionMs: config.eventRetention,
    retentionCount: config.eventCount,
  });
  const jobs = createJobs({
    db,
    clock,
    newId: createIds(clock),
    wakeups,
    log,
    random,
    stopping: lifecycle.stopping,
    appended: events.appended,
    pollMs: config.pollInterval,
    retentionMs: config.jobRetention,
  });

  const services = [createEventRpc(events), createJobRpc(jobs)];
  const dispatch = createDispatch({
    authenticate: createAuthenticate({ bearer: [], ticket: async () => undefined, local: () => localCaller }),
    authorize: createPolicy(grants),
    log,
    maxTimeoutMs,
  });
  const http = await createHttpServer({
    services,
    plainRoutes: [
      ...createHealth({ db, stopping: lifecycle.stopping }),
      ...createApiDocs({ services, version: readVersion() }),
    ],
    dispatch,
    log,
    allowedHosts: [config.host, ...config.allowedHosts],
    maxBodyBytes: config.maxBody,
    maxMessageBytes: config.maxMessage,
    maxTimeoutMs,
    stallMs: config.streamStall,
  });
  const url = await http.listen(config.host, config.port);

  // Together: where the database does not answer, each waits for as long as it may.
  lifecycle.onStop('background work', async () => void (await Promise.all([jobs.stop(), events.stop()])));
  lifecycle.onStop('http', () => http.close(config.shutdownGrace));
  await wakeups.start();
  events.start();
  jobs.start();
  return { url, failed, stop: () => lifecycle.stop() };
}

/** The database that DATABASE_URL names, or the embedded one, started and owned by this server. */
async function openConnection(
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

async function migrateDatabase(db: Db, connection: ConnectionConfig, log: Log): Promise<void> {
  const taken = await migrate(db, connection, migrations);
  if (taken.length > 0) log.info('migrated', { steps: taken });
}

async function startClock(db: Database, log: Log, lifecycle: Lifecycle): Promise<Clock> {
  const clock = await createDatabaseClock(() => db.now());
  const loop = createLoop({ name: 'clock', log, intervalMs: clockSyncMs, run: () => clock.sync() });
  lifecycle.stopping.addEventListener('abort', () => void loop.stop());
  lifecycle.onStop('clock', () => loop.stop());
  loop.start();
  return clock;
}

/** Brings the schema up to date without starting a server, for `muster migrate`. Answers the steps taken. */
export async function migrateOnly(config: ServerConfig, log: Log): Promise<readonly string[]> {
  const lifecycle = createLifecycle(log);
  try {
    const { connection } = await openConnection(config, log, lifecycle);
    const db = createDatabase(connection, { poolSize: 2, log, ownSessions: config.listen });
    lifecycle.onStop('database', () => db.close());
    return await migrate(db, connection, migrations);
  } finally {
    await lifecycle.stop();
  }
}
