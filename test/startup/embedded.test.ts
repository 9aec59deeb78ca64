import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { isRunning, makeTempDir, postgresOf, type ServerProcess, useBuiltServer } from '../support/built-server.js';
import { createTestDatabase } from '../support/database.js';
import { claimOne, createJobsClient } from '../support/jobs-client.js';
import { rest } from '../support/rest.js';
import { soon, until } from '../support/until.js';

const startServer = useBuiltServer();

/** Stops it as a person does, and sees that nothing is left. */
async function stop(server: ServerProcess, from = dataDir): Promise<void> {
  server.kill('SIGTERM');
  expect(await soon('the server to stop', server.exit)).toEqual({ code: 0, signal: null });
  expect(postgresOf(from)).toBeUndefined();
}

/** Submits a job and runs it, which takes all there is. */
async function runJob(url: string, payload: string): Promise<string> {
  const jobs = createJobsClient(url);
  const { id } = await jobs.submit({ kind: 'build', payload });
  expect(await jobs.complete(await claimOne(jobs, { kinds: ['build'] }), payload)).toMatchObject({
    id,
    status: 'done',
  });
  return id;
}

/** Of the first start; the tests after it go on with it, and need not make another database. */
let dataDir = '';
let home = '';
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'muster-test-'));
  dataDir = path.join(home, 'made', 'by', 'it');
});
afterAll(() => rm(home, { recursive: true }));

test('first start, stop, second start: it serves, and keeps what it was given', async () => {
  const first = startServer({ dataDir });
  const url = await first.ready();
  expect((await rest(url, 'GET', '/readyz')).status).toBe(200);
  expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
  const id = await runJob(url, 'first');
  expect(first.stderr()).toContain(url);
  await stop(first);
  expect(first.lines.map(({ event }) => event)).toContain('migrated');
  expect(first.lines.at(-1)).toMatchObject({ event: 'stopped' });

  const second = startServer({ dataDir });
  const again = await second.ready();
  expect(await createJobsClient(again).get(id)).toMatchObject({ status: 'done', result: 'first' });
  await runJob(again, 'second');
  expect(second.lines.map(({ event }) => event)).not.toContain('migrated');
  await stop(second);
});

test('after a kill -9, which leaves its Postgres running, the next start takes over', async () => {
  const first = startServer({ dataDir });
  const id = await runJob(await first.ready(), 'kept');
  first.kill('SIGKILL');
  await first.exit;
  const orphan = postgresOf(dataDir);
  if (orphan === undefined) throw new Error('its Postgres ended with it, so there is nothing to take over');

  const second = startServer({ dataDir });
  const url = await second.ready();
  expect(isRunning(orphan)).toBe(false);
  expect(await createJobsClient(url).get(id)).toMatchObject({ status: 'done', result: 'kept' });
  await runJob(url, 'second');
  await stop(second);
});

test('a second server on the same data directory is refused, and the first goes on', async () => {
  const first = startServer({ dataDir });
  const url = await first.ready();
  const postgres = postgresOf(dataDir);
  const second = startServer({ dataDir });
  expect(await soon('the refusal', second.exit)).toEqual({ code: 1, signal: null });
  expect(second.stderr()).toMatch(/^muster: The data directory .* is in use by another Muster/);
  expect(second.stderr()).toContain(dataDir);
  expect(second.stderr()).toContain(`pid ${first.pid}`);
  expect(second.stderr().trim().split('\n')).toHaveLength(1);
  expect(postgresOf(dataDir)).toBe(postgres);
  await runJob(url, 'still there');
  await stop(first);
});

test('a port in use is named, and nothing is left running', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const taken = new URL(await startServer({ databaseUrl: database.url }).ready());
  const second = startServer({ dataDir, env: { MUSTER_PORT: taken.port } });
  expect(await soon('the refusal', second.exit)).toEqual({ code: 1, signal: null });
  expect(second.stderr()).toBe(`muster: 127.0.0.1:${taken.port} is in use by another program.\n`);
  expect(postgresOf(dataDir)).toBeUndefined();
  // The other one has not been disturbed, and the directory is free.
  await runJob(taken.origin, 'still there');
  const third = startServer({ dataDir });
  await runJob(await third.ready(), 'elsewhere');
  await stop(third);
});

test('a server whose Postgres dies says so and ends', async () => {
  const server = startServer({ dataDir });
  await server.ready();
  process.kill(postgresOf(dataDir) ?? 0, 'SIGKILL');
  expect(await soon('the server to end', server.exit)).toEqual({ code: 1, signal: null });
  expect(server.lines.find(({ event }) => event === 'failed')).toMatchObject({
    level: 'ERROR',
    message: expect.stringMatching(/Postgres ended/) as string,
  });
  await until('nothing is left', () => postgresOf(dataDir) === undefined);
  await runJob(await startServer({ dataDir }).ready(), 'after it');
});

describe('as root', () => {
  // Postgres refuses to run as root, and whoever it runs as instead cannot enter such a home.
  test.skipIf(process.getuid?.() !== 0)(
    'in a home that others cannot enter: first start, kill -9, second start (needs root)',
    async () => {
      const closed = await makeTempDir();
      await chmod(closed, 0o700);
      const inside = { dataDir: path.join(closed, 'checkout', '.muster'), env: { HOME: closed } };
      await mkdir(path.dirname(inside.dataDir), { mode: 0o700 });
      const first = startServer(inside);
      const id = await runJob(await first.ready(), 'private');
      first.kill('SIGKILL');
      await first.exit;
      const second = startServer(inside);
      expect(await createJobsClient(await second.ready()).get(id)).toMatchObject({ result: 'private' });
      expect((await stat(closed)).mode & 0o777).toBe(0o700);
      await stop(second, inside.dataDir);
    },
  );
});
