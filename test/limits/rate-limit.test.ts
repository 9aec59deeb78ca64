import { describe, expect, onTestFinished, test } from 'vitest';
import { routesOf } from '../../src/platform/http/gateway/routes.js';
import { createManualClock, type ManualClock } from '../../src/platform/clock.js';
import { createDatabase } from '../../src/platform/db/db.js';
import { addressSubject, createRateLimiter } from '../../src/platform/limits/rate-limit.js';
import { createLog } from '../../src/platform/log.js';
import { bearer, makeToken, type TestToken } from '../access/support/tokens.js';
import { ways } from '../access/support/ways.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { declaredServices, declaredStubs } from '../support/declared-services.js';
import { startRecording } from '../support/golden.js';
import { rest, type RestAnswer } from '../support/rest.js';
import { startTestApps } from '../support/two-apps.js';
import { until } from '../support/until.js';
import { openWebSocket } from '../support/websocket.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';

/** 20 s into a window of a minute. */
const start = new Date('2026-06-01T12:00:20Z');

function get({ url }: TestApp, token?: TestToken): Promise<RestAnswer> {
  return rest(url, 'GET', '/v1/jobs', undefined, token && bearer(token));
}

function submit({ url }: TestApp, token?: TestToken): Promise<RestAnswer> {
  return rest(url, 'POST', '/v1/jobs', { kind: 'k' }, token && bearer(token));
}

function statuses(answers: readonly RestAnswer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

async function start1(flags: Record<string, string>): Promise<{ app: TestApp; clock: ManualClock }> {
  const clock = createManualClock(start);
  return { app: await startTestApp({ clock, flags }), clock };
}

describe('two servers', () => {
  test('let exactly as many calls pass in a window as are allowed, for each principal by itself', async () => {
    const clock = createManualClock(start);
    const options = { clock, flags: { 'rate-limit': '40/60s' } };
    const { apps } = await startTestApps(options, options);
    const human = await makeToken(apps[0], { role: 'human' });
    const tokens: TestToken[] = [];
    for (const name of ['a', 'b', 'c']) tokens.push(await makeToken(apps[0], { role: 'viewer', name }, human));

    for (let window = 0; window < 2; window++) {
      const answers = await Promise.all(
        tokens.map((token) =>
          Promise.all(Array.from({ length: 100 }, (_, index) => get(apps[index % 2] ?? apps[0], token))),
        ),
      );
      for (const each of answers) {
        expect(statuses(each)).toEqual({ 200: 40, 429: 60 });
        // Each has its own place in the window, whichever server it came to.
        const left = each
          .filter(({ status }) => status === 200)
          .map(({ headers }) => headers.get('ratelimit-remaining'));
        expect(left.map(Number).sort((one, other) => one - other)).toEqual(Array.from({ length: 40 }, (_, n) => n));
        const resets = new Set(each.map(({ headers }) => headers.get('ratelimit-reset')));
        expect([...resets]).toEqual([window === 0 ? '40' : '60']);
      }
      clock.advance(window === 0 ? 40_000 : 0);
    }
  });

  test('agree on who has nothing left', async () => {
    const clock = createManualClock(start);
    const options = { clock, flags: { 'rate-limit': '3/60s' } };
    const { apps } = await startTestApps(options, options);
    expect(statuses([await get(apps[0]), await get(apps[0]), await get(apps[0])])).toEqual({ 200: 3 });
    const refused = await get(apps[1]);
    expect(refused).toMatchObject({ status: 429, json: { limit: 3, remaining: 0, reset_sec: 40, scope: 'address' } });
  });
});

describe('what is counted', () => {
  test('calls that change something, apart where they have a limit of their own', async () => {
    const { app } = await start1({ 'rate-limit': '4/60s', 'rate-limit-writes': '2/1h' });
    expect(statuses([await submit(app), await submit(app)])).toEqual({ 201: 2 });
    expect((await submit(app)).json).toMatchObject({ scope: 'address.writes', limit: 2, reset_sec: 3580 });
    expect(statuses(await Promise.all(Array.from({ length: 5 }, () => get(app))))).toEqual({ 200: 4, 429: 1 });
    const { json } = await get(app);
    expect(json).toMatchObject({ scope: 'address', limit: 4 });
  });

  test('all together where they have none', async () => {
    const { app } = await start1({ 'rate-limit': '2/60s' });
    expect(statuses([await submit(app), await get(app), await submit(app), await get(app)])).toEqual({
      200: 1,
      201: 1,
      429: 2,
    });
  });

  test('only those that change something, where only they are limited', async () => {
    const { app } = await start1({ 'rate-limit-writes': '1/60s' });
    expect(statuses([await submit(app), await submit(app)])).toEqual({ 201: 1, 429: 1 });
    const reads = await Promise.all(Array.from({ length: 5 }, () => get(app)));
    expect(statuses(reads)).toEqual({ 200: 5 });
    expect(reads[0]?.headers.get('ratelimit-limit')).toBe(null);
  });

  test('what is refused for lack of a scope, too, but no health check', async () => {
    const { app } = await start1({ 'rate-limit': '3/60s' });
    const human = await makeToken(app, { role: 'human' });
    const viewer = await makeToken(app, { role: 'viewer' }, human);
    const answers = [
      await submit(app, viewer),
      await submit(app, viewer),
      await get(app, viewer),
      await get(app, viewer),
    ];
    expect(statuses(answers)).toEqual({ 200: 1, 403: 2, 429: 1 });
    for (let time = 0; time < 10; time++) expect((await rest(app.url, 'GET', '/readyz')).status).toBe(200);
  });

  test('nothing at all where nothing is limited', async () => {
    const { app } = await start1({});
    const answer = await get(app);
    expect([...answer.headers.keys()].filter((name) => name.startsWith('ratelimit'))).toEqual([]);
    expect(await app.database.query('SELECT 1 FROM rate_counts')).toEqual([]);
  });
});

describe('a stranger', () => {
  test('may guess as often as others write, where only writes are limited', async () => {
    const { app } = await start1({ 'rate-limit-writes': '3/60s' });
    const human = await makeToken(app, { role: 'human' });
    expect((await get(app, human)).status).toBe(200);
    const guesses = [];
    for (let n = 0; n < 5; n++) guesses.push(await get(app, { id: '', secret: `mst_${String(n).padStart(43, 'x')}` }));
    expect(statuses(guesses)).toEqual({ 401: 3, 429: 2 });
    expect((await get(app, human)).status).toBe(200);
  });

  test('is counted by address, is told so in the end, and is then not even looked up', async () => {
    const { app, clock } = await start1({ 'rate-limit': '5/60s' });
    const human = await makeToken(app, { role: 'human' });
    expect((await get(app, human)).status).toBe(200);
    const guess = (n: number) => get(app, { id: '', secret: `mst_${String(n).padStart(43, 'x')}` });
    // The first call was that of the local human, who came from here, too.
    const guesses = [];
    for (let n = 0; n < 10; n++) guesses.push(await guess(n));
    expect(statuses(guesses)).toEqual({ 401: 4, 429: 6 });
    expect(guesses.at(-1)?.json).toMatchObject({ scope: 'address' });

    // A query would see that the table has gone.
    await app.database.query('ALTER TABLE tokens RENAME TO tokens_away');
    expect((await guess(11)).status).toBe(429);
    expect((await get(app)).status).toBe(429);
    await app.database.query('ALTER TABLE tokens_away RENAME TO tokens');
    // Who is known already is somebody else, whatever comes from the same address.
    expect((await get(app, human)).status).toBe(200);
    clock.advance(40_000);
    expect((await guess(12)).status).toBe(401);
  });

  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1::9', '2001:db8:1:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ])('of %s is one of %s', (address, id) => {
    expect(addressSubject(address)).toEqual({ scope: 'address', id });
  });
});

test('nobody passes while the counts cannot be reached', async () => {
  const log = createLog('silent');
  // A port that nobody listens on.
  const db = createDatabase(
    { connectionString: 'postgres://x@127.0.0.1:9/x' },
    { poolSize: 2, log, ownSessions: true },
  );
  onTestFinished(() => db.close());
  const options = { all: { limit: 5, windowMs: 60_000 }, writes: undefined };
  const limiter = createRateLimiter(options, { db, clock: createManualClock(start), log });
  const subject = addressSubject('192.0.2.7');
  for (let time = 0; time < 10; time++) {
    await expect(limiter.count(subject, false)).rejects.toMatchObject({ kind: 'unavailable' });
  }
  // Nor is anybody taken for one who has used all up.
  expect(limiter.isExhausted(subject)).toBe(false);
});

test('windows that have ended are forgotten', async () => {
  const clock = createManualClock(new Date('2020-01-01T00:00:00Z'));
  const { apps, database } = await startTestApps({ clock, flags: { 'rate-limit': '9/1s' } });
  await get(apps[0]);
  expect(await database.query('SELECT count FROM rate_counts')).toEqual([{ count: '1' }]);
  // Every server sweeps when it starts.
  await startTestApp({ database, flags: { 'rate-limit': '9/1s' } });
  await until('it is gone', async () => (await database.query('SELECT 1 FROM rate_counts')).length === 0);
});

describe('429', () => {
  test('is documented', async () => {
    const { app } = await start1({ 'rate-limit': '1/60s' });
    const golden = startRecording(app.url);
    await golden.call('the only call of the window', 'GET', '/v1/jobs');
    await golden.call('one more', 'POST', '/v1/jobs', { kind: 'k' });
    await golden.matches('../../gateway/golden/rate-limited');
  });

  test('is the same in every way', async () => {
    const { app } = await start1({ 'rate-limit': '1/60s' });
    await get(app);
    const routes = routesOf(await declaredStubs());
    const inputs: Readonly<Record<string, object>> = { SubscribeEvents: { after: 999_999_999 } };
    for (const method of (await declaredServices()).flatMap((service) => service.methods)) {
      const mine = routes.filter(({ rpc }) => rpc.path === `/${method.parent.typeName}/${method.name}`);
      for (const [way, call] of Object.entries(ways)) {
        const input = (inputs[method.name] ?? { id: 'x' }) as Record<string, unknown>;
        const outcome = await call({ url: app.url, method, routes: mine, input, headers: {} });
        if (outcome !== undefined) expect([method.name, way, outcome]).toEqual([method.name, way, 'rate_limited']);
      }
    }
  });

  test.each([
    ['REST', '/v1/jobs', undefined],
    ['server-sent events', '/api/events/subscribe?after=0', undefined],
    ['Connect, fast', '/muster.v1.JobService/ListJobs', { type: 'application/json', body: '{}' }],
    ['Connect, general', '/muster.v1.JobService/ListJobs', { type: 'application/json; charset=utf8', body: '{}' }],
    [
      'gRPC-Web',
      '/muster.v1.JobService/ListJobs',
      { type: 'application/grpc-web+proto', body: framed(Buffer.alloc(0)) },
    ],
  ])('has its figures in headers over %s, and so has what passes', async (_name, path, sent) => {
    const { app } = await start1({ 'rate-limit': '1/60s' });
    const post = sent && { method: 'POST', headers: { 'content-type': sent.type }, body: sent.body };
    const told: (string | null)[][] = [];
    for (let time = 0; time < 2; time++) {
      const answer = await fetch(app.url + path, post);
      await answer.body?.cancel();
      const names = ['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset', 'retry-after'];
      told.push(names.map((name) => answer.headers.get(name)));
    }
    expect(told).toEqual([
      ['1', '0', '40', null],
      ['1', '0', '40', '40'],
    ]);
  });

  test('has its figures in headers over gRPC and at the upgrade, too, and so has what passes', async () => {
    const { app } = await start1({ 'rate-limit': '2/60s' });
    const head = { ':path': '/muster.v1.JobService/ListJobs', 'content-type': 'application/grpc', te: 'trailers' };
    const session = openSession(app.url);
    const general = { ...head, 'grpc-encoding': 'gzip' };
    expect((await exchange(session, head, [framed(Buffer.alloc(0))])).headers).toMatchObject({
      'ratelimit-limit': '2',
      'ratelimit-remaining': '1',
      'ratelimit-reset': '40',
    });
    expect((await exchange(session, general, [framed(Buffer.alloc(0))])).headers).toMatchObject({
      'ratelimit-remaining': '0',
    });
    const figures = {
      'retry-after': '40',
      'ratelimit-limit': '2',
      'ratelimit-remaining': '0',
      'ratelimit-reset': '40',
    };
    for (const each of [head, general]) {
      const { headers } = await exchange(session, each, [framed(Buffer.alloc(0))]);
      expect(headers).toMatchObject({ 'grpc-status': '8', ...figures });
    }
    const { socket } = openWebSocket(app.url, '/api/events/stream');
    const headers = await new Promise((resolve) =>
      socket.once('unexpected-response', (_request, response) => resolve(response.headers)),
    );
    expect(headers).toMatchObject(figures);
  });
});
