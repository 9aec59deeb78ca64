import { describe, expect, test } from 'vitest';
import type { ClientOptions } from 'ws';
import { startTestApp, type TestApp } from '../../support/app.js';
import { replayEvents } from '../../support/events-client.js';
import { createJobsClient } from '../../support/jobs-client.js';
import { connectRaw } from '../../support/raw-http.js';
import { rest } from '../../support/rest.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { soon, until } from '../../support/until.js';
import { openWebSocket, type TestSocket } from '../../support/websocket.js';

const path = '/api/events/stream';

async function open(url: string, message?: unknown, options?: ClientOptions): Promise<TestSocket> {
  const socket = openWebSocket(url, path, options);
  await socket.opened;
  if (message !== undefined) socket.send(message);
  return socket;
}

const seqsOf = ({ messages }: TestSocket): number[] => messages.flatMap(({ event }) => event?.seq ?? []);
const upTo = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, n) => first + n);

async function append({ database }: Pick<TestApp, 'database'>, count: number, payload = '{}'): Promise<void> {
  await database.query(
    `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, job_ids, payload)
     SELECT 1, now(), 'JobQueued', 'Rest', 'human', 'local', ARRAY['job_' || n], $2::json FROM generate_series(1, $1::int) n`,
    [count, payload],
  );
}

test('tells what there is after a seq and what comes, in the words of REST', async () => {
  const { url } = await startTestApp();
  const jobs = createJobsClient(url);
  const { id } = await jobs.submit({ kind: 'build' });
  const all = await open(url, { type: 'subscribe', after: 0 });
  const live = await open(url, { type: 'subscribe' });
  const filtered = await open(url, { type: 'subscribe', after: 0, filter: { type: ['JobCanceled'], job_id: id } });
  await Promise.all([all, live, filtered].map((each) => each.until('it is welcomed', (heard) => heard.length > 0)));
  await jobs.submit({ kind: 'build' });
  await jobs.cancel(id);
  await all.until('all have come', (heard) => heard.length === 4);
  await live.until('two have come', (heard) => heard.length === 3);
  await filtered.until('the cancel has come', (heard) => heard.length === 2);
  expect(all.messages[0]).toEqual({ type: 'subscribed', after: 0 });
  expect(live.messages[0]).toEqual({ type: 'subscribed', after: 1 });
  expect(all.messages.slice(1)).toEqual((await replayEvents(url)).map((event) => ({ type: 'event', event })));
  expect([live, filtered].map(seqsOf)).toEqual([[2, 3], [3]]);
});

test('everything once and in order, a long replay and what comes meanwhile', async () => {
  const app = await startTestApp();
  await append(app, 6000);
  const sockets = await Promise.all([0, 0, 5500, 5999].map((after) => open(app.url, { type: 'subscribe', after })));
  for (let n = 0; n < 5; n++) await append(app, 300);
  for (const socket of sockets) await socket.until('all have come', (heard) => heard.at(-1)?.event?.seq === 7500);
  expect(sockets.map(seqsOf)).toEqual([upTo(1, 7500), upTo(1, 7500), upTo(5501, 7500), upTo(6000, 7500)]);
});

describe('a wrong message ends it with the reason', () => {
  const app = sharedTestApp();
  test.each([
    ['not JSON', '{', /^The message is not JSON/],
    ['no object', '[]', /^The message must be an object/],
    ['no type', {}, /^type: must be subscribe/],
    ['another type', { type: 'unsubscribe' }, /^type: must be subscribe/],
    ['an unknown field', { type: 'subscribe', from: 1 }, /^from: no such field/],
    ['an unknown filter', { type: 'subscribe', filter: { jobs: 'x' } }, /jobs/],
    ['a filter that is none', { type: 'subscribe', filter: 'x' }, /^filter: must be an object/],
    ['a bad seq', { type: 'subscribe', after: -1 }, /^after: /],
    ['a seq to come', { type: 'subscribe', after: 1e6 }, /^after: /],
    ['an unknown type of event', { type: 'subscribe', filter: { type: ['X'] } }, /^type\[0\]: /],
  ])('%s', async (_what, message, reason) => {
    const socket = await open(app.current.url, message);
    expect(await soon('the end', socket.closed)).toBe(1008);
    expect(socket.messages).toEqual([
      expect.objectContaining({ type: 'error', error: 'invalid_request', code: 400 }) as unknown,
    ]);
    const text = String(socket.messages[0]?.['message']);
    expect(text).toMatch(reason);
    // A message that begins with a field has it for programs as well.
    const field = /^(\S+): /.exec(text)?.[1];
    if (field !== undefined) expect(socket.messages[0]).toMatchObject({ details: { field } });
  });

  test('subscribing twice', async () => {
    const socket = await open(app.current.url, { type: 'subscribe' });
    socket.send({ type: 'subscribe' });
    expect(await soon('the end', socket.closed)).toBe(1008);
    expect(socket.messages.at(-1)).toMatchObject({ type: 'error', message: 'subscribe comes once' });
  });

  test('more than 64 KiB', async () => {
    const socket = await open(app.current.url, { type: 'subscribe', filter: { job_id: 'x'.repeat(70_000) } });
    expect(await soon('the end', socket.closed)).toBe(1009);
  });
});

describe('an upgrade is refused over HTTP', () => {
  const app = sharedTestApp({ logLevel: 'info' });
  test.each([
    ['a page of another host', path, { origin: 'https://evil.example' }, 403, 'forbidden'],
    ['another Host', path, { headers: { host: 'evil.example' } }, 403, 'forbidden'],
    ['a token, of which there are none yet', path, { headers: { authorization: 'Bearer x' } }, 401, 'unauthorized'],
    ['another path', '/api/nothing', {}, 404, 'not_found'],
    ['a query', `${path}?bogus=0`, {}, 400, 'invalid_request'],
  ] as const)('%s', async (_what, where, options, status, error) => {
    const socket = openWebSocket(app.current.url, where, options);
    await expect(socket.opened).rejects.toMatchObject({ status, json: { error, code: status } });
    await until('the log has its status', () =>
      app.current.logged.some((line) => line.event === 'request_end' && line['status'] === status),
    );
  });

  test.each([
    ['?after=0', 'after'],
    ['?&type=JobDone&x', 'type'],
    ['?a+%C3%A4=1', 'a ä'],
    ['?%FF=1', '%FF'],
  ])('%s, which the message is for', async (query, field) => {
    await expect(openWebSocket(app.current.url, path + query).opened).rejects.toMatchObject({
      status: 400,
      json: { error: 'invalid_request', details: { field } },
    });
  });

  test('what the message is for is not forgotten for a ticket', async () => {
    const { json } = await rest(app.current.url, 'POST', '/api/tickets', {});
    const { ticket } = json as { ticket: string };
    await expect(openWebSocket(app.current.url, `${path}?ticket=${ticket}&after=0`).opened).rejects.toMatchObject({
      status: 400,
      json: { message: 'after: no such query parameter; what is wanted is told by the message' },
    });
  });

  test('pages of this host and programs without Origin may', async () => {
    await open(app.current.url, undefined, { origin: app.current.url });
    await open(app.current.url);
  });

  test('a request that does not ask for one', async () => {
    const answer = await rest(app.current.url, 'GET', path);
    expect([answer.status, answer.json, answer.headers.get('upgrade')]).toMatchObject([
      400,
      { error: 'invalid_request', details: { field: 'Upgrade' } },
      'websocket',
    ]);
  });

  test.each(['h2c', 'TLS/1.0', 'foo/2'])('one that asks for %s is answered as if it had not', async (protocol) => {
    const connection = await connectRaw(app.current.url);
    const more = `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n`;
    const body = '{"kind":"a"}';
    connection.write(`GET /healthz HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`);
    expect(await connection.answer()).toMatchObject({ status: 200, body: '{"status":"ok"}' });
    connection.write(
      `POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n${more}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(await connection.answer()).toMatchObject({ status: 201 });
  });
});

test('a reader that takes nothing is cut off, and costs the others nothing', async () => {
  const app = await startTestApp({ logLevel: 'info', flags: { 'stream-stall': '3s' } });
  const good = await open(app.url, { type: 'subscribe', after: 0 });
  const stuck = await open(app.url, { type: 'subscribe', after: 0 });
  await stuck.until('it is welcomed', (heard) => heard.length > 0);
  stuck.socket.pause();
  const big = JSON.stringify({ text: 'x'.repeat(100_000) });
  for (let n = 0; n < 12; n++) await append(app, 20, big);
  await until('it was cut off', () => app.logged.some(({ event }) => event === 'reader_cut_off'));
  await good.until('all have come', () => seqsOf(good).length === 240);
  expect(seqsOf(good)).toEqual(upTo(1, 240));
  expect(app.logged.filter(({ event }) => event === 'reader_cut_off')).toHaveLength(1);
});

test('a stopping server says so and ends them, also those that have not asked for anything', async () => {
  const app = await startTestApp();
  const idle = await open(app.url);
  const following = await open(app.url, { type: 'subscribe' });
  await following.until('it is welcomed', (heard) => heard.length > 0);
  await soon('the server to stop', app.app.stop());
  expect(following.messages.at(-1)).toMatchObject({ type: 'error', error: 'unavailable' });
  expect(await soon('the end', following.closed)).toBe(1013);
  expect(await soon('the end', idle.closed)).toBe(1001);
});

test('a reader that leaves is forgotten', async () => {
  const app = await startTestApp({ logLevel: 'info' });
  const socket = await open(app.url, { type: 'subscribe' });
  await socket.until('it is welcomed', (heard) => heard.length > 0);
  socket.socket.terminate();
  await until('its request has ended', () =>
    app.logged.some(({ event, path: at }) => event === 'request_end' && at === path),
  );
});
