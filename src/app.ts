import { existsSync } from 'node:fs';
import path from 'node:path';
import { authenticateBy, checkOidc, needsToken, noToken } from './app/access.js';
import { migrateDatabase, openConnection, startClock } from './app/database.js';
import { checkCollector, gauges, observeCalls, startTracing } from './app/observe.js';
import { createAudit } from './modules/audit/index.js';
import { createEventRpc, createEvents } from './modules/events/index.js';
import {
  createGateFiles,
  createGateRounds,
  createGateRpc,
  createGates,
  createRunner,
  createStarter,
  createWatchGates,
} from './modules/gates/index.js';
import { createHelp, createHelpRpc } from './modules/help/index.js';
import { createJobRpc, createJobs } from './modules/jobs/index.js';
import { createLearningRpc, createLearnings } from './modules/learnings/index.js';
import { createRepoRpc, createRepos } from './modules/repos/index.js';
import { createReviewRpc, createReviews } from './modules/reviews/index.js';
import {
  bubbleIfCompleted,
  checkOwn,
  createChanger,
  createReviewedTasks,
  createTaskRpc,
  createTasks,
  createVcsRpc,
  createWorktrees,
  gatedReviews,
  gatedTasks,
  noSuchTask,
  waiting,
} from './modules/tasks/index.js';
import { auditScope, createTokenRpc, createTokens, grants } from './modules/tokens/index.js';
import { createVcs } from './modules/vcs/index.js';
import { createPolicy } from './platform/auth/policy.js';
import type { Clock } from './platform/clock.js';
import { createDatabase } from './platform/db/db.js';
import { createWakeups } from './platform/db/wakeups.js';
import { createGit } from './platform/git/index.js';
import { createApiDocs } from './platform/http/api-docs.js';
import { createHealth } from './platform/http/health.js';
import { createMetricsRoute } from './platform/http/metrics-route.js';
import { createHttpServer } from './platform/http/server.js';
import { checkInFlight } from './platform/http/in-flight.js';
import { type TlsFiles, tlsFilesOf } from './platform/http/tls.js';
import { createIdempotency } from './platform/idempotency/idempotency.js';
import { createIds } from './platform/ids.js';
import { createRateLimiter } from './platform/limits/rate-limit.js';
import { createLifecycle, type Lifecycle } from './platform/lifecycle.js';
import type { Log } from './platform/log.js';
import { createMetrics } from './platform/metrics.js';
import { isLoopbackHost } from './platform/net.js';
import { createReadiness } from './platform/readiness.js';
import { createDispatch } from './platform/rpc/dispatch.js';
import { createHealthRpc } from './platform/rpc/health.js';
import { createReflectionRpc, reflectionNames } from './platform/rpc/reflection.js';
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

/** Starts a server. What was started before a failure is stopped again before it rejects. */
export async function startApp(deps: AppDeps): Promise<App> {
  const { config, log } = deps;
  checkOidc(config);
  const tls = tlsFilesOf(config.tlsCert, config.tlsKey);
  checkCollector();
  checkInFlight(config.maxInFlight, Math.max(config.maxBody, config.maxMessage));
  if (needsToken(config) && config.databaseUrl === undefined && !existsSync(config.dataDir)) throw noToken(config);
  const lifecycle = createLifecycle(log);
  try {
    return await compose(deps, tls, lifecycle);
  } catch (error) {
    await lifecycle.stop();
    throw error;
  }
}

async function compose(
  { config, log, clock: givenClock, random = Math.random }: AppDeps,
  tls: TlsFiles | undefined,
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
  const vcs = createVcs({ git, dataDir: config.dataDir });
  const queue = jobs.ownQueue('muster.gate');
  const rounds = createGateRounds({ queue });
  const files = createGateFiles({ db, clock, newId, appended, vcs, tasks: gatedTasks });
  const gated = { tasks: gatedTasks, reviews: gatedReviews };
  const gates = createGates({ db, clock, newId, log, appended, files, ...gated });
  const starter = createStarter({
    ...{ db, clock, log, appended, queue, vcs },
    ...gated,
    scratchDir: path.resolve(config.dataDir, 'gates'),
  });
  const { pollInterval: pollMs, gateConcurrency: concurrency } = config;
  const runner = createRunner({
    ...{ db, log, queue, starter, concurrency, pollMs },
    stopping: lifecycle.stopping,
  });
  const tasks = createTasks({
    db,
    clock,
    newId,
    log,
    appended,
    vcs,
    gates: { files, rounds },
    committer: config.committer,
    pollMs: config.pollInterval,
  });
  const repos = createRepos({ db, clock, newId, log, git, appended, tasks: tasks.remains });
  const { change, changeOf } = createChanger({ db, clock, log, appended });
  const learnings = createLearnings({
    db,
    newId,
    tasks: { changeOf, get: tasks.get, bubbleIfCompleted: (tx, task, now) => bubbleIfCompleted(tx, newId, task, now) },
  });
  const help = createHelp({
    db,
    clock,
    newId,
    log,
    tasks: { ...waiting, change, changeOf, get: tasks.get, noSuchTask: (id) => noSuchTask('task_id', id) },
    pollMs: config.pollInterval,
  });
  const reviewed = createReviewedTasks(newId);
  const reviews = createReviews({ db, clock, newId, log, appended, vcs, tasks: reviewed, rounds, files });
  const audit = createAudit({ db, clock, log, appended });
  if (needsToken(config) && !(await tokens.anyUsable())) throw noToken(config);

  const limits = { all: config.rateLimit, writes: config.rateLimitWrites };
  const isLimited = limits.all !== undefined || limits.writes !== undefined;
  const limiter = isLimited ? createRateLimiter(limits, { db, clock, log }) : undefined;
  gauges(metrics, { jobs, events, db });
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
    createGateRpc({ gates, watch: createWatchGates({ db, events, reviews: gatedReviews }), rerun: reviews.rerun }),
    createHelpRpc(help, checkOwn),
    createJobRpc(jobs),
    createLearningRpc(learnings, checkOwn),
    createRepoRpc(repos),
    createReviewRpc(reviews),
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
    maxInFlightBytes: config.maxInFlight,
    maxTimeoutMs,
    stallMs: config.streamStall,
    requestTimeoutMs: config.requestTimeout,
    connectionLimit: config.connectionLimit,
    tls,
  });
  await tokens.recogniser.look();
  const url = await http.listen(config.host, config.port);

  // Together: where the database does not answer, each waits for as long as it may.
  const background = [
    events,
    jobs,
    tasks.background,
    runner,
    help.background,
    audit,
    tokens.recogniser,
    idempotency,
    ...(limiter === undefined ? [] : [limiter]),
  ];
  // Together: where the database does not answer, each waits for as long as it may.
  lifecycle.onStop('background work', async () => void (await Promise.all(background.map((part) => part.stop()))));
  lifecycle.onStop('http', () => http.close(config.shutdownGrace));
  await wakeups.start();
  background.forEach((part) => part.start());
  return { url, failed, reload: () => http.reload(), stop: () => lifecycle.stop() };
}
