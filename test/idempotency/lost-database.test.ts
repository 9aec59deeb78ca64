import { expect, onTestFinished, test } from 'vitest';
import { startTestApp } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { rest } from '../support/rest.js';
import { openDatabaseRelay } from './support/database-relay.js';
import { holdAnswers } from './support/hold.js';

/** A server with a key's call whose transaction stands still at its commit. */
async function setUp() {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const relay = await openDatabaseRelay(database);
  const app = await startTestApp({ database: { ...database, url: relay.url }, logLevel: 'warn' });
  const hold = await holdAnswers(database, 'commit');
  const submit = () => rest(app.url, 'POST', '/v1/jobs', { kind: 'build' }, { 'idempotency-key': 'k' });
  const call = submit();
  await hold.standing(1);
  const jobs = async (): Promise<string[]> =>
    (await database.query<{ id: string }>('SELECT id FROM jobs')).map(({ id }) => id);
  return { database, relay, hold, submit, call, jobs };
}

test('a commit whose answer got lost on its way from Postgres is answered by what it kept', async () => {
  const { relay, hold, submit, call, jobs } = await setUp();
  relay.lose();
  await hold.letGo();
  const answer = await call;
  const [id, ...others] = await jobs();
  expect(others).toEqual([]);
  expect(answer).toMatchObject({ status: 201, json: { id } });
  expect(await submit()).toMatchObject({ status: 201, json: { id } });
  expect(await jobs()).toEqual([id]);
});

test('a commit that Postgres gave up on has done nothing, and is told so', async () => {
  const { database, hold, submit, call, jobs } = await setUp();
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
     WHERE d.datname = $1 AND l.locktype = 'advisory' AND NOT l.granted`,
    [database.name],
  );
  expect(await call).toMatchObject({ status: 503, json: { error: 'unavailable' } });
  expect(await jobs()).toEqual([]);
  await hold.letGo();
  const answer = await submit();
  expect(answer.status).toBe(201);
  expect(answer.headers.has('idempotency-replayed')).toBe(false);
  expect(await jobs()).toHaveLength(1);
});
