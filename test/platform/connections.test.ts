import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { createConnections } from '../../src/platform/db/connections.js';
import { createDatabase, type Statement } from '../../src/platform/db/db.js';
import { createLog } from '../../src/platform/log.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { until } from '../support/until.js';

const whoami: Statement = { name: 'whoami', text: 'SELECT pg_backend_pid() AS pid' };
const wrong: Statement = { name: 'wrong', text: 'SELECT 1 / $1::int' };
const wait: Statement = { name: 'wait', text: 'SELECT pg_backend_pid() AS pid FROM pg_sleep(0.01)' };

async function setUp(poolSize = 4) {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const lines: string[] = [];
  const log = createLog('warn', { write: (line) => void lines.push(line) });
  const db = createDatabase({ connectionString: database.url }, { poolSize, log, ownSessions: true });
  onTestFinished(() => db.close());
  const pid = async (): Promise<number | undefined> => (await db.query<{ pid: number }>(whoami, []))[0]?.pid;
  return { database, db, pid, lines };
}

const terminate = (database: TestDatabase, pid: number | undefined): Promise<unknown> =>
  database.query('SELECT pg_terminate_backend($1)', [pid]);

test('one statement after the other takes one connection, also when one has failed', async () => {
  const { db, pid } = await setUp();
  const first = await pid();
  await expect(db.query(wrong, [0])).rejects.toMatchObject({ code: '22012' });
  const inTransaction = await db.transaction((tx) => tx.query<{ pid: number }>(whoami, []));
  expect([inTransaction[0]?.pid, await pid()]).toEqual([first, first]);
  expect(db.pool).toEqual({ total: 1, idle: 1, waiting: 0 });
});

test('an error tells who asked', async () => {
  const { db } = await setUp();
  async function whoAsks(): Promise<void> {
    await db.query(wrong, [0]);
  }
  await expect(whoAsks()).rejects.toMatchObject({ stack: expect.stringContaining('whoAsks') });
});

test('many at once take as many as there may be, and wait for their turn', async () => {
  const { db } = await setUp(2);
  const rows = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      n % 2 === 0 ? db.query<{ pid: number }>(wait, []) : db.transaction((tx) => tx.query<{ pid: number }>(wait, [])),
    ),
  );
  expect(new Set(rows.map(([row]) => row?.pid)).size).toBe(2);
  expect(db.pool).toEqual({ total: 2, idle: 2, waiting: 0 });
});

test('one that is lost while nobody uses it is told of once, and not used again', async () => {
  const { database, db, pid, lines } = await setUp();
  const first = await pid();
  await terminate(database, first);
  await until('the loss has been seen', () => db.pool.total === 0);
  expect(await pid()).not.toBe(first);
  expect(lines.filter((line) => line.includes('database_connection_lost'))).toHaveLength(1);
});

test('one that is lost in use fails its statement, and is not used again', async () => {
  const { database, db, pid } = await setUp();
  const first = await pid();
  const cut = db.transaction(async (tx) => {
    await terminate(database, first);
    await tx.query(whoami, []);
  });
  await expect(cut).rejects.toMatchObject({ kind: 'unavailable' });
  expect(await pid()).not.toBe(first);
  expect(db.pool.total).toBe(1);
});

test('those that nobody needs go back to the pool, and those in use do not', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const pool = new pg.Pool({ connectionString: database.url, max: 3 });
  const connections = createConnections(pool, 20);
  onTestFinished(async () => {
    connections.close();
    await pool.end();
  });
  let asked = 0;
  pool.on('acquire', () => (asked += 1));
  const taken = await Promise.all([connections.take(), connections.take(), connections.take()]);
  for (const client of taken) connections.giveBack(client);
  expect([connections.atHand, pool.idleCount]).toEqual([3, 0]);
  // The one that came back last is the one that is needed.
  const used = new Set<pg.PoolClient>();
  await until('the others are idle', async () => {
    const client = await connections.take();
    used.add(client);
    await new Promise((resolve) => setImmediate(resolve));
    connections.giveBack(client);
    return pool.idleCount === 2;
  });
  expect([...used]).toEqual([taken[2]]);
  expect(asked).toBe(3);
  await until('that one is, too', () => pool.idleCount === 3);
});

test('who waits with the pool gets what comes back', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const pool = new pg.Pool({ connectionString: database.url, max: 1 });
  const connections = createConnections(pool);
  const first = await connections.take();
  const second = connections.take();
  connections.giveBack(first);
  connections.giveBack(await second);
  connections.close();
  // Hangs where something is still lent.
  await pool.end();
  expect(pool.totalCount).toBe(0);
});
