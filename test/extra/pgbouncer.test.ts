import type pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { migrations } from '../../src/migrations/index.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { type RestEvent, wholeLedger } from '../support/events-client.js';
import { createJobsClient, type JobsClient } from '../support/jobs-client.js';
import { type EventStream, openEventStream } from '../support/sse.js';
import { startWorker } from '../support/work-client.js';
import { type PgBouncer, startPgBouncer } from './support/pgbouncer.js';

/** Fewer than the connections of one server, so that each of those is served by another one in every transaction. */
const sessions = 3;

interface Scene {
  readonly bouncer: PgBouncer;
  readonly database: TestDatabase;
  readonly apps: readonly [TestApp, TestApp];
}

/** Two servers that start at once, on an empty database, and reach it by PgBouncer only. */
async function setUp(): Promise<Scene> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const bouncer = await startPgBouncer({ sessions });
  const options = { database: bouncer.through(database), flags: { 'db-listen': 'off' } };
  const apps = await Promise.all([startTestApp(options), startTestApp(options)]);
  return { bouncer, database, apps };
}

/** PgBouncer itself sets these, as each of its clients has them. */
const carried = [
  'application_name',
  'client_encoding',
  'DateStyle',
  'IntervalStyle',
  'standard_conforming_strings',
  'TimeZone',
];

/** How a session of Postgres is set that somebody else has been using. */
async function settingsOf(other: pg.Client) {
  const { rows: plan } = await other.query<{ plan_cache_mode: string }>('SHOW plan_cache_mode');
  const { rows: backend } = await other.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const { rows: changed } = await other.query<{ name: string }>(
    "SELECT name FROM pg_settings WHERE source = 'session' AND name <> ALL ($1)",
    [carried],
  );
  return { planCacheMode: plan[0]?.plan_cache_mode, pid: backend[0]?.pid, changed: changed.map(({ name }) => name) };
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, n) => n + 1);
const eventsOf = ({ events }: EventStream): RestEvent[] => events.map(({ data }) => JSON.parse(data) as RestEvent);

/** Submits jobs over both servers, all at once. */
async function submitOverBoth(clients: readonly JobsClient[], kind: string, count: number): Promise<string[]> {
  const jobs = await Promise.all(upTo(count).flatMap(() => clients.map((client) => client.submit({ kind }))));
  return jobs.map(({ id }) => id);
}

/** Claims over one server and reports over the other, until `count` jobs are done. */
async function workOverRest(from: JobsClient, to: JobsClient, kind: string, count: number): Promise<void> {
  for (let done = 0; done < count;) {
    const jobs = await from.claim({ kinds: [kind], max: 8, wait_sec: 30 });
    await Promise.all(jobs.map((job) => to.complete(job, { by: 'rest' })));
    done += jobs.length;
  }
}

async function workOverStream(url: string, kind: string, count: number): Promise<void> {
  const stream = await startWorker(url, { kinds: [kind], capacity: 8 });
  for (let n = 0; n < count; n++) {
    const { id, leaseToken } = await stream.until(`job ${n} has come`, ({ jobs }) => jobs[n]);
    stream.update({ completed: [{ id, leaseToken, resultJson: '{"by":"stream"}' }] });
  }
  await stream.until('all are answered', ({ outcomes }) => outcomes.length === count);
  stream.end();
}

test('servers that start at once on an empty database migrate it once', async () => {
  const { database } = await setUp();
  const taken = await database.query<{ name: string }>('SELECT name FROM muster_migrations ORDER BY id');
  expect(taken.map(({ name }) => name)).toEqual(migrations.map(({ name }) => name));
});

test('jobs of both servers are done over REST and streams, and readers of both are told everything once and in order', async () => {
  const { bouncer, database, apps } = await setUp();
  const [a, b] = apps;
  const clients = [createJobsClient(a.url), createJobsClient(b.url)] as const;
  const readers = await Promise.all(apps.map(({ url }) => openEventStream(`${url}/api/events/subscribe?after=0`)));
  const perServer = 60;
  const working = Promise.all([
    workOverRest(...clients, 'rest', 2 * perServer),
    workOverStream(b.url, 'stream', 2 * perServer),
  ]);
  const ids = (await Promise.all(['rest', 'stream'].map((kind) => submitOverBoth(clients, kind, perServer)))).flat();
  await working;

  const jobs = await Promise.all(ids.map((id, n) => clients[n % 2 === 0 ? 0 : 1].get(id)));
  expect(jobs.map(({ kind, status, attempts, result }) => ({ kind, status, attempts, result }))).toEqual(
    jobs.map(({ kind }) => ({ kind, status: 'done', attempts: 1, result: { by: kind } })),
  );
  const ledger = await wholeLedger(a.url);
  expect(ledger.map(({ seq }) => seq)).toEqual(upTo(3 * ids.length));
  const lifeOf = (id: string) => ledger.flatMap(({ job_id, type }) => (job_id === id ? [type] : []));
  expect(ids.map(lifeOf)).toEqual(ids.map(() => ['JobQueued', 'JobStarted', 'JobDone']));
  for (const reader of readers) {
    await reader.until('all have come', (events) => events.length >= ledger.length);
    expect(eventsOf(reader)).toEqual(ledger);
  }

  // All of it went through PgBouncer, and there were fewer sessions than connections.
  const [pool] = (await bouncer.show('POOLS')).filter((each) => each['database'] === database.name);
  expect(pool).toMatchObject({ pool_mode: 'transaction' });
  const ofUs = async (what: string) => (await bouncer.show(what)).filter((each) => each['database'] === database.name);
  expect((await ofUs('SERVERS')).length).toBeLessThanOrEqual(sessions);
  expect((await ofUs('CLIENTS')).length).toBeGreaterThan(sessions);
});

test('servers leave the settings of sessions alone, as others get them next', async () => {
  const { bouncer, database, apps } = await setUp();
  const clients = apps.map(({ url }) => createJobsClient(url));
  await submitOverBoth(clients, 'build', 30);

  // As many transactions at once as there are sessions: each has another one.
  const others = await Promise.all(upTo(sessions).map(() => bouncer.connect(database)));
  await Promise.all(others.map((other) => other.query('BEGIN')));
  const found = await Promise.all(others.map(settingsOf));
  await Promise.all(others.map((other) => other.query('COMMIT')));

  const used = await bouncer.show('SERVERS');
  expect(used.filter((each) => each['database'] === database.name)).toHaveLength(sessions);
  expect(new Set(found.map(({ pid }) => pid)).size).toBe(sessions);
  expect(found.map(({ planCacheMode }) => planCacheMode)).toEqual(upTo(sessions).map(() => 'auto'));
  expect(found.flatMap(({ changed }) => changed)).toEqual([]);
});
