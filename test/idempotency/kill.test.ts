import { rm } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { dataDirOf, startTestApp } from '../support/app.js';
import { useBuiltServer } from '../support/built-server.js';
import { createTestDatabase } from '../support/database.js';
import { until } from '../support/until.js';
import { holdAnswers } from './support/hold.js';
import { stateOf } from './support/state.js';
import { createCaller, overRest, writes } from './support/writes.js';

const startServer = useBuiltServer();

/** A call to a server of its own, which is killed when the transaction with the answer stands still. */
async function killed(name: string, at: 'writing' | 'commit') {
  const database = await createTestDatabase();
  const dataDir = dataDirOf(database);
  onTestFinished(async () => {
    await database.drop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  const server = startServer({ databaseUrl: database.url, env: { MUSTER_DATA_DIR: dataDir } });
  const url = await server.ready();
  // The server that is left. Its clock stands still.
  const clock = createManualClock(new Date());
  const other = await startTestApp({ database, clock });
  const caller = await createCaller(other.url);
  const request = (await writes[name]?.(caller)) ?? {};
  const headers = { ...caller.headers, 'idempotency-key': 'k' };
  const before = await stateOf(database);
  const hold = await holdAnswers(database, at);
  const lost = overRest(url, name, request, headers).then(
    ({ status }) => `answered ${status}`,
    () => 'lost',
  );
  await hold.standing(1);
  server.kill('SIGKILL');
  await server.exit;
  // To its clock the claims of the one that is killed have lapsed.
  clock.advance(45_000);
  await hold.letGo();
  expect(await lost).toBe('lost');
  await until('Postgres has done with the dead server', async () => {
    const rows = await database.query(
      `SELECT FROM pg_stat_activity WHERE datname = $1 AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()`,
      [database.name],
    );
    return rows.length === 0;
  });
  // What a failed job waits for has come to that clock, so it is moved at some time: before the states are compared, then.
  await until('no job waits for a time that has come', async () => {
    const due = await database.query('SELECT FROM jobs_scheduled WHERE run_at <= $1', [clock.now()]);
    return due.length === 0;
  });
  await until('what the dead server had in hands has been put right', async () => {
    const held = await database.query('SELECT FROM task_vcs WHERE held_until IS NOT NULL');
    return held.length === 0;
  });
  return { database, before, retry: () => overRest(other.url, name, request, headers) };
}

describe.each(Object.keys(writes))('%s, kill -9 of the server', (name) => {
  test('between commit and answer: another server gives the answer, and does nothing', async () => {
    const { database, before, retry } = await killed(name, 'commit');
    const done = await stateOf(database);
    expect(done).not.toBe(before);
    const answer = await retry();
    expect(answer.status).toBeLessThan(300);
    expect(answer.headers.get('idempotency-replayed')).toBe('true');
    expect((await retry()).text).toBe(answer.text);
    expect(await stateOf(database)).toBe(done);
  });

  test('before the commit: nothing is done, and another server does it', async () => {
    const { database, before, retry } = await killed(name, 'writing');
    expect(await stateOf(database)).toBe(before);
    const answer = await retry();
    expect(answer.status).toBeLessThan(300);
    expect(answer.headers.has('idempotency-replayed')).toBe(false);
    const done = await stateOf(database);
    expect(done).not.toBe(before);
    expect(await retry()).toMatchObject({ status: answer.status, text: answer.text });
    expect(await stateOf(database)).toBe(done);
  });
});
