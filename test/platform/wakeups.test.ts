import { onTestFinished, describe, expect, test } from 'vitest';
import { createDatabase } from '../../src/platform/db/db.js';
import { createWakeups, type Wakeups } from '../../src/platform/db/wakeups.js';
import { createLog } from '../../src/platform/log.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { until } from '../support/until.js';

const log = createLog('silent');

/** Resolves when it listens, and has told all topics once as whoever begins to listen does. */
async function startWakeups(database: TestDatabase, listen = true): Promise<Wakeups> {
  const connection = { connectionString: database.url };
  const db = createDatabase(connection, { poolSize: 2, log, ownSessions: true });
  const wakeups = createWakeups({ connection, db, log, listen });
  onTestFinished(async () => {
    await wakeups.stop();
    await db.close();
  });
  const told = listen ? new Promise<void>((resolve) => wakeups.on('begun', resolve)) : undefined;
  await wakeups.start();
  await told;
  return wakeups;
}

async function makeDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  return database;
}

function listenersOf(database: TestDatabase): Promise<{ pid: number }[]> {
  return database.query(`SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'muster listen' AND query LIKE 'LISTEN%'`);
}

/** Waits until so many servers listen. */
async function listening(database: TestDatabase, count: number): Promise<void> {
  await until(`${count} listen`, async () => (await listenersOf(database)).length === count);
}

function count(wakeups: Wakeups, topic: string): { times: number; off: () => void } {
  const counted = { times: 0, off: wakeups.on(topic, () => void (counted.times += 1)) };
  return counted;
}

describe('wake-ups', () => {
  test('reach their own server at once, and the others once', async () => {
    const database = await makeDatabase();
    const here = await startWakeups(database);
    const there = await startWakeups(database);
    await listening(database, 2);
    const [own, far, other] = [count(here, 'built'), count(there, 'built'), count(there, 'tested')];
    here.notify('built');
    expect(own.times).toBe(1);
    await until('the other server hears of it', () => far.times === 1);
    there.notify('other');
    here.notify('tested');
    await until('the other server hears of that', () => other.times === 1);
    expect([own.times, far.times]).toEqual([1, 1]);
  });

  test('of one moment are told to other servers as one', async () => {
    const database = await makeDatabase();
    const here = await startWakeups(database);
    const there = await startWakeups(database);
    await listening(database, 2);
    const [far, last] = [count(there, 'built'), count(there, 'last')];
    for (let n = 0; n < 100; n++) here.notify('built');
    here.notify('last');
    await until('all was told', () => last.times > 0);
    expect(far.times).toBe(1);
  });

  test('end with their listener', async () => {
    const database = await makeDatabase();
    const here = await startWakeups(database, false);
    const heard = count(here, 'built');
    heard.off();
    here.notify('built');
    expect(heard.times).toBe(0);
  });

  test('stay within a server that does not listen', async () => {
    const database = await makeDatabase();
    const deaf = await startWakeups(database, false);
    const there = await startWakeups(database);
    await listening(database, 1);
    const [far, marker] = [count(there, 'built'), count(there, 'marker')];
    const own = count(deaf, 'built');
    deaf.notify('built');
    expect(own.times).toBe(1);
    const third = await startWakeups(database);
    third.notify('marker');
    await until('something else was told', () => marker.times === 1);
    expect(far.times).toBe(0);
  });

  test('come again after the listening connection was lost, once each, over one connection', async () => {
    const database = await makeDatabase();
    const here = await startWakeups(database);
    const there = await startWakeups(database);
    await listening(database, 2);
    const heard = count(there, 'built');
    for (let round = 0; round < 3; round++) {
      const before = await listenersOf(database);
      await database.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid', [
        before.map(({ pid }) => pid),
      ]);
      heard.times = 0;
      // Nobody knows what was missed, so everybody looks.
      await until('it looks again', () => heard.times > 0);
      await until('both listen anew', async () => {
        const now = (await listenersOf(database)).map(({ pid }) => pid);
        return now.length === 2 && before.every(({ pid }) => !now.includes(pid));
      });
      const marker = count(there, 'marker');
      heard.times = 0;
      here.notify('built');
      here.notify('marker');
      await until('it hears', () => marker.times > 0);
      marker.off();
      expect(heard.times).toBe(1);
    }
    expect(await listenersOf(database)).toHaveLength(2);
  });

  test('leave no connection behind, also when stopped while connecting', async () => {
    const database = await makeDatabase();
    for (let round = 0; round < 5; round++) {
      const wakeups = await startWakeups(database);
      await wakeups.stop();
    }
    await until('all connections have gone', async () => {
      const left = await database.query(`SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'muster listen'`);
      return left.length === 0;
    });
  });
});
