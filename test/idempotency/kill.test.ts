import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { launchTestApp, type TestApp } from '../support/app.js';
import { useBuiltServer } from '../support/built-server.js';
import { until } from '../support/until.js';
import { holdAnswers } from './support/hold.js';
import { stateOf } from './support/state.js';
import { type Caller, createCaller, overRest, writes } from './support/writes.js';

const startServer = useBuiltServer();

/** The server that is left. Its clock is so far ahead that the claims of a server that is killed have lapsed to it at once. */
let other: TestApp;
let caller: Caller;
let keys = 0;

beforeAll(async () => {
  other = await launchTestApp({ clock: createManualClock(new Date(Date.now() + 60_000)) });
  caller = await createCaller(other.url);
});
afterAll(() => other?.stop());

/** A call to a server of its own, which is killed when the transaction with the answer stands still. */
async function killed(name: string, at: 'writing' | 'commit') {
  const { database } = other;
  const server = startServer({ databaseUrl: database.url });
  const url = await server.ready();
  const request = (await writes[name]?.(caller)) ?? {};
  keys += 1;
  const headers = { ...caller.headers, 'idempotency-key': `key-${keys}` };
  const before = await stateOf(database);
  const hold = await holdAnswers(database, at);
  const lost = overRest(url, name, request, headers).then(
    ({ status }) => `answered ${status}`,
    () => 'lost',
  );
  await hold.standing(1);
  server.kill('SIGKILL');
  await server.exit;
  await hold.letGo();
  expect(await lost).toBe('lost');
  await until('Postgres has done with the dead server', async () => {
    const rows = await database.query(
      `SELECT FROM pg_stat_activity WHERE datname = $1 AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()`,
      [database.name],
    );
    return rows.length === 0;
  });
  return { before, retry: () => overRest(other.url, name, request, headers) };
}

describe.each(Object.keys(writes))('%s, kill -9 of the server', (name) => {
  test('between commit and answer: another server gives the answer, and does nothing', async () => {
    const { before, retry } = await killed(name, 'commit');
    const done = await stateOf(other.database);
    expect(done).not.toBe(before);
    const answer = await retry();
    expect(answer.status).toBeLessThan(300);
    expect(answer.headers.get('idempotency-replayed')).toBe('true');
    expect((await retry()).text).toBe(answer.text);
    expect(await stateOf(other.database)).toBe(done);
  });

  test('before the commit: nothing is done, and another server does it', async () => {
    const { before, retry } = await killed(name, 'writing');
    expect(await stateOf(other.database)).toBe(before);
    const answer = await retry();
    expect(answer.status).toBeLessThan(300);
    expect(answer.headers.has('idempotency-replayed')).toBe(false);
    const done = await stateOf(other.database);
    expect(done).not.toBe(before);
    expect(await retry()).toMatchObject({ status: answer.status, text: answer.text });
    expect(await stateOf(other.database)).toBe(done);
  });
});
