import { request } from 'node:http';
import { connect } from 'node:http2';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';
import path from 'node:path';
import pg from 'pg';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus } from '../../gen/grpc/health/v1/health_pb.js';
import { JobStatus } from '../../gen/muster/v1/jobs_pb.js';
import { makeTempDir, postgresOf, useBuiltServer } from '../support/built-server.js';
import { layCluster } from '../support/cluster.js';
import { createTestDatabase } from '../support/database.js';
import { createJobsClient } from '../support/jobs-client.js';
import { rest } from '../support/rest.js';
import { soon, until } from '../support/until.js';
import { startWorker } from '../support/work-client.js';

const startServer = useBuiltServer();
const kinds = ['build'];

/** A server on a database of the shared Postgres, which starts faster than one with its own. */
async function setUp(env: Readonly<Record<string, string>> = {}) {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const server = startServer({ databaseUrl: database.url, env: { MUSTER_SHUTDOWN_GRACE: '60s', ...env } });
  const url = await server.ready();
  return { server, url, jobs: createJobsClient(url), database };
}

const clean = { code: 0, signal: null };

/** A request of which half has been sent. */
function halfSent(url: string) {
  const body = JSON.stringify({ kind: 'build', payload: 'sent in two parts' });
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  const sending = request(`${url}/v1/jobs`, { method: 'POST', headers });
  const status = new Promise<number | undefined>((resolve, reject) => {
    sending.on('response', (response) => resolve(response.resume().statusCode));
    sending.on('error', reject);
  });
  sending.write(body.slice(0, 10));
  return {
    status,
    finish: () => void sending.end(body.slice(10)),
  };
}

describe.each(['SIGTERM', 'SIGINT'] as const)('%s', (signal) => {
  test('lets go who waits, lets end what is under way, and exits with 0', async () => {
    const { server, url, jobs, database } = await setUp();
    const poll = jobs.claim({ kinds: ['nothing'], wait_sec: 60 });
    const half = halfSent(url);
    const worker = await startWorker(url, { kinds, capacity: 1 });
    const { id } = await jobs.submit({ kind: 'build' });
    const job = await worker.until('the job has come', ({ jobs: come }) => come[0]);
    const idle = connect(url);
    onTestFinished(() => idle.destroy());
    await new Promise((resolve) => idle.once('connect', resolve));
    await until('all is under way', () => {
      return server.lines.filter(({ event }) => event === 'request_start').length >= 4;
    });

    server.kill(signal);
    expect(await soon('the poll', poll)).toEqual([]);
    await worker.until('it was told', ({ drains }) => drains === 1);
    // Nobody new comes in any more.
    await expect(fetch(`${url}/healthz`, { headers: { connection: 'close' } })).rejects.toThrow();
    worker.update({ completed: [{ id, leaseToken: job.leaseToken }] });
    const outcome = await worker.until('its report is answered', ({ outcomes }) => outcomes[0]);
    expect(outcome.status).toBe(JobStatus.DONE);
    worker.end();
    half.finish();
    expect(await soon('the other half', half.status)).toBe(201);
    expect(await soon('the end', server.exit)).toEqual(clean);
    expect(server.lines.at(-1)).toMatchObject({ event: 'stopped' });
    const rows = await database.query<{ state: string }>('SELECT state FROM jobs ORDER BY id');
    expect(rows.map(({ state }) => state).sort()).toEqual(['done', 'queued']);
  });
});

test('what does not end is cut after the grace time', async () => {
  const { server, url } = await setUp({ MUSTER_SHUTDOWN_GRACE: '200ms' });
  const worker = await startWorker(url, { kinds, capacity: 1 });
  const half = halfSent(url);
  half.status.catch(() => undefined);
  server.kill('SIGTERM');
  expect(await soon('the end', server.exit)).toEqual(clean);
  expect(worker.heard.drains).toBe(1);
  await expect(half.status).rejects.toThrow();
});

test('a second signal ends it at once, and its Postgres with it', async () => {
  const dataDir = await makeTempDir();
  layCluster(dataDir);
  const server = startServer({ dataDir, env: { MUSTER_SHUTDOWN_GRACE: '1h' } });
  const worker = await startWorker(await server.ready(), { kinds, capacity: 1 });
  server.kill('SIGTERM');
  await worker.until('it stops', ({ drains }) => drains === 1);
  server.kill('SIGTERM');
  expect(await soon('the end', server.exit)).toEqual({ code: 130, signal: null });
  await until('Postgres has ended', () => postgresOf(dataDir) === undefined);
});

test('a signal during the start is not lost', async () => {
  const dataDir = await makeTempDir();
  const server = startServer({ dataDir, env: { MUSTER_LOG_LEVEL: 'debug' } });
  await until('it makes its database', () => postgresOf(dataDir) !== undefined);
  server.kill('SIGTERM');
  expect(await soon('the end', server.exit)).toEqual(clean);
  expect(postgresOf(dataDir)).toBeUndefined();
});

// Side by side: each waits for as long as a database may take.
test('a database that does not answer does not keep it from ending', async () => {
  await Promise.all([endWhileStatementWaits(), endInSilence(), endWhileListenWaits(), endWhileStartWaits()]);
});

async function endWhileStatementWaits(): Promise<void> {
  const { server, jobs, database } = await setUp({ MUSTER_SHUTDOWN_GRACE: '200ms' });
  const other = new pg.Client({ connectionString: database.url });
  onTestFinished(() => other.end());
  await other.connect();
  await other.query('BEGIN; LOCK TABLE jobs, jobs_ready, jobs_scheduled, jobs_claimed');
  const stuck = jobs.submit({ kind: 'build' }).catch(() => 'cut');
  await until('it waits', async () => {
    const waiting = await database.query(`SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO jobs%'`);
    return waiting.length > 0;
  });
  server.kill('SIGTERM');
  expect(await soon('the end with a statement that waits', server.exit)).toEqual(clean);
  expect(await stuck).toBe('cut');
}

async function endInSilence(): Promise<void> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const proxy = await startProxy(database.url);
  const server = startServer({ databaseUrl: proxy.url, env: { MUSTER_SHUTDOWN_GRACE: '200ms' } });
  const url = await server.ready();
  await createJobsClient(url).submit({ kind: 'build' });
  proxy.stall();
  const health = createClient(Health, createGrpcTransport({ baseUrl: url }));
  const [ready, { status }] = await Promise.all([rest(url, 'GET', '/readyz'), health.check({})]);
  expect([ready.status, ready.json]).toEqual([503, { status: 'not_ready', reason: expect.any(String) as string }]);
  expect(status).toBe(HealthCheckResponse_ServingStatus.NOT_SERVING);
  server.kill('SIGTERM');
  expect(await soon('the end in silence', server.exit)).toEqual(clean);
  expect(server.lines.at(-1)).toMatchObject({ event: 'stopped' });
}

/** The connection on which wake-ups come falls silent before they do. */
async function endWhileListenWaits(): Promise<void> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const proxy = await startProxy(database.url, { swallow: 'LISTEN' });
  const server = startServer({ databaseUrl: proxy.url });
  await server.ready();
  await soon('the LISTEN', proxy.swallowed);
  server.kill('SIGTERM');
  expect(await soon('the end without a LISTEN', server.exit)).toEqual(clean);
  expect(server.lines.at(-1)).toMatchObject({ event: 'stopped' });
}

/** What the start itself waits for never comes. */
async function endWhileStartWaits(): Promise<void> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const proxy = await startProxy(database.url, { swallow: 'to_regclass' });
  const server = startServer({ databaseUrl: proxy.url });
  await soon('the look for migrations', proxy.swallowed);
  server.kill('SIGTERM');
  expect(await soon('the end of the start', server.exit)).toEqual({ code: 130, signal: null });
  expect(server.lines.at(-1)).toMatchObject({ event: 'start_given_up', reason: 'SIGTERM' });
}

/** Stands between a server and the Postgres of a test, over TCP, and can stop passing things on. */
interface Proxy {
  readonly url: string;
  /** Passes on nothing more. */
  stall(): void;
  /** Resolves when a connection has fallen silent over what it swallows. */
  readonly swallowed: Promise<void>;
}

/** `swallow`: a connection falls silent when this is said on it. */
async function startProxy(databaseUrl: string, { swallow }: { readonly swallow?: string } = {}): Promise<Proxy> {
  const { pathname, searchParams } = new URL(databaseUrl);
  const target = path.join(searchParams.get('host') ?? '', `.s.PGSQL.${searchParams.get('port')}`);
  const sockets: Socket[] = [];
  let stalled = false;
  let tell = (): void => undefined;
  const swallowed = new Promise<void>((resolve) => (tell = resolve));
  const server = createServer((near) => {
    sockets.push(near);
    if (stalled) return;
    const far = createConnection(target);
    sockets.push(far);
    near.on('error', () => far.destroy());
    near.on('data', (chunk: Buffer) => {
      if (swallow === undefined || !chunk.includes(swallow)) return void far.write(chunk);
      near.pause();
      tell();
    });
    far.on('error', () => near.destroy()).pipe(near);
  });
  onTestFinished(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `postgres://${searchParams.get('user')}@127.0.0.1:${port}${pathname}`,
    stall: () => {
      stalled = true;
      sockets.forEach((socket) => socket.unpipe().pause());
    },
    swallowed,
  };
}
