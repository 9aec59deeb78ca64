import { randomInt } from 'node:crypto';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { EventService } from '../../../gen/muster/v1/events_pb.js';
import type { TestDatabase } from '../../support/database.js';
import { openEventStream } from '../../support/sse.js';
import { startTestApps } from '../../support/two-apps.js';
import { until } from '../../support/until.js';
import { openWebSocket } from '../../support/websocket.js';
import { findFaults, type Reading, type Written } from './support/checker.js';

/**
 * Writers whose transactions overlap at random, so that ids are drawn in another order than they become visible. Each appends
 * events of an entity of its own and of one that they share, whose row it locks first, as a change does.
 */
async function write(
  database: TestDatabase,
  writer: number,
  transactions: number,
  { outside = false }: Plants,
): Promise<Written[]> {
  const client = new pg.Client({ connectionString: database.url });
  onTestFinished(() => client.end());
  await client.connect();
  const written: Written[] = [];
  let step = 0;
  const insert = async (entity: string, mark: string): Promise<void> => {
    const text = `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, task_id, payload)
       VALUES (1, now(), 'TaskUpdated', 'Rest', 'human', 'local', $1, json_build_object('mark', $2::text))`;
    if (outside) await database.query(text, [entity, mark]);
    else await client.query(text, [entity, mark]);
  };
  for (let n = 0; n < transactions; n++) {
    const mine: Written[] = [];
    await client.query('BEGIN');
    for (let event = randomInt(1, 6); event > 0; event--) {
      const mark = `${writer}-${step++}`;
      await insert(`own-${writer}`, mark);
      mine.push({ entity: `own-${writer}`, mark });
      if (randomInt(3) === 0) await client.query('SELECT pg_sleep($1)', [randomInt(8) / 1000]);
    }
    if (randomInt(3) === 0) {
      const { rows } = await client.query<{ n: number }>('UPDATE shared SET n = n + 1 RETURNING n');
      const mark = `shared-${rows[0]?.n}`;
      await insert('shared', mark);
      mine.push({ entity: 'shared', mark });
      await client.query('SELECT pg_sleep($1)', [randomInt(4) / 1000]);
    }
    const kept = randomInt(5) > 0;
    await client.query(kept ? 'COMMIT' : 'ROLLBACK');
    if (kept) written.push(...mine);
  }
  return written;
}

/** Faults that are put in on purpose. */
interface Plants {
  /** SQL that breaks the ledger. */
  readonly sql?: string;
  /** Events are not committed with their change, but for themselves. */
  readonly outside?: boolean;
  /** The first server hears of nothing, and does not look by itself either. */
  readonly deaf?: boolean;
}

/** Runs writers and readers on three servers; answers what was committed and what each reader was told. */
async function run(plants: Plants): Promise<{ written: Written[]; readings: Reading[] }> {
  const flags = { 'db-listen': 'off', 'poll-interval': '1h' };
  const { apps, database } = await startTestApps(plants.deaf === true ? { flags } : {}, {}, {});
  await database.query('CREATE TABLE shared (n int NOT NULL)');
  await database.query('INSERT INTO shared VALUES (0)');
  if (plants.sql !== undefined) await database.query(plants.sql);
  const streams = await Promise.all(apps.map(({ url }) => openEventStream(`${url}/api/events/subscribe?after=0`)));
  const socket = openWebSocket(apps[1].url, '/api/events/stream');
  await socket.opened;
  socket.send({ type: 'subscribe', after: 0 });
  const overGrpc = followByGrpc(apps[2].url);
  const writers = await Promise.all(Array.from({ length: 8 }, (_, n) => write(database, n, 30, plants)));
  const written = writers.flat();
  // Comes last: whoever has it has been told all that he is going to be told.
  await database.query(
    `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, payload)
     VALUES (1, now(), 'TaskUpdated', 'Rest', 'human', 'local', '{"mark": "end"}')`,
  );
  const isEnd = (data: string): boolean => data.includes('"mark": "end"') || data.includes('"mark":"end"');
  const able = plants.deaf === true ? streams.slice(1) : streams;
  for (const stream of able) {
    await stream.until('the end has come', (events) => events.some(({ data }) => isEnd(data)));
  }
  await socket.until('the end has come', (heard) => heard.some((message) => isEnd(JSON.stringify(message))));
  await until('the end has come over gRPC', () => overGrpc.some(({ mark }) => mark === 'end'));
  const readings = streams.map(({ events }): Reading =>
    events.map(({ id, data }) => ({ ...toldOf(JSON.parse(data) as RestEvent), seq: Number(id) })),
  );
  const overSocket = socket.messages.flatMap(({ event }) => (event === undefined ? [] : toldOf(event as RestEvent)));
  return { written, readings: [...readings, overSocket, overGrpc] };
}

interface RestEvent {
  readonly seq: number;
  readonly task_id: string | null;
  readonly payload: { readonly mark: string };
}

function toldOf({ seq, task_id: entity, payload: { mark } }: RestEvent): Reading[number] {
  return { seq, entity: entity ?? '', mark };
}

/** What a gRPC stream tells, as it comes. */
function followByGrpc(url: string): Reading[number][] {
  const sessions = new Http2SessionManager(url);
  onTestFinished(() => sessions.abort());
  const client = createClient(EventService, createGrpcTransport({ baseUrl: url, sessionManager: sessions }));
  const told: Reading[number][] = [];
  void (async () => {
    try {
      for await (const { events } of client.subscribeEvents({ after: 0n })) {
        for (const { seq, taskId, payload } of events) {
          told.push({ seq: Number(seq), entity: taskId ?? '', mark: String(payload?.['mark']) });
        }
      }
    } catch {
      // Ended with the test.
    }
  })();
  return told;
}

test('whatever writers do, every reader is told what was committed, once, and in order', async () => {
  const { written, readings } = await run({});
  expect(findFaults(written, readings)).toEqual([]);
});

describe('the checker catches', () => {
  test('numbers that are drawn when events are inserted', async () => {
    // As a plain sequence would: a number may become visible after a greater one has been read.
    const { written, readings } = await run({
      sql: `
      CREATE OR REPLACE FUNCTION number_events(most integer) RETURNS integer LANGUAGE plpgsql AS $$
      DECLARE numbered integer;
      BEGIN
        WITH taken AS (DELETE FROM events_new RETURNING *)
        INSERT INTO events (seq, at, type, source, actor_kind, actor_id, task_id, payload)
        SELECT id, at, type, source, actor_kind, actor_id, task_id, payload FROM taken;
        GET DIAGNOSTICS numbered = ROW_COUNT;
        UPDATE events_head SET seq = greatest(seq, (SELECT max(e.seq) FROM events e)) WHERE numbered > 0;
        RETURN numbered;
      END $$`,
    });
    expect(findFaults(written, readings)).not.toEqual([]);
  });

  test('events that are numbered in another order than their entity changed', async () => {
    const { written, readings } = await run({
      sql: `
      CREATE OR REPLACE FUNCTION number_events(most integer) RETURNS integer LANGUAGE plpgsql AS $$
      DECLARE head bigint; numbered integer;
      BEGIN
        SELECT h.seq INTO STRICT head FROM events_head h FOR UPDATE;
        WITH taken AS (DELETE FROM events_new RETURNING *)
        INSERT INTO events (seq, at, type, source, actor_kind, actor_id, task_id, payload)
        SELECT head + row_number() OVER (ORDER BY random()), at, type, source, actor_kind, actor_id, task_id, payload FROM taken;
        GET DIAGNOSTICS numbered = ROW_COUNT;
        UPDATE events_head SET seq = head + numbered;
        RETURN numbered;
      END $$`,
    });
    expect(findFaults(written, readings)).not.toEqual([]);
  });

  test('events that are committed without their change', async () => {
    const { written, readings } = await run({ outside: true });
    expect(findFaults(written, readings)).toContainEqual(expect.stringContaining('which was not committed'));
  });

  test('a server that misses a wake-up and does not look by itself', async () => {
    const { written, readings } = await run({ deaf: true });
    expect(findFaults(written, readings)).toContainEqual(expect.stringMatching(/^reader 0 was not told /));
    expect(findFaults(written, readings.slice(1))).toEqual([]);
  });

  test('a replay that overlaps with what comes live', async () => {
    const { written, readings } = await run({});
    const [whole = []] = readings;
    const half = Math.floor(whole.length / 2);
    const spliced = [...whole.slice(0, half + 3), ...whole.slice(half)];
    expect(findFaults(written, [spliced])).toContainEqual(expect.stringMatching(/ twice$/));
  });

  const written: readonly Written[] = ['a-0', 'a-1', 'a-2'].map((mark) => ({ entity: 'own-a', mark }));
  const told = (...marks: string[]): Reading => marks.map((mark, index) => ({ seq: index + 1, entity: 'own-a', mark }));
  test.each<readonly [string, Reading, string]>([
    ['an event that nobody was told', told('a-0', 'a-2'), 'reader 0 was not told a-1'],
    ['an event told twice', told('a-0', 'a-1', 'a-1', 'a-2'), 'reader 0 was told a-1 twice'],
    [
      'an event of no committed transaction',
      told('a-0', 'a-1', 'a-2', 'a-9'),
      'reader 0 was told a-9, which was not committed',
    ],
    ['events of an entity out of order', told('a-1', 'a-0', 'a-2'), 'reader 0 was told a-0 after a-1'],
    [
      'a gap',
      told('a-0', 'a-1', 'a-2').map((event, n) => ({ ...event, seq: event.seq + (n === 2 ? 1 : 0) })),
      'reader 0: 4 comes after 2',
    ],
  ])('%s', (_what, reading, fault) => {
    expect(findFaults(written, [reading])).toContain(fault);
  });

  test('readers who are told different stories', () => {
    const other = told('a-0', 'a-1', 'a-2').map((event) => ({ ...event, seq: event.seq + 1 }));
    expect(findFaults(written, [told('a-0', 'a-1', 'a-2'), other])).toContain('readers 0 and 1 differ about 2');
  });
});
