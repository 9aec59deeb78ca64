import { rm } from 'node:fs/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { untilClaimsAreForgotten } from '../modules/jobs/support/tables.js';
import { dataDirOf, startTestApp } from '../support/app.js';
import { useBuiltServer } from '../support/built-server.js';
import { createTestDatabase } from '../support/database.js';
import { until } from '../support/until.js';
import { holdAnswers } from './support/hold.js';
import { stateOf } from './support/state.js';
import { callerAt, createCaller, overRest, writes } from './support/writes.js';

const startServer = useBuiltServer();

/** Two that write the same row cannot both stand at their commit. */
const apart = 'TokenService/RevokeToken';
const rounds = [Object.keys(writes).filter((name) => name !== apart), [apart]] as const;

/** One call of each kind to one server, which is killed when the transactions with the answers stand still. */
async function killed(names: readonly string[], at: 'writing' | 'commit') {
  const database = await createTestDatabase();
  const dataDir = dataDirOf(database);
  onTestFinished(async () => {
    await database.drop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  const env = { MUSTER_DATA_DIR: dataDir, MUSTER_DB_POOL_SIZE: String(names.length + 10) };
  const server = startServer({ databaseUrl: database.url, env });
  const url = await server.ready();
  // The server that is left. Its clock is put forward when the other one is dead.
  const clock = createManualClock(new Date());
  const other = await startTestApp({ database, clock });
  const { headers, secret } = await createCaller(other.url);
  const calls = await Promise.all(
    names.map(async (name) => {
      // Each with a repository of its own, so that none waits for another.
      const request = (await writes[name]?.(callerAt(url, secret))) ?? {};
      const keyed = { ...headers, 'idempotency-key': name };
      return { name, call: (to: string) => overRest(to, name, request, keyed) };
    }),
  );
  await untilClaimsAreForgotten(database);
  const before = await stateOf(database);
  const hold = await holdAnswers(database, at);
  const lost = calls.map(({ name, call }) =>
    call(url).then(
      ({ status, text }) => `${name} answered ${status} ${text}`,
      () => 'lost',
    ),
  );
  await hold.standing(names.length);
  server.kill('SIGKILL');
  await server.exit;
  // To its clock the claims of the one that is killed have lapsed.
  clock.advance(Date.now() + 45_000 - clock.now().getTime());
  await hold.letGo();
  expect(new Set(await Promise.all(lost))).toEqual(new Set(['lost']));
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
  return { database, before, calls: calls.map(({ name, call }) => ({ name, retry: () => call(other.url) })) };
}

describe.each(rounds.map((names) => [names.length, names] as const))(
  'kill -9 of a server in the middle of %i kinds of calls',
  (_, names) => {
    test('between commit and answer: another server gives the answers, and does nothing', async () => {
      const { database, before, calls } = await killed(names, 'commit');
      const done = await stateOf(database);
      expect(done).not.toBe(before);
      for (const { name, retry } of calls) {
        const answer = await retry();
        expect(answer, name).toMatchObject({ status: expect.toSatisfy((status: number) => status < 300) as number });
        expect(answer.headers.get('idempotency-replayed'), name).toBe('true');
        expect((await retry()).text, name).toBe(answer.text);
        expect(await stateOf(database), name).toBe(done);
      }
    });

    test('before the commit: nothing is done, and another server does it', async () => {
      const { database, before, calls } = await killed(names, 'writing');
      let done = before;
      for (const { name, retry } of calls) {
        expect(await stateOf(database), name).toBe(done);
        const answer = await retry();
        expect(answer, name).toMatchObject({ status: expect.toSatisfy((status: number) => status < 300) as number });
        expect(answer.headers.has('idempotency-replayed'), name).toBe(false);
        const now = await stateOf(database);
        expect(now, name).not.toBe(done);
        done = now;
        expect(await retry(), name).toMatchObject({ status: answer.status, text: answer.text });
      }
      expect(await stateOf(database)).toBe(done);
    });
  },
);
