import { describe, expect, onTestFinished, test } from 'vitest';
import { noFilter } from '../../../src/modules/events/events.js';
import { type Batch, createFeed, type FeedDeps } from '../../../src/modules/events/feed.js';
import { createDatabase } from '../../../src/platform/db/db.js';
import { createWakeups } from '../../../src/platform/db/wakeups.js';
import { createLog } from '../../../src/platform/log.js';
import { startTestApp } from '../../support/app.js';
import { listEvents } from '../../support/events-client.js';

/** A feed of its own on the ledger of a server, by a clock that is set by hand. */
async function setUp(count: number, options: Partial<Pick<FeedDeps, 'placeMs'>> = {}) {
  const app = await startTestApp();
  const append = async (events: number, payload = '{}'): Promise<void> => {
    await app.database.query(
      `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, payload)
       SELECT 1, now(), 'TaskCreated', 'Rest', 'human', 'local', $2::json FROM generate_series(1, $1::int)`,
      [events, payload],
    );
    await listEvents(app.url);
  };
  const appendOf = async (jobId: string): Promise<void> => {
    await app.database.query(
      `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, job_ids, payload)
       SELECT 1, now(), 'JobQueued', 'Rest', 'human', 'local', ARRAY[$1::text], '{}'`,
      [jobId],
    );
    await listEvents(app.url);
  };
  await append(count);
  const log = createLog('silent');
  const connection = { connectionString: app.database.url };
  const db = createDatabase(connection, { poolSize: 2, log, ownSessions: true });
  onTestFinished(() => db.close());
  const wakeups = createWakeups({ connection, db, log, listen: false });
  let ms = 0;
  const feed = createFeed({ db, wakeups, log, pollMs: 50, stallMs: 1000, now: () => ms, ...options });
  feed.start();
  onTestFinished(() => feed.stop());
  const over = new AbortController();
  onTestFinished(() => over.abort());
  return { feed, append, appendOf, signal: over.signal, advance: (by: number) => void (ms += by) };
}

test('a reader that takes too long over what it is told is cut off with the seq to go on after', async () => {
  const { feed, signal, advance } = await setUp(2500);
  const reader = feed.follow(0, noFilter, signal)[Symbol.asyncIterator]();
  expect((await reader.next()).value).toMatchObject({ events: { length: 100 } });
  advance(1000);
  expect((await reader.next()).value).toMatchObject({ events: { length: 1000 } });
  advance(1001);
  await expect(reader.next()).rejects.toMatchObject({ kind: 'unavailable', details: { resume_after: 1100 } });
  expect(feed.followers).toBe(0);
});

test('a reader that waits for what comes is not slow', async () => {
  const { feed, signal, advance, append } = await setUp(1);
  const reader = feed.follow(0, noFilter, signal)[Symbol.asyncIterator]();
  await reader.next();
  const next = reader.next();
  advance(1_000_000);
  await append(1);
  expect((await next).value).toMatchObject({ events: [{ seq: 2 }] });
  await append(1);
  expect((await reader.next()).value).toMatchObject({ events: [{ seq: 3 }] });
});

describe('a reader whom little fits is told how far it has been read', () => {
  const ofJob = { ...noFilter, jobId: 'job_1' };

  test('when much has gone by, from the database and live, and never beyond what it has yet to be told', async () => {
    const { feed, signal, append, appendOf } = await setUp(1200);
    await appendOf('job_1');
    await append(1200);
    const reader = feed.follow(0, ofJob, signal)[Symbol.asyncIterator]();
    const heard: Batch[] = [];
    const hear = async (seq: number): Promise<void> => {
      for (;;) {
        const { value } = (await reader.next()) as { value: Batch };
        heard.push(value);
        if (value.events.some((event) => event.seq === seq)) return;
      }
    };
    await hear(1201);
    await append(1200);
    await append(600);
    await append(600);
    await appendOf('job_1');
    await hear(4802);
    let read = 0;
    for (const { events, readUpTo } of heard) {
      for (const { seq } of events) expect(seq).toBeGreaterThan(read);
      if (events.length === 0) expect(readUpTo).toBeGreaterThan(read);
      read = events.at(-1)?.seq ?? readUpTo ?? NaN;
    }
    expect(heard.flatMap(({ events }) => events.map(({ seq }) => seq))).toEqual([1201, 4802]);
    expect(heard.filter(({ events, readUpTo = 0 }) => events.length === 0 && readUpTo > 2000).length).toBeGreaterThan(
      1,
    );
  });

  test('when a while has gone by', async () => {
    const { feed, signal, advance, append } = await setUp(3, { placeMs: 1 });
    const reader = feed.follow(0, ofJob, signal)[Symbol.asyncIterator]();
    const first = reader.next();
    advance(1);
    expect((await first).value).toEqual({ events: [], readUpTo: 3 });
    const second = reader.next();
    await append(1);
    advance(1);
    expect((await second).value).toEqual({ events: [], readUpTo: 4 });
  });

  test('and not again while nothing comes', async () => {
    const { feed, signal, advance, append, appendOf } = await setUp(3, { placeMs: 0 });
    const reader = feed.follow(0, ofJob, signal)[Symbol.asyncIterator]();
    expect((await reader.next()).value).toEqual({ events: [], readUpTo: 3 });
    const next = reader.next();
    advance(60_000);
    await appendOf('job_1');
    expect((await next).value).toMatchObject({ events: [{ seq: 4 }] });
    const last = reader.next();
    await append(1);
    expect((await last).value).toEqual({ events: [], readUpTo: 5 });
  });
});

test('large events come few at a time, from the database and live', async () => {
  const { feed, signal, append } = await setUp(0);
  const large = JSON.stringify({ text: 'x'.repeat(50_000) });
  await append(200, large);
  const reader = feed.follow(0, noFilter, signal)[Symbol.asyncIterator]();
  const seqs: number[] = [];
  const read = async (upTo: number): Promise<void> => {
    while (seqs.length < upTo) {
      const { value } = (await reader.next()) as { value: { events: readonly { seq: number }[] } };
      expect(value.events.length).toBeLessThanOrEqual(5);
      seqs.push(...value.events.map(({ seq }) => seq));
    }
  };
  await read(200);
  await append(200, large);
  await read(400);
  expect(seqs).toEqual(Array.from({ length: 400 }, (_, n) => n + 1));
});
