import { describe, expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp, type TestApp } from '../../support/app.js';
import { listEvents, replayEvents } from '../../support/events-client.js';
import { createJobsClient } from '../../support/jobs-client.js';
import { rest } from '../../support/rest.js';
import { openEventStream } from '../../support/sse.js';
import { until } from '../../support/until.js';

/** Events that were committed at a time, by one transaction. */
async function append(app: TestApp, count: number, at: string): Promise<void> {
  await app.database.query(
    `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, payload)
     SELECT 1, $2::timestamptz, 'TaskCreated', 'Rest', 'human', 'local', '{}' FROM generate_series(1, $1::int)`,
    [count, at],
  );
  await listEvents(app.url);
}

const oldestOf = async (app: TestApp): Promise<number | undefined> => (await replayEvents(app.url, '?limit=1'))[0]?.seq;

test('nothing expires unless it is asked for', async () => {
  const clock = createManualClock(new Date('2026-03-01T12:00:00Z'));
  const app = await startTestApp({ clock });
  await append(app, 10, '1999-01-01T00:00:00Z');
  expect(await oldestOf(app)).toBe(1);
});

describe('what has expired', () => {
  test('by age goes from the oldest on, and asking for it is a clear error with the oldest that is kept', async () => {
    const clock = createManualClock(new Date('2026-03-01T12:00:00Z'));
    const seed = await startTestApp({ clock });
    await append(seed, 1500, '2026-03-01T10:00:00Z');
    await append(seed, 1, '2026-03-01T11:30:00Z');
    // Older than its neighbours, as events of servers with other clocks may be: it goes when they do.
    await append(seed, 5, '2026-03-01T10:00:00Z');
    const app = await startTestApp({ clock, database: seed.database, flags: { 'event-retention': '1h' } });
    await until('the old ones are gone', async () => (await oldestOf(app)) === 1501);
    expect((await listEvents(app.url, '?limit=1000')).map(({ seq }) => seq)).toEqual([
      1506, 1505, 1504, 1503, 1502, 1501,
    ]);
    const refused = {
      error: 'invalid_request',
      message: 'after: events up to 1500 have expired; the oldest that is kept is 1501',
      details: { field: 'after', after: 1499, oldest_seq: 1501 },
    };
    for (const path of [
      '/api/events?after=1499',
      '/api/events/replay?after=1499',
      '/api/events/subscribe?after=1499',
    ]) {
      const { status, json } = await rest(app.url, 'GET', path);
      expect([status, json]).toMatchObject([400, refused]);
    }
    for (const path of ['/api/events?before=1500', '/api/events/replay?before=1500']) {
      const { status, json } = await rest(app.url, 'GET', path);
      expect([status, json]).toMatchObject([
        400,
        {
          ...refused,
          message: refused.message.replace('after', 'before'),
          details: { field: 'before', before: 1500, oldest_seq: 1501 },
        },
      ]);
    }
    // Whoever goes on after the last page of what is kept.
    expect(await listEvents(app.url, '?before=1501')).toEqual([]);
    expect(await replayEvents(app.url, '?after=1500')).toHaveLength(6);
    const stream = await openEventStream(`${app.url}/api/events/subscribe?after=1500`);
    await stream.until('all that is kept has come', (events) => events.length === 6);
  });

  test('by count leaves the newest', async () => {
    const seed = await startTestApp();
    await append(seed, 3500, '2026-03-01T10:00:00Z');
    const app = await startTestApp({ database: seed.database, flags: { 'event-limit': '1000' } });
    await until('the old ones are gone', async () => (await oldestOf(app)) === 2501);
    // Numbers go on, whatever is gone.
    await createJobsClient(app.url).submit({ kind: 'build' });
    expect((await listEvents(app.url, '?limit=1'))[0]).toMatchObject({ seq: 3501, type: 'JobQueued' });
  });

  test('may be all there is; then the ledger goes on from its head', async () => {
    const clock = createManualClock(new Date('2026-03-01T12:00:00Z'));
    const app = await startTestApp({ clock, flags: { 'event-retention': '1h' } });
    const seed = await startTestApp({ clock, database: app.database });
    await append(seed, 3, '2026-03-01T10:00:00Z');
    const next = await startTestApp({ clock, database: app.database, flags: { 'event-retention': '1h' } });
    await until('all are gone', async () => (await oldestOf(next)) === undefined);
    expect((await rest(next.url, 'GET', '/api/events/replay?after=2')).status).toBe(400);
    expect(await replayEvents(next.url, '?after=3')).toEqual([]);
    await createJobsClient(next.url).submit({ kind: 'build' });
    expect((await replayEvents(next.url, '?after=3')).map(({ seq }) => seq)).toEqual([4]);
  });
});
