import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';
import { connectRaw } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { failureOf, openClient, type TransportName } from '../support/wire/connect-client.js';
import { createQueue } from '../support/wire/queue.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';

// Longer than any test may take: what holds the stop up for it fails by its own timeout.
const patient = { flags: { 'shutdown-grace': '1h' }, logLevel: 'info' } as const;
const impatient = { flags: { 'shutdown-grace': '300ms' }, logLevel: 'info' } as const;

/** Resolves when the server has begun with a call of this correlation id. */
const begun = (app: TestApp, id: string): Promise<void> =>
  expect
    .poll(() => app.logged.some((line) => line['corr_id'] === id && line.event === 'request_start'), {
      timeout: 30_000,
    })
    .toBe(true);

const wait = { worker_id: 'w', kinds: ['none'], wait_sec: 60 };

test('a claim that waits is answered, by every way in', async () => {
  const app = await startTestApp(patient);
  const session = openSession(app.url);
  const headers = (id: string) => ({ 'x-correlation-id': id });
  const rpc = { workerId: 'w', kinds: ['none'], waitSec: 60 };
  const names: readonly TransportName[] = [
    'Connect JSON',
    'Connect binary, gzip, h2c',
    'gRPC',
    'gRPC, gzip',
    'gRPC-Web',
  ];
  const one = rest(app.url, 'POST', '/v1/jobs/claim', wait, headers('rest-1'));
  const two = exchange(
    session,
    { ':path': '/v1/jobs/claim', 'content-type': 'application/json', ...headers('rest-2') },
    [Buffer.from(JSON.stringify(wait))],
  );
  const others = names.map((name, index) =>
    openClient(app.url, name).client.claimJobs(rpc, { headers: headers(`rpc-${index}`) }),
  );
  await Promise.all(['rest-1', 'rest-2', ...names.map((_, index) => `rpc-${index}`)].map((id) => begun(app, id)));

  const stopped = app.app.stop();
  const answer = await one;
  expect(answer).toMatchObject({ status: 200, json: [] });
  expect((await two).body.toString()).toBe('[]');
  for (const other of others) expect((await other).jobs).toEqual([]);
  await stopped;
});

test('a request whose body is still on its way is finished', async () => {
  const app = await startTestApp(patient);
  const { host } = new URL(app.url);
  const body = '{"kind":"last"}';
  const connection = await connectRaw(app.url);
  connection.write(
    `POST /v1/jobs HTTP/1.1\r\nHost: ${host}\r\nX-Correlation-Id: late\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
  );
  await begun(app, 'late');
  const session = openSession(app.url);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/v1/jobs',
    'content-type': 'application/json',
    'x-correlation-id': 'late-2',
  });
  const status = new Promise((resolve) => stream.once('response', (head) => resolve(head[':status'])));
  stream.write(body.slice(0, 5));
  await begun(app, 'late-2');

  const stopped = app.app.stop();
  await refused(app.url);
  connection.write(body.slice(5));
  stream.end(body.slice(5));
  stream.resume();
  expect(await connection.answer()).toMatchObject({ status: 201 });
  expect((await connection.closed()).length).toBe(0);
  expect(await status).toBe(201);
  await stopped;
});

/** Resolves when nobody listens any more. */
async function refused(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const attempt = (): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.once('connect', () => resolve('connected'));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      socket.once('close', () => socket.destroy());
      socket.once('connect', () => socket.destroy());
    });
  await expect.poll(attempt, { timeout: 30_000 }).toBe('ECONNREFUSED');
}

test('what is idle does not hold the stop up', async () => {
  const app = await startTestApp(patient);
  const { host } = new URL(app.url);
  const silent = await connectRaw(app.url);
  const hesitant = await connectRaw(app.url);
  hesitant.write('PR');
  const kept = await connectRaw(app.url);
  kept.write(`GET /healthz HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  await kept.answer();
  const session = openSession(app.url);
  await exchange(session, { ':method': 'GET', ':path': '/healthz' });
  const goneAway = new Promise((resolve) => session.once('goaway', resolve));
  // A client of each kind that keeps its connection for later.
  const names: readonly TransportName[] = ['Connect JSON', 'Connect JSON, h2c', 'gRPC', 'gRPC-Web'];
  for (const name of names) await openClient(app.url, name).client.listJobs({});

  await app.app.stop();
  await Promise.all([silent.closed(), hesitant.closed(), kept.closed(), goneAway]);
});

test('nor does a message that was refused before it was read', async () => {
  const app = await startTestApp({ flags: { ...patient.flags, 'max-message': '64KiB' } });
  const message = framed(Buffer.alloc(256 * 1024));
  const head = { ':path': '/muster.v1.JobService/GetJob', 'content-type': 'application/grpc' };
  for (const encoding of ['identity', 'gzip']) {
    const answer = await exchange(openSession(app.url), { ...head, 'grpc-encoding': encoding }, [message]);
    expect({ ...answer.headers, ...answer.trailers }['grpc-status']).toBe('8');
  }
  const rest = { ':path': '/v1/jobs', 'content-type': 'application/json', 'content-encoding': 'gzip' };
  expect((await exchange(openSession(app.url), rest, [message])).headers[':status']).toBe(415);
  await app.app.stop();
});

describe('streams', () => {
  const transports: readonly TransportName[] = ['Connect JSON, h2c', 'Connect binary, gzip, h2c', 'gRPC', 'gRPC, gzip'];

  test.each([...transports, 'Connect JSON', 'gRPC-Web'] as const)(
    '%s: who watches is told to come again',
    async (name) => {
      const app = await startTestApp(patient);
      const { json } = await rest(app.url, 'POST', '/v1/jobs', { kind: 'a' });
      const { client } = openClient(app.url, name);
      const stream = client.watchJob({ id: (json as { id: string }).id })[Symbol.asyncIterator]();
      await stream.next();
      const stopped = app.app.stop();
      expect(await failureOf(stream.next())).toEqual({ code: 'Unavailable', error: 'unavailable' });
      await stopped;
    },
  );

  test.each(transports)('%s: a worker is asked to drain, and may report', async (name) => {
    const app = await startTestApp(patient);
    const say = createQueue<object>();
    const hear = openClient(app.url, name).client.work(say)[Symbol.asyncIterator]();
    say.push({ message: { case: 'start', value: { workerId: 'w', kinds: ['a'], capacity: 2 } } });
    await hear.next();
    await rest(app.url, 'POST', '/v1/jobs', { kind: 'a' });
    const { value } = await hear.next();
    const lease = { id: value?.jobs[0]?.id, leaseToken: value?.jobs[0]?.leaseToken };

    const stopped = app.app.stop();
    expect((await hear.next()).value).toMatchObject({ drain: true, jobs: [] });
    say.push({ message: { case: 'update', value: { completed: [lease] } } });
    expect((await hear.next()).value).toMatchObject({ completed: [lease.id] });
    say.end();
    expect((await hear.next()).done).toBe(true);
    await stopped;
    expect(await app.database.query('SELECT state FROM jobs')).toEqual([{ state: 'done' }]);
  });

  test.each(transports)('%s: a worker who stays is cut off, its leases run on', async (name) => {
    const app = await startTestApp(impatient);
    const say = createQueue<object>();
    const hear = openClient(app.url, name).client.work(say)[Symbol.asyncIterator]();
    say.push({ message: { case: 'start', value: { workerId: 'w', kinds: ['a'], capacity: 1 } } });
    await hear.next();
    await rest(app.url, 'POST', '/v1/jobs', { kind: 'a' });
    await hear.next();
    const stopped = app.app.stop();
    expect((await hear.next()).value).toMatchObject({ drain: true });
    expect(await failureOf(hear.next())).toMatchObject({ error: undefined });
    await stopped;
    expect(await app.database.query('SELECT state FROM jobs')).toEqual([{ state: 'running' }]);
    say.end();
  });
});

test('a request that never ends is cut after the grace', async () => {
  const app = await startTestApp(impatient);
  const { host } = new URL(app.url);
  const connection = await connectRaw(app.url);
  connection.write(`POST /v1/jobs HTTP/1.1\r\nHost: ${host}\r\nX-Correlation-Id: hung\r\nContent-Length: 100\r\n\r\n{`);
  await begun(app, 'hung');
  const stream = openSession(app.url).request({
    ':method': 'POST',
    ':path': '/muster.v1.JobService/GetJob',
    'content-type': 'application/grpc',
    'x-correlation-id': 'hung-2',
  });
  const cut = new Promise((resolve) => stream.once('close', resolve));
  stream.on('error', () => undefined);
  stream.write(Buffer.of(0, 0));
  await begun(app, 'hung-2');
  await app.app.stop();
  await connection.closed();
  await cut;
});

test('a reader who does not read is cut after the grace', async () => {
  const app = await startTestApp(impatient);
  const { host } = new URL(app.url);
  const kind = 'k'.repeat(100);
  const payload = 'x'.repeat(1_000_000);
  for (let count = 0; count < 20; count++) await rest(app.url, 'POST', '/v1/jobs', { kind, payload });
  const connection = await connectRaw(app.url);
  connection.socket.pause();
  connection.write(`GET /v1/jobs HTTP/1.1\r\nHost: ${host}\r\nX-Correlation-Id: lazy\r\n\r\n`);
  await begun(app, 'lazy');
  await app.app.stop();
});

test('twice, and at the same time, is once', async () => {
  const app = await startTestApp(patient);
  await Promise.all([app.app.stop(), app.app.stop()]);
  await app.app.stop();
  expect(app.logged.filter(({ event }) => event === 'stop_failed')).toEqual([]);
  await refused(app.url);
});
