import { createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { EventService } from '../../../gen/muster/v1/events_pb.js';
import { startTestApp, type TestApp } from '../../support/app.js';
import { replayEvents } from '../../support/events-client.js';
import { createJobsClient } from '../../support/jobs-client.js';
import { connectRaw } from '../../support/raw-http.js';
import { rest } from '../../support/rest.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { type EventStream, openEventStream } from '../../support/sse.js';
import { startTestApps } from '../../support/two-apps.js';
import { soon, until } from '../../support/until.js';

const follow = (url: string, query = '', headers?: Record<string, string>): Promise<EventStream> =>
  openEventStream(`${url}/api/events/subscribe${query}`, headers);

const seqsOf = (stream: EventStream): number[] => stream.events.map(({ id }) => Number(id));
const upTo = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, n) => first + n);

/** Commits as many events as one transaction of somebody's. */
async function append(app: Pick<TestApp, 'database'>, count: number, payload = '{}'): Promise<void> {
  await app.database.query(
    `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, job_ids, payload)
     SELECT 1, now(), 'JobQueued', 'Rest', 'human', 'local', ARRAY['job_' || n], $2::json FROM generate_series(1, $1::int) n`,
    [count, payload],
  );
}

/** All events of a gRPC subscription as they come. */
function subscribe(url: string, after: bigint) {
  const sessions = new Http2SessionManager(url);
  const client = createClient(EventService, createGrpcTransport({ baseUrl: url, sessionManager: sessions }));
  const given = new AbortController();
  onTestFinished(() => {
    given.abort();
    sessions.abort();
  });
  const seqs: number[] = [];
  const over = (async () => {
    try {
      for await (const { events } of client.subscribeEvents({ after }, { signal: given.signal })) {
        seqs.push(...events.map(({ seq }) => Number(seq)));
      }
      return undefined;
    } catch (error) {
      return error;
    }
  })();
  return { seqs, over };
}

describe('server-sent events', () => {
  test('from now on, from a seq, and from where a reader left off', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const { id } = await jobs.submit({ kind: 'build' });
    const live = await follow(url);
    const all = await follow(url, '?after=0');
    const resumed = await follow(url, '?after=0', { 'last-event-id': '1' });
    await jobs.cancel(id);
    await live.until('the cancel has come', (events) => events.length === 1);
    await all.until('both have come', (events) => events.length === 2);
    await resumed.until('the cancel has come', (events) => events.length === 1);
    expect([live, all, resumed].map(seqsOf)).toEqual([[2], [1, 2], [2]]);
    const replayed = await replayEvents(url);
    expect(all.events.map(({ data }) => JSON.parse(data) as unknown)).toEqual(replayed);
    expect(all.events.every(({ event }) => event === 'message')).toBe(true);
    expect(all.text()).toMatch(/^retry: 1000\n\n/);
    expect(all.headers.get('cache-control')).toBe('no-cache, no-transform');
  });

  test('filters', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const { id } = await jobs.submit({ kind: 'build' });
    const canceled = await follow(url, '?after=0&type=JobCanceled');
    const ofJob = await follow(url, `?after=0&job_id=${id}`);
    await jobs.submit({ kind: 'build' });
    await jobs.cancel(id);
    await canceled.until('the cancel has come', (events) => events.length === 1);
    await ofJob.until('both have come', (events) => events.length === 2);
    expect([canceled, ofJob].map(seqsOf)).toEqual([[3], [1, 3]]);
  });

  test('every reader gets everything once and in order, whenever it comes, while others write', async () => {
    const app = await startTestApp();
    const { url } = app;
    const jobs = createJobsClient(url);
    const total = 600;
    let made = 0;
    const writers = Array.from({ length: 6 }, async () => {
      while (made < total) {
        made += 1;
        await jobs.submit({ kind: 'build' });
      }
    });
    const readers: { readonly after: number; readonly stream: EventStream }[] = [];
    for (let n = 0; n < 25; n++) {
      const seen = readers.length === 0 ? 0 : Number(readers.at(-1)?.stream.events.at(-1)?.id ?? 0);
      const after = n % 2 === 0 ? 0 : seen;
      readers.push({ after, stream: await follow(url, `?after=${after}`) });
    }
    const rpc = subscribe(url, 0n);
    await Promise.all(writers);
    const { length: last } = await app.database.query(`SELECT id FROM jobs`);
    for (const { after, stream } of readers) {
      await stream.until('all have come', (events) => Number(events.at(-1)?.id) === last);
      expect(seqsOf(stream)).toEqual(upTo(after + 1, last));
    }
    await until('all have come over gRPC', () => rpc.seqs.at(-1) === last);
    expect(rpc.seqs).toEqual(upTo(1, last));
  });

  test('a long replay joins what comes live', async () => {
    const app = await startTestApp();
    await append(app, 12_000);
    const stream = await follow(app.url, '?after=0');
    const filtered = await follow(app.url, '?after=0&job_id=job_7');
    for (let n = 0; n < 5; n++) await append(app, 700);
    await stream.until('all have come', (events) => events.length >= 15_500);
    expect(seqsOf(stream)).toEqual(upTo(1, 15_500));
    await filtered.until('all of the job have come', (events) => events.length === 6);
    expect(seqsOf(filtered)).toEqual([7, 12_007, 12_707, 13_407, 14_107, 14_807]);
  });

  const app = sharedTestApp();
  test.each([
    ['?after=-1', {}, 'after'],
    ['?after=5', {}, 'after'],
    ['?type=Nothing', {}, 'type[0]'],
    ['?limit=5', {}, 'limit'],
    ['', { 'last-event-id': 'yesterday' }, 'Last-Event-ID'],
  ])('%s %j is refused before the stream begins', async (query, headers, field) => {
    const { status, json } = await rest(app.current.url, 'GET', `/api/events/subscribe${query}`, undefined, headers);
    expect([status, json]).toMatchObject([400, { error: 'invalid_request', details: { field } }]);
  });

  test('HEAD answers and ends', async () => {
    const answer = await rest(app.current.url, 'HEAD', '/api/events/subscribe');
    expect([answer.status, answer.headers.get('content-type'), answer.text]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
      '',
    ]);
  });

  test('a reader that leaves is forgotten', async () => {
    const own = await startTestApp({ logLevel: 'info' });
    const stream = await follow(own.url);
    stream.close();
    await stream.over;
    await until('the request has ended', () =>
      own.logged.some(({ event, path }) => event === 'request_end' && path === '/api/events/subscribe'),
    );
  });
});

describe('a reader that takes nothing', () => {
  test('is cut off, and costs the others nothing', async () => {
    const own = await startTestApp({ logLevel: 'info', flags: { 'stream-stall': '3s' } });
    const good = await follow(own.url, '?after=0');
    const stuck = await connectRaw(own.url);
    stuck.socket.pause();
    stuck.write('GET /api/events/subscribe?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('both follow', () => own.logged.filter(({ event }) => event === 'request_start').length === 2);
    // More than all buffers between the two hold.
    const big = JSON.stringify({ text: 'x'.repeat(100_000) });
    for (let n = 0; n < 12; n++) await append(own, 20, big);
    await until('it was cut off', () => own.logged.some(({ event }) => event === 'reader_cut_off'));
    await good.until('all have come', (events) => events.length === 240);
    expect(seqsOf(good)).toEqual(upTo(1, 240));
    expect(own.logged.filter(({ event }) => event === 'reader_cut_off')).toHaveLength(1);
  });
});

describe('several servers', () => {
  test('each tells its readers what all of them do, in the same order', async () => {
    const { apps } = await startTestApps({}, {}, {});
    const streams = await Promise.all(apps.map(({ url }) => follow(url, '?after=0')));
    await Promise.all(
      apps.map(async ({ url }) => {
        for (let n = 0; n < 40; n++) await createJobsClient(url).submit({ kind: 'build' });
      }),
    );
    for (const stream of streams) {
      await stream.until('all have come', (events) => events.length === 120);
      expect(seqsOf(stream)).toEqual(upTo(1, 120));
      expect(stream.events).toEqual(streams[0]?.events);
    }
  });

  test('without LISTEN and NOTIFY, by polling alone', async () => {
    const { apps } = await startTestApps({ flags: { 'db-listen': 'off' } }, { flags: { 'db-listen': 'off' } });
    const stream = await follow(apps[0].url, '?after=0');
    const jobs = createJobsClient(apps[1].url);
    for (let n = 0; n < 20; n++) await jobs.submit({ kind: 'build' });
    await stream.until('all have come', (events) => events.length === 20);
    expect(seqsOf(stream)).toEqual(upTo(1, 20));
  });

  test('what a server committed that died before it numbered it is numbered by another', async () => {
    const app = await startTestApp();
    const stream = await follow(app.url);
    await append(app, 3);
    await stream.until('they have come', (events) => events.length === 3);
    expect(seqsOf(stream)).toEqual([1, 2, 3]);
  });
});

test('a stopping server ends its streams, and a reader goes on with the next one', async () => {
  const { apps } = await startTestApps({}, {});
  const stream = await follow(apps[0].url, '?after=0');
  const rpc = subscribe(apps[0].url, 0n);
  await createJobsClient(apps[0].url).submit({ kind: 'build' });
  await stream.until('it has come', (events) => events.length === 1);
  await until('it has come over gRPC', () => rpc.seqs.length === 1);
  await soon('the server to stop', apps[0].app.stop());
  await soon('the end', stream.over);
  expect(stream.events.at(-1)).toMatchObject({ event: 'error' });
  expect(JSON.parse(stream.events.at(-1)?.data ?? '')).toMatchObject({ error: 'unavailable', code: 503 });
  expect(await soon('the end', rpc.over)).toMatchObject({ rawMessage: expect.stringContaining('stopping') as string });
  await createJobsClient(apps[1].url).submit({ kind: 'build' });
  const next = await follow(apps[1].url, '', { 'last-event-id': '1' });
  await next.until('it has come', (events) => events.length === 1);
  expect(seqsOf(next)).toEqual([2]);
});
