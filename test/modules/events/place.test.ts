import { describe, expect, onTestFinished, test } from 'vitest';
import { createMusterClient, type Event, followEvents } from '../../../src/client/index.js';
import { startTestApp, type TestApp } from '../../support/app.js';
import { replayEvents } from '../../support/events-client.js';
import { openRelay } from '../../support/relay.js';
import { rest } from '../../support/rest.js';
import { openEventStream } from '../../support/sse.js';
import { soon, until } from '../../support/until.js';
import { openWebSocket } from '../../support/websocket.js';

/** Commits events of a job at once. */
async function append({ database }: Pick<TestApp, 'database'>, count: number, jobId: string): Promise<void> {
  await database.query(
    `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, job_ids, payload)
     SELECT 1, now(), 'JobQueued', 'Rest', 'human', 'local', ARRAY[$2::text], '{}' FROM generate_series(1, $1::int)`,
    [count, jobId],
  );
}

const own = 'job_own';

/** Follows the events of `own` from the beginning, and answers the seq after which to go on when it has been told one above 1000. */
type Reader = (app: TestApp) => Promise<{ readonly place: () => Promise<number> }>;

function clientOf(url: string) {
  const client = createMusterClient({ url });
  onTestFinished(() => client.close());
  return client;
}

const readers: Readonly<Record<string, Reader>> = {
  'server-sent events': async ({ url }) => {
    const stream = await openEventStream(`${url}/api/events/subscribe?after=0&job_id=${own}`);
    return {
      place: async () => {
        const id = await until('an id has come', () => /^id: (\d{4,})\n\n/m.exec(stream.text())?.[1]);
        // What has no data is no event.
        expect(stream.events).toEqual([]);
        return Number(id);
      },
    };
  },
  'a WebSocket': async ({ url }) => {
    const socket = openWebSocket(url, '/api/events/stream');
    await socket.opened;
    socket.send({ type: 'subscribe', after: 0, filter: { job_id: own } });
    return {
      place: () =>
        socket.until('a place has come', (messages) => {
          const after = messages.flatMap((message) => (message.type === 'place' ? Number(message['after']) : []));
          return after[0];
        }),
    };
  },
  'an RPC stream': async ({ url }) => {
    const given = new AbortController();
    onTestFinished(() => given.abort());
    const stream = clientOf(url).events.subscribeEvents({ after: 0n, jobId: own }, { signal: given.signal });
    const messages = stream[Symbol.asyncIterator]();
    expect((await messages.next()).value).toMatchObject({ events: [], readUpTo: 0n });
    return { place: async () => Number(((await messages.next()).value as { readUpTo: bigint }).readUpTo) };
  },
  followEvents: async ({ url }) => {
    const given = new AbortController();
    onTestFinished(() => given.abort());
    let onPlace: ((readUpTo: bigint) => void) | undefined;
    const told = new Promise<bigint>((resolve) => (onPlace = resolve));
    const events = followEvents(clientOf(url), 0n, { jobId: own }, { signal: given.signal, onPlace });
    events[Symbol.asyncIterator]()
      .next()
      .catch(() => undefined);
    return { place: async () => Number(await told) };
  },
};

/** Starts a server that keeps the newest 1000 events, and waits until the others have expired. */
async function expire({ database }: TestApp): Promise<void> {
  const { url } = await startTestApp({ database, flags: { 'event-limit': '1000' } });
  await until('the old ones are gone', async () => ((await replayEvents(url, '?limit=1'))[0]?.seq ?? 0) > 1);
}

describe.each(Object.entries(readers))('%s', (_name, open) => {
  test('a reader whom nothing has fitted goes on when all of it has expired', async () => {
    const app = await startTestApp();
    const reader = await open(app);
    await append(app, 1900, 'job_other');
    const place = await soon('its place to be told', reader.place());
    expect(place).toBeGreaterThanOrEqual(1000);
    expect(place).toBeLessThanOrEqual(1900);
    await expire(app);
    await append(app, 1, own);
    const query = `job_id=${own}&after=`;
    expect((await rest(app.url, 'GET', `/api/events/subscribe?${query}0`)).status).toBe(400);
    const stream = await openEventStream(`${app.url}/api/events/subscribe?${query}${place}`);
    const [event] = await stream.until('the event has come', (events) => events.length > 0 && events);
    expect(event?.id).toBe('1901');
  });
});

test('followEvents goes on by itself over a lost connection', async () => {
  const app = await startTestApp();
  const relay = await openRelay(app.url);
  const given = new AbortController();
  onTestFinished(() => given.abort());
  const places: bigint[] = [];
  const backs: bigint[] = [];
  const heard: Event[] = [];
  const over = (async () => {
    for await (const event of followEvents(
      clientOf(relay.url),
      0n,
      { jobId: own },
      {
        signal: given.signal,
        onPlace: (place) => places.push(place),
        onBack: (after) => backs.push(after),
      },
    )) {
      heard.push(event);
      return;
    }
  })();
  await append(app, 1900, 'job_other');
  await until('its place is told', () => places.length > 0);
  await expire(app);
  relay.cut();
  await until('it is back', () => backs.length > 0);
  await append(app, 1, own);
  await soon('the event to come', over);
  expect(backs).toEqual([places[0]]);
  expect(heard.map(({ seq }) => seq)).toEqual([1901n]);
});

test('a reader that asks for what comes is told where that begins', async () => {
  const app = await startTestApp();
  await append(app, 3, 'job_other');
  const stream = await openEventStream(`${app.url}/api/events/subscribe?job_id=${own}`);
  await until('it has begun', () => stream.text().endsWith('\n\nid: 3\n\n'));
  // As EventSource does when the connection is lost before any event has come.
  await append(app, 1, own);
  const resumed = await openEventStream(`${app.url}/api/events/subscribe?job_id=${own}`, { 'last-event-id': '3' });
  const [event] = await resumed.until('the event has come', (events) => events.length > 0 && events);
  expect(event?.id).toBe('4');
});
