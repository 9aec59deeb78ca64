import { type AddressInfo, connect, createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createDatabase, type Database, type Statement, timestampOf } from '../../src/platform/db/db.js';
import { createLog } from '../../src/platform/log.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { until } from '../support/until.js';

async function setUp(): Promise<{ database: TestDatabase; db: Database }> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const db = createDatabase(
    { connectionString: database.url },
    { poolSize: 4, log: createLog('silent'), ownSessions: true },
  );
  onTestFinished(() => db.close());
  await database.query('CREATE TABLE counters (id int PRIMARY KEY, n int NOT NULL)');
  await database.query('INSERT INTO counters VALUES (1, 0), (2, 0)');
  return { database, db };
}

const increment: Statement = { name: 'increment', text: 'UPDATE counters SET n = n + 1 WHERE id = $1' };
const read: Statement = { name: 'read', text: 'SELECT n FROM counters WHERE id = $1' };
const die: Statement = { name: 'die', text: 'SELECT pg_terminate_backend(pg_backend_pid())' };
const unavailable = { kind: 'unavailable' };
const nothing: Statement = { name: 'nothing', text: 'SELECT 1 AS one' };

const counters = async (database: TestDatabase): Promise<number[]> =>
  (await database.query<{ n: number }>('SELECT n FROM counters ORDER BY id')).map(({ n }) => n);

/** Everybody who comes waits until all have come; who comes later passes. */
function createBarrier(all: number): () => Promise<void> {
  let come = 0;
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return () => {
    if (++come >= all) open();
    return opened;
  };
}

/** A database of ours as it is seen through a relay, and what has been sent to it, which may be changed on the way. */
async function listenIn(
  database: TestDatabase,
  change = (chunk: Buffer): Buffer => chunk,
): Promise<{ readonly db: Database; readonly sent: () => string }> {
  const heard: Buffer[] = [];
  const { searchParams, pathname } = new URL(database.url);
  const relay = createServer((caller) => {
    const server = connect(`${searchParams.get('host')}/.s.PGSQL.${searchParams.get('port')}`);
    for (const socket of [caller, server]) socket.on('error', () => undefined);
    caller.on('data', (chunk) => {
      heard.push(chunk);
      server.write(change(chunk));
    });
    caller.on('end', () => server.end());
    server.pipe(caller);
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const at = {
    host: '127.0.0.1',
    port: (relay.address() as AddressInfo).port,
    user: searchParams.get('user') ?? '',
    database: pathname.slice(1),
  };
  const db = createDatabase(at, { poolSize: 1, log: createLog('silent'), ownSessions: true });
  onTestFinished(async () => {
    await db.close();
    relay.close();
  });
  return { db, sent: () => Buffer.concat(heard).toString('latin1') };
}

describe('a transaction', () => {
  test('sends together what is asked for together, and each statement sees what those before it have waited for', async () => {
    const { database, db } = await setUp();
    const { db: listened, sent } = await listenIn(database);
    const lock: Statement = { name: 'lock', text: 'SELECT 1 FROM counters WHERE id = $1 FOR UPDATE' };
    const waiting = await db.transaction(async (tx) => {
      await tx.query(lock, [1]);
      const both = listened.transaction((other) => Promise.all([other.query(lock, [1]), other.query(read, [1])]));
      // The first cannot be answered yet.
      await until('the second has been sent', () => sent().includes(read.text));
      await tx.query(increment, [1]);
      return { both };
    });
    expect(await waiting.both).toEqual([[{ '?column?': 1 }], [{ n: 1 }]]);
  });

  test('of which one of several statements fails is rolled back with all of them, for the reason of the first', async () => {
    const { database, db } = await setUp();
    const failing = db.transaction((tx) =>
      Promise.all([
        tx.query(increment, [1]),
        tx.query({ name: 'bad', text: 'SELECT 1 / 0' }, []),
        tx.query(increment, [2]),
      ]),
    );
    await expect(failing).rejects.toMatchObject({ code: '22012' });
    expect(await counters(database)).toEqual([0, 0]);
    expect(await db.query(nothing, [])).toEqual([{ one: 1 }]);
    expect(db.pool.total).toBe(1);
  });

  test('tells of its commit when it has been committed, once, and before anybody else', async () => {
    const { database, db } = await setUp();
    const told: unknown[] = [];
    let runs = 0;
    const result = await db.transaction(async (tx) => {
      runs += 1;
      tx.afterCommit(() => told.push('first', runs));
      tx.afterCommit(() => told.push('second', runs));
      await tx.query(increment, [1]);
      if (runs === 1) throw Object.assign(new Error('again'), { code: '40001' });
      expect(told).toEqual([]);
      return 'result';
    });
    expect([result, ...told]).toEqual(['result', 'first', 2, 'second', 2]);
    const failing = db.transaction(async (tx) => {
      tx.afterCommit(() => told.push('never'));
      throw new Error('not today');
    });
    await expect(failing).rejects.toThrow('not today');
    expect(told).not.toContain('never');
    expect(await counters(database)).toEqual([1, 0]);
  });

  test('that begins with what changes nothing does all in the order in which it was asked for', async () => {
    const { db } = await setUp();
    const look: Statement = { name: 'look', text: read.text, changesNothing: true };
    const seen = await db.transaction(async (tx) => {
      const rows = [tx.query(look, [1]), tx.query(increment, [1]), tx.query(look, [1]), tx.query(increment, [1])];
      const first = await Promise.all(rows);
      return [...first, await tx.query(look, [1])];
    });
    expect(seen).toEqual([[{ n: 0 }], [], [{ n: 1 }], [], [{ n: 2 }]]);
  });

  test('whose BEGIN fails changes nothing, whatever was sent along with it', async () => {
    const { database } = await setUp();
    const { db, sent } = await listenIn(database, (chunk) => {
      const at = chunk.indexOf('BEGIN');
      if (at >= 0) chunk.write('BEGUN', at);
      return chunk;
    });
    const look: Statement = { name: 'look', text: read.text, changesNothing: true };
    const changing = db.transaction(async (tx) => {
      await Promise.all([tx.query(look, [1]), tx.query(increment, [1]), tx.query(look, [2])]);
      await tx.query(increment, [2]);
    });
    await expect(changing).rejects.toThrow('syntax error');
    await expect(db.transaction((tx) => tx.query(look, [1]))).rejects.toThrow('syntax error');
    expect(sent()).toContain(look.text);
    expect(await counters(database)).toEqual([0, 0]);
  });

  test('that need not outlive a crash does not wait for the disk, and the next one on its connection does', async () => {
    const { database } = await setUp();
    const { db } = await listenIn(database);
    const setting: Statement = { name: 'setting', text: "SELECT current_setting('synchronous_commit') AS waits" };
    const ask = (durable?: boolean) =>
      db.transaction(async (tx) => tx.query(setting, []), durable === undefined ? {} : { durable });
    expect([await ask(false), await ask(), await ask(true)].flat()).toEqual(
      ['off', 'on', 'on'].map((waits) => ({ waits })),
    );
  });

  test('of which one of several steps goes on when it is over changes nothing more', async () => {
    const { database, db } = await setUp();
    let step: Promise<unknown> | undefined;
    const failing = db.transaction((tx) => {
      step = tx.query(increment, [1]).then(() => tx.query(increment, [2]));
      return Promise.all([step, Promise.reject(new Error('on second thoughts'))]);
    });
    await expect(failing).rejects.toThrow('on second thoughts');
    await expect(step).rejects.toThrow('increment: the transaction is over');
    expect(await counters(database)).toEqual([0, 0]);
  });

  test('that goes on after a statement has failed is not taken for committed', async () => {
    const { database, db } = await setUp();
    let told = false;
    const careless = db.transaction(async (tx) => {
      tx.afterCommit(() => (told = true));
      await tx.query(increment, [1]);
      await tx.query({ name: 'wrong', text: 'SELECT 1 / 0' }, []).catch(() => undefined);
    });
    await expect(careless).rejects.toThrow('a failed transaction cannot be committed: ROLLBACK');
    expect(told).toBe(false);
    expect(await counters(database)).toEqual([0, 0]);
  });

  test('that dies in a deadlock is run again', async () => {
    const { database, db } = await setUp();
    const both = createBarrier(2);
    let runs = 0;
    const swap = (first: number, second: number): Promise<void> =>
      db.transaction(async (tx) => {
        runs += 1;
        await tx.query(increment, [first]);
        await both();
        await tx.query(increment, [second]);
      });
    await Promise.all([swap(1, 2), swap(2, 1)]);
    // The one that is run again may come before the other once more, and the two meet again.
    expect(runs).toBeGreaterThan(2);
    expect(await counters(database)).toEqual([2, 2]);
  });

  test('that fails to serialize is run again', async () => {
    const { database, db } = await setUp();
    const both = createBarrier(2);
    const add = (): Promise<void> =>
      db.transaction(async (tx) => {
        await tx.query({ name: 'level', text: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ' }, []);
        await tx.query(read, [1]);
        await both();
        await tx.query(increment, [1]);
      });
    await Promise.all([add(), add()]);
    expect(await counters(database)).toEqual([2, 0]);
  });

  test('that can never be serialized fails in the end', async () => {
    const { database, db } = await setUp();
    await database.query(`CREATE FUNCTION refuse() RETURNS void LANGUAGE plpgsql AS
      $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$`);
    let runs = 0;
    const hopeless = db.transaction(async (tx) => {
      runs += 1;
      await tx.query({ name: 'refuse', text: 'SELECT refuse()' }, []);
    });
    await expect(hopeless).rejects.toMatchObject({ code: '40001' });
    expect(runs).toBeGreaterThan(1);
    expect(runs).toBeLessThan(20);
  });

  test('that throws is rolled back and not run again, and its connection serves the next', async () => {
    const { database, db } = await setUp();
    let runs = 0;
    const failing = db.transaction(async (tx) => {
      runs += 1;
      await tx.query(increment, [1]);
      throw new Error('on second thoughts');
    });
    await expect(failing).rejects.toThrow('on second thoughts');
    expect(runs).toBe(1);
    expect(await counters(database)).toEqual([0, 0]);
    expect(db.pool.total).toBe(1);
    await db.query(nothing, []);
    expect(db.pool.total).toBe(1);
  });

  // An error event without a listener would end the process, and with it this test run.
  test.each([
    ['of its own sessions, once', true, { generic: 8, custom: 0 }],
    ['behind a pooler, whose sessions are left as they are', false, { generic: 0, custom: 8 }],
  ])('is planned %s', async (_what, ownSessions, plans) => {
    const { database } = await setUp();
    const options = { poolSize: 1, log: createLog('silent'), ownSessions };
    const db = createDatabase({ connectionString: database.url }, options);
    onTestFinished(() => db.close());
    // The general plan reckons with ten ids, so that Postgres by itself would make one for each set of parameters.
    const byIds: Statement = { name: 'by_ids', text: 'SELECT n FROM counters WHERE id = ANY($1::int[])' };
    for (let run = 0; run < 8; run++) await db.query(byIds, [[1]]);
    const counts: Statement = {
      name: 'counts',
      text: `SELECT generic_plans AS generic, custom_plans AS custom FROM pg_prepared_statements WHERE name = 'by_ids'`,
    };
    expect(await db.query(counts, [])).toEqual([plans]);
  });

  test('whose connection is lost fails, has not happened, and does not bring the process down', async () => {
    const { database, db } = await setUp();
    for (let round = 0; round < 5; round++) {
      const lost = db.transaction(async (tx) => {
        await tx.query(increment, [1]);
        await tx.query(die, []);
      });
      await expect(lost).rejects.toMatchObject(unavailable);
    }
    expect(await counters(database)).toEqual([0, 0]);
    expect(await db.query(nothing, [])).toEqual([{ one: 1 }]);
    expect(db.pool.total).toBe(1);
  });

  test('whose connection is lost while it does not use it fails the same way', async () => {
    const { database, db } = await setUp();
    const lost = db.transaction(async (tx) => {
      const [backend] = await tx.query<{ pid: number }>({ name: 'pid', text: 'SELECT pg_backend_pid() AS pid' }, []);
      await database.query('SELECT pg_terminate_backend($1)', [backend?.pid]);
      for (let gone = false; !gone;) {
        const [left] = await database.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [backend?.pid]);
        gone = left === undefined;
      }
      await tx.query(increment, [1]);
    });
    await expect(lost).rejects.toMatchObject(unavailable);
    expect(await counters(database)).toEqual([0, 0]);
    expect(await db.query(nothing, [])).toEqual([{ one: 1 }]);
  });
});

describe('a statement', () => {
  test.each([
    ['refuses connections', { host: '127.0.0.1', port: 9 }],
    ['is not there', { host: '/nonexistent', port: 5432 }],
  ])('for a database that %s says so', async (_what, where) => {
    const connection = { ...where, user: 'nobody', database: 'nothing' };
    const db = createDatabase(connection, { poolSize: 4, log: createLog('silent'), ownSessions: true });
    onTestFinished(() => db.close());
    await expect(db.query(nothing, [])).rejects.toMatchObject(unavailable);
    await expect(db.transaction(async (tx) => tx.query(nothing, []))).rejects.toMatchObject(unavailable);
  });

  test('whose connection is lost fails, and the next one gets another connection', async () => {
    const { db } = await setUp();
    await expect(db.query(die, [])).rejects.toMatchObject(unavailable);
    expect(await db.query(nothing, [])).toEqual([{ one: 1 }]);
  });

  test('that Postgres refuses leaves its connection usable', async () => {
    const { db } = await setUp();
    await expect(db.query({ name: 'bad', text: 'SELECT 1 / 0' }, [])).rejects.toMatchObject({ code: '22012' });
    expect(await db.query(nothing, [])).toEqual([{ one: 1 }]);
    expect(db.pool.total).toBe(1);
  });
});

describe('an array', () => {
  const texts = [
    '',
    'NULL',
    ' a, {b} ',
    '"',
    '\\',
    '\\n',
    'a "quoted"\nline\twith \r\b\f\u0001',
    '{"a":"\\\\\\"é😀"}',
    "it's\u2028",
  ];

  test.each([
    ['text', [...texts, null]],
    ['integer', [0, -7, 2147483647, null]],
    ['float8', [0.1, -1e-300, Infinity]],
    ['boolean', [true, false, null]],
    ['text', []],
    ['bytea', [Buffer.from([0, 34, 92, 255]), null]],
    ['timestamptz', [new Date('2026-02-28T23:59:59.999Z'), null]],
  ])('of %s comes to Postgres as it is: %j', async (type, items) => {
    const { db } = await setUp();
    const statement = {
      name: 'items',
      text: `SELECT item FROM unnest($1::${type}[]) WITH ORDINALITY AS t (item, n) ORDER BY n`,
    };
    expect((await db.query<{ item: unknown }>(statement, [items])).map(({ item }) => item)).toEqual(items);
  });

  test('of texts is the same in a transaction', async () => {
    const { db } = await setUp();
    const statement = { name: 'texts', text: 'SELECT $1::text[] AS texts' };
    expect(await db.transaction((tx) => tx.query(statement, [texts]))).toEqual([{ texts }]);
  });
});

describe('a timestamp', () => {
  test.each([
    ['2026-11-22 08:15:30+00', '2026-11-22T08:15:30.000Z'],
    ['2026-11-22 08:15:30.1+00', '2026-11-22T08:15:30.100Z'],
    ['2026-11-22 08:15:30.12+00', '2026-11-22T08:15:30.120Z'],
    ['2026-11-22 08:15:30.123999+00', '2026-11-22T08:15:30.123Z'],
    ['2026-11-22 08:15:30.12+05:30', '2026-11-22T02:45:30.120Z'],
    ['0099-01-02 00:00:00+00', '0099-01-02T00:00:00.000Z'],
    ['0100-01-02 00:00:00+00', '0100-01-02T00:00:00.000Z'],
    ['0044-03-15 00:00:00+00 BC', '-000043-03-15T00:00:00.000Z'],
    ['10000-01-01 00:00:00+00', '+010000-01-01T00:00:00.000Z'],
  ])('%s', (text, iso) => {
    expect(timestampOf(text).toISOString()).toBe(iso);
  });

  test('is read as Postgres writes it', async () => {
    const { db } = await setUp();
    const times = [
      '2026-02-28T23:59:59.999Z',
      '2024-02-29T00:00:00.000Z',
      '1969-12-31T23:59:59.500Z',
      '9999-12-31T23:59:59.999Z',
    ];
    const echo: Statement = {
      name: 'echo',
      text: 'SELECT t FROM unnest($1::timestamptz[]) WITH ORDINALITY AS u (t, n) ORDER BY n',
    };
    const rows = await db.query<{ t: Date }>(echo, [times]);
    expect(rows.map(({ t }) => t.toISOString())).toEqual(times);
  });
});
