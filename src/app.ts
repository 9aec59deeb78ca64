import { existsSync } from 'node:fs';
import { AppError } from './errors.js';
import { migrations } from './migrations/index.js';
import { createAudit } from './modules/audit/index.js';
import { createEventRpc, createEvents, type Origin } from './modules/events/index.js';
import { createJobRpc, createJobs } from './modules/jobs/index.js';
import { createRepoRpc, createRepos } from './modules/repos/index.js';
import { createTaskRpc, createTasks, createVcsRpc, createWorktrees } from './modules/tasks/index.js';
import { auditScope, createTokenRpc, createTokens, grants, type Tokens } from './modules/tokens/index.js';
import { createVcs } from './modules/vcs/index.js';
import { type Authenticate, createAuthenticate, type Recognise } from './platform/auth/authenticate.js';
import { createPolicy } from './platform/auth/policy.js';
import { type Clock, createDatabaseClock } from './platform/clock.js';
import { lockDataDir } from './platform/data-dir.js';
import { type ConnectionConfig, createDatabase, type Database, type Db } from './platform/db/db.js';
import { startEmbeddedPostgres } from './platform/db/embedded.js';
import { migrate } from './platform/db/migrate.js';
import { createWakeups } from './platform/db/wakeups.js';
import { createGit } from './platform/git/index.js';
import { createApiDocs } from './platform/http/api-docs.js';
import { createHealth } from './platform/http/health.js';
import { createMetricsRoute } from './platform/http/metrics-route.js';
import { createHttpServer } from './platform/http/server.js';
import { tlsFilesOf } from './platform/http/tls.js';
import { createIdempotency } from './platform/idempotency/idempotency.js';
import { createIds } from './platform/ids.js';
import { createRateLimiter } from './platform/limits/rate-limit.js';
import { createLifecycle, type Lifecycle } from './platform/lifecycle.js';
import type { Log } from './platform/log.js';
import { createLoop } from './platform/loop.js';
import { createMetrics, type Metrics } from './platform/metrics.js';
import { isLoopbackHost } from './platform/net.js';
import { createReadiness } from './platform/readiness.js';
import { createHealthRpc } from './platform/rpc/health.js';
import { createReflectionRpc, reflectionNames } from './platform/rpc/reflection.js';
import { createDispatch, type ObserveCall } from './platform/rpc/dispatch.js';
import type { Tracing } from './platform/tracing.js';
import { readVersion } from './platform/version.js';
import type { ServerConfig } from './settings.js';

export interface App {
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Resolves with the reason when the server can no longer work and should be stopped. */
  readonly failed: Promise<string>;
  /** Reads the TLS files anew, where there are any; the log tells what came of it. */
  reload(): void;
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
const collectorEnv = 'OTEL_EXPORTER_OTLP_ENDPOINT';
const clockSyncMs = 30_000;

/** Starts a server. What was started before a failure is stopped again before it rejects. */
export async function startApp(deps: AppDeps): Promise<App> {
  const { config, log } = deps;
  checkOidc(config);
  tlsFilesOf(config.tlsCert, config.tlsKey);
  checkCollector();
  if (needsToken(config) && config.databaseUrl === undefined && !existsSync(config.dataDir)) throw noToken(config);
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

  const newId = createIds(clock);

  const metrics = createMetrics(log);
  const tracing = await startTracing(log, lifecycle);
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
    onAppended: metrics.counter('muster_events_total', 'Events that this server has appended, by type.', 'type'),
  });
  const jobs = createJobs({
    db,
    clock,
    newId,
    wakeups,
    log,
    random,
    stopping: lifecycle.stopping,
    appended: events.appended,
    pollMs: config.pollInterval,
    retentionMs: config.jobRetention,
  });

  const { appended } = events;
  const tokens = createTokens({
    db,
    clock,
    newId,
    wakeups,
    log,
    appended,
    localAllowed: isLoopbackHost(config.host) && config.oidcIssuer === undefined,
  });
  const git = createGit();
  const repos = createRepos({ db, clock, newId, log, git, appended });
  const vcs = createVcs({ git, dataDir: config.dataDir });
  const tasks = createTasks({
    db,
    clock,
    newId,
    log,
    appended,
    vcs,
    committer: config.committer,
    pollMs: config.pollInterval,
  });
  const audit = createAudit({ db, clock, log, appended });
  if (needsToken(config) && !(await tokens.anyUsable())) throw noToken(config);

  const limits = { all: config.rateLimit, writes: config.rateLimitWrites };
  const isLimited = limits.all !== undefined || limits.writes !== undefined;
  const limiter = isLimited ? createRateLimiter(limits, { db, clock, log }) : undefined;
  metrics.gauge(
    'muster_jobs',
    'Jobs that wait, wait for their time, or run; counted up to 10000.',
    'state',
    jobs.depths,
  );
  metrics.gauge(
    'muster_events_lag_seconds',
    'How long the oldest event that has no number yet has been waiting for it.',
    undefined,
    events.lagSeconds,
  );
  metrics.gauge(
    'muster_db_connections',
    'Connections to the database, and callers that wait for one.',
    'state',
    () => ({
      used: db.pool.total - db.pool.idle,
      idle: db.pool.idle,
      waiting: db.pool.waiting,
    }),
  );
  const idempotency = createIdempotency({
    db,
    clock,
    wakeups,
    log,
    stopping: lifecycle.stopping,
    pollMs: config.pollInterval,
  });

  const policy = createPolicy(grants);
  const own = [
    createEventRpc(events, (principal) => policy.isGranted(principal, auditScope)),
    createJobRpc(jobs),
    createRepoRpc(repos),
    createTaskRpc(tasks),
    createTokenRpc(tokens),
    createVcsRpc(createWorktrees({ db, vcs }), tasks),
  ];
  const readiness = createReadiness({ db, stopping: lifecycle.stopping });
  const descs = own.map(({ desc }) => desc);
  const health = createHealthRpc({
    readiness,
    services: [...descs.map(({ typeName }) => typeName), ...reflectionNames],
    stopping: lifecycle.stopping,
    lookEveryMs: config.pollInterval,
  });
  const services = [...own, health, ...createReflectionRpc([...descs, health.desc])];
  const dispatch = createDispatch({
    authenticate: authenticateBy(tokens, { config, clock, log }),
    policy,
    log,
    maxTimeoutMs,
    limiter,
    observe: observeCalls(metrics, tracing),
    onRefused: (refusal) => audit.refused(refusal),
    idempotency,
  });
  const http = await createHttpServer({
    services,
    plainRoutes: [
      ...createHealth(readiness),
      createMetricsRoute(metrics),
      ...createApiDocs({ services: own, version: readVersion() }),
    ],
    dispatch,
    log,
    metrics,
    allowedHosts: [config.host, ...config.allowedHosts],
    maxBodyBytes: config.maxBody,
    maxMessageBytes: config.maxMessage,
    maxTimeoutMs,
    stallMs: config.streamStall,
    requestTimeoutMs: config.requestTimeout,
    connectionLimit: config.connectionLimit,
    tls: tlsFilesOf(config.tlsCert, config.tlsKey),
  });
  await tokens.recogniser.look();
  const url = await http.listen(config.host, config.port);

  // Together: where the database does not answer, each waits for as long as it may.
  const background = [
    jobs,
    tasks,
    events,
    audit,
    tokens.recogniser,
    idempotency,
    ...(limiter === undefined ? [] : [limiter]),
  ];
  lifecycle.onStop('background work', async () => void (await Promise.all(background.map((part) => part.stop()))));
  lifecycle.onStop('http', () => http.close(config.shutdownGrace));
  await wakeups.start();
  events.start();
  jobs.start();
  tasks.begin();
  audit.start();
  tokens.recogniser.start();
  limiter?.start();
  idempotency.start();
  return { url, failed, reload: () => http.reload(), stop: () => lifecycle.stop() };
}

/** Counts every call with what came of it, and the streams that are open, and has it traced. */
function observeCalls(metrics: Metrics, tracing: Tracing | undefined): ObserveCall {
  return (door, call, kind) => {
    const { path } = door;
    const traced = tracing?.observe(door, call, kind);
    const began = performance.now();
    const closed = kind === 'stream' ? metrics.streamOpened(path) : undefined;
    return (error) => {
      closed?.();
      traced?.(error);
      metrics.call(path, error?.kind ?? 'ok', (performance.now() - began) / 1000);
    };
  };
}

/** The SDK would fall back to its own default, and tell nobody. */
function checkCollector(): void {
  const { [collectorEnv]: endpoint = '' } = process.env;
  if (endpoint === '' || (URL.canParse(endpoint) && /^https?:/.test(endpoint))) return;
  throw new AppError('invalid_request', `${collectorEnv}: must be a URL such as http://localhost:4318`);
}

/** Traces calls where there is a collector to tell. Stopped after what it traces. */
async function startTracing(log: Log, lifecycle: Lifecycle): Promise<Tracing | undefined> {
  if ((process.env[collectorEnv] ?? '') === '') return undefined;
  const { createTracing } = await import('./platform/tracing.js');
  const tracing = createTracing(readVersion(), log);
  lifecycle.onStop('traces', () => tracing.stop());
  return tracing;
}

function checkOidc({ oidcIssuer, oidcAudience }: ServerConfig): void {
  if (oidcIssuer !== undefined && oidcAudience === undefined) {
    throw new AppError('invalid_request', 'MUSTER_OIDC_AUDIENCE: is needed with MUSTER_OIDC_ISSUER');
  }
  if (oidcIssuer === undefined && oidcAudience !== undefined) {
    throw new AppError('invalid_request', 'MUSTER_OIDC_ISSUER: is needed with MUSTER_OIDC_AUDIENCE');
  }
}

/** Whether others can reach the server, and have nothing but tokens to show who they are. */
function needsToken({ host, oidcIssuer }: ServerConfig): boolean {
  return !isLoopbackHost(host) && oidcIssuer === undefined;
}

function noToken({ host }: ServerConfig): AppError {
  const command = 'muster token create --direct --role human --name ...';
  return new AppError(
    'invalid_request',
    `MUSTER_HOST: '${host}' is open to others, and there is no token; make one with '${command}', or use 127.0.0.1`,
  );
}

function authenticateBy(
  { recogniser }: Tokens,
  { config, clock, log }: { readonly config: ServerConfig; readonly clock: Clock; readonly log: Log },
): Authenticate {
  const { oidcIssuer: issuer, oidcAudience: audience, oidcJwksUrl, oidcRoleClaim, oidcRoles } = config;
  const bearer = [recogniser.bearer];
  if (issuer !== undefined && audience !== undefined) {
    const options = { issuer, audience, jwksUrl: oidcJwksUrl, roleClaim: oidcRoleClaim, roleOf: oidcRoles };
    bearer.push(
      lazily(async () =>
        (await import('./platform/auth/oidc.js')).createOidc(options, { callers: recogniser.callers, clock, log }),
      ),
    );
  }
  return createAuthenticate({ bearer, ticket: recogniser.ticket, local: recogniser.local });
}

/** Code that most servers never need is loaded when it is first asked for. */
function lazily(load: () => Promise<Recognise>): Recognise {
  let loaded: Promise<Recognise> | undefined;
  return async (text, knownOnly) => (await (loaded ??= load()))(text, knownOnly);
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
