import pg from 'pg';
import { onTestFinished, describe, expect, test } from 'vitest';
import { createDatabase } from '../../src/platform/db/db.js';
import { createWakeups, type Wakeups } from '../../src/platform/db/wakeups.js';
import { createLog } from '../../src/platform/log.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { until } from '../support/until.js';

const log = createLog('silent');

/** Resolves when it listens, and has told all topics once as whoever begins to listen does. */
async function startWakeups(database: TestDatabase, listen = true, presenceMs?: number): Promise<Wakeups> {
  const connection = { connectionString: database.url };
  const db = createDatabase(connection, { poolSize: 2, log, ownSessions: true });
  const wakeups = createWakeups({ connection, db, log, listen, ...(presenceMs !== undefined && { presenceMs }) });
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

/** Hears all that is told, as another server would, but says nothing. */
async function eavesdrop(database: TestDatabase): Promise<{ heard: string[]; say: (topic: string) => Promise<void> }> {
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  onTestFinished(() => client.end());
  const heard: string[] = [];
  client.on('notification', ({ payload = '' }) => heard.push(payload.split(' ')[0] ?? ''));
  await client.query('LISTEN muster');
  return {
    heard,
    say: async (topic) => void (await client.query(`SELECT pg_notify('muster', $1)`, [`${topic} somebody`])),
  };
}

function presences(heard: readonly string[]): number {
  return heard.filter((topic) => topic === '-').length;
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

  test('are kept by a server that is alone, and told as soon as another one is heard', async () => {
    const database = await makeDatabase();
    const { heard, say } = await eavesdrop(database);
    const here = await startWakeups(database, true, 500);
    let attempts = 0;
    await until('it finds that it is alone', async () => {
      const topic = `attempt${attempts++}`;
      const before = presences(heard);
      here.notify(topic);
      await until('what comes after it is told', () => presences(heard) >= before + 2);
      return !heard.includes(topic);
    });
    // At first nobody knows.
    expect(heard).toContain('attempt0');
    const own = count(here, 'kept');
    here.notify('kept');
    expect(own.times).toBe(1);
    await say('-');
    await until('it is told', () => heard.includes('kept'));
    here.notify('present');
    await until('so is what follows', () => heard.includes('present'));
    expect(own.times).toBe(1);
  });

  test('go on between servers that have nothing to say for long', async () => {
    const database = await makeDatabase();
    const { heard } = await eavesdrop(database);
    const here = await startWakeups(database, true, 100);
    const there = await startWakeups(database, true, 100);
    await listening(database, 2);
    await until('they have said often that they are there', () => presences(heard) > 20);
    const far = count(there, 'built');
    here.notify('built');
    await until('the other server hears of it', () => far.times === 1);
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
