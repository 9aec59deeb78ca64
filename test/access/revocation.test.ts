import { describe, expect, onTestFinished, test } from 'vitest';
import { createMusterClient } from '../../src/client/index.js';
import { startTestApp } from '../support/app.js';
import { connectRaw } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { openEventStream } from '../support/sse.js';
import { startTestApps } from '../support/two-apps.js';
import { soon, until } from '../support/until.js';
import { openWebSocket } from '../support/websocket.js';
import { bearer, makeToken, type TestToken } from './support/tokens.js';

/** Opens every kind of stream as somebody. Each promise settles when its stream has ended, with what was said. */
async function openAll(url: string, token: TestToken, job: string): Promise<Record<string, Promise<unknown>>> {
  const stream = await openEventStream(`${url}/api/events/subscribe`, bearer(token));
  const socket = openWebSocket(url, '/api/events/stream', { headers: bearer(token) });
  const idle = openWebSocket(url, '/api/events/stream', { headers: bearer(token) });
  await Promise.all([socket.opened, idle.opened]);
  socket.send({ type: 'subscribe' });
  await socket.until('it has begun', (messages) => messages.length > 0);
  const rpc = await Promise.all(
    (['connect', 'grpc'] as const).map(async (protocol) => {
      const client = createMusterClient({ url, token: token.secret, protocol });
      onTestFinished(() => client.close());
      const events = client.events.subscribeEvents({})[Symbol.asyncIterator]();
      const watched = client.jobs.watchJob({ id: job })[Symbol.asyncIterator]();
      const work = client.jobs.work(saying({ workerId: 'w', kinds: ['none'], capacity: 1 }))[Symbol.asyncIterator]();
      for (const each of [events, watched, work]) expect((await each.next()).done).toBe(false);
      return [
        [`${protocol} events`, ended(events)],
        [`${protocol} watch`, ended(watched)],
        [`${protocol} work`, ended(work)],
      ] as const;
    }),
  );
  return {
    sse: stream.over.then(() => (JSON.parse(stream.events.at(-1)?.data ?? '{}') as { error: string }).error),
    socket: socket.closed.then(() => socket.messages.at(-1)?.['error']),
    'idle socket': idle.closed.then(() => idle.messages.at(-1)?.['error']),
    ...Object.fromEntries(rpc.flat()),
  };
}

/** A worker that says what it can do, and then nothing. */
async function* saying(start: { workerId: string; kinds: string[]; capacity: number }) {
  yield { message: { case: 'start' as const, value: start } };
  await new Promise(() => undefined);
}

async function ended(iterator: AsyncIterator<unknown>): Promise<unknown> {
  try {
    while ((await iterator.next()).done !== true);
    return 'ended well';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('what is open under a revoked token ends', () => {
  test.each([
    ['on servers that hear of it', 'on'],
    ['on servers that only look for themselves', 'off'],
  ])('%s', async (_name, listen) => {
    const { apps } = await startTestApps({}, { flags: { 'db-listen': listen } });
    const [here, there] = apps;
    const human = await makeToken(here, { role: 'human' });
    const agent = { role: 'agent', capabilities: ['jobs.work'] };
    const [gone, stays] = [await makeToken(here, agent, human), await makeToken(here, agent, human)];
    const job = await rest(here.url, 'POST', '/v1/jobs', { kind: 'never' }, bearer(human));
    const { id } = job.json as { id: string };
    const streams = await Promise.all(apps.map(({ url }) => openAll(url, gone, id)));
    const others = await Promise.all(apps.map(({ url }) => openAll(url, stays, id)));
    const still = new Set(others.flatMap((each, index) => Object.keys(each).map((name) => `${index} ${name}`)));
    others.forEach((each, index) => {
      for (const [name, over] of Object.entries(each)) void over.then(() => still.delete(`${index} ${name}`));
    });

    const revoked = await rest(there.url, 'DELETE', `/api/tokens/${gone.id}`, undefined, bearer(human));
    expect(revoked.status).toBe(200);
    const all = streams.flatMap((each) => Object.entries(each));
    const open = new Set(all.map(([name]) => name));
    const over = Promise.all(all.map(async ([name, end]) => [name, await end.finally(() => open.delete(name))]));
    const outcomes = await soon('all streams to end', over).catch(() => [...open].map((name) => [name, 'is open']));
    for (const [name, outcome] of outcomes) {
      expect([name, outcome]).toEqual([name, expect.stringMatching(/^unauthorized$|The token has been revoked/)]);
    }
    expect(still.size).toBe(2 * Object.keys(others[0] ?? {}).length);
    // The server that heard last knows it as well.
    for (const { url } of apps) expect((await rest(url, 'GET', '/v1/jobs', undefined, bearer(gone))).status).toBe(401);
  });
});

/** Begins to follow the ledger and then reads nothing more. */
const stalled: Readonly<Record<string, (url: string, token: TestToken) => Promise<void>>> = {
  '/api/events/subscribe': async (url, token) => {
    const connection = await connectRaw(url);
    const { host } = new URL(url);
    connection.write(
      `GET /api/events/subscribe HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token.secret}\r\n\r\n`,
    );
    await new Promise<void>((resolve) => connection.socket.once('data', () => resolve()));
    connection.socket.pause();
  },
  '/api/events/stream': async (url, token) => {
    const socket = openWebSocket(url, '/api/events/stream', { headers: bearer(token) });
    await socket.opened;
    socket.send({ type: 'subscribe' });
    await socket.until('it has begun', (messages) => messages.length > 0);
    socket.socket.pause();
  },
};

test.each(Object.entries(stalled))(
  'a reader of %s that reads nothing does not hold up its end',
  async (path, begin) => {
    const app = await startTestApp({ logLevel: 'info', flags: { 'stream-stall': '10m' } });
    const human = await makeToken(app, { role: 'human' });
    const viewer = await makeToken(app, { role: 'viewer' }, human);
    const reader = await openEventStream(`${app.url}/api/events/subscribe`, bearer(human));
    await begin(app.url, viewer);
    // More than the sockets between the two hold.
    const count = 200;
    await app.database.query(
      `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, payload)
     SELECT 1, now(), 'JobQueued', 'System', 'system', 'x', json_build_object('x', repeat('x', 100000))
     FROM generate_series(1, ${count})`,
    );
    await reader.until('it has been told of them', (events) => events.length >= count);
    const ended = () => app.logged.some((line) => line.event === 'request_end' && line['path'] === path);
    expect(ended()).toBe(false);
    await rest(app.url, 'DELETE', `/api/tokens/${viewer.id}`, undefined, bearer(human));
    await until('the server has cut it off', ended);
  },
);
