import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, onTestFinished, test } from 'vitest';
import { JobStatus } from '../../../gen/muster/v1/jobs_pb.js';
import { startTestApp } from '../../support/app.js';
import { makeTempDir, useBuiltServer } from '../../support/built-server.js';
import { layCluster } from '../../support/cluster.js';
import { createTestDatabase } from '../../support/database.js';
import { claimOne, createJobsClient, type JobsClient, refusal, RefusedError } from '../../support/jobs-client.js';
import { soon, until } from '../../support/until.js';
import { startWorker } from '../../support/work-client.js';
import { expectAllNoted } from './support/tables.js';

const startServer = useBuiltServer();
const kinds = ['build'];

async function makeDatabase() {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  return database;
}

test('kill -9 of a worker in mid job: another one runs the job, and it ends once', async () => {
  const app = await startTestApp();
  const jobs = createJobsClient(app.url);
  const { id } = await jobs.submit({ kind: 'build' });
  const script = path.join(import.meta.dirname, 'support', 'worker-child.mjs');
  const worker = spawn(process.execPath, [script, app.url], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void worker.kill('SIGKILL'));
  const lines = createInterface({ input: worker.stdout })[Symbol.asyncIterator]();
  const { value } = await soon('the worker to have the job', lines.next());
  const lease = JSON.parse(String(value)) as { id: string; leaseToken: string };
  expect(lease.id).toBe(id);
  // It is well and holds the job for longer than one lease.
  await until('it has renewed its lease twice over', async () => {
    const [row] = await app.database.query<{ renewed: boolean }>(
      `SELECT lease_expires_at > started_at + interval '2.5 s' AS renewed FROM jobs WHERE state = 'running'`,
    );
    return row?.renewed;
  });
  worker.kill('SIGKILL');

  const again = await claimOne(jobs, { kinds, wait_sec: 30 });
  expect(again).toMatchObject({ id, attempts: 2, error: { code: 'lease_expired' } });
  const late = jobs.complete({ id, lease_token: lease.leaseToken }, 'from the dead');
  expect(await refusal(late)).toMatchObject({ error: 'lease_lost' });
  expect(await jobs.complete(again, 'alive')).toMatchObject({ status: 'done', result: 'alive', attempts: 2 });
  expect(await jobs.claim({ kinds })).toEqual([]);
});

describe('kill -9 of a server in mid job', () => {
  test('the job comes back with the next server, runs again, and ends once; one with a long lease goes on', async () => {
    const database = await makeDatabase();
    const first = startServer({ databaseUrl: database.url });
    const before = createJobsClient(await first.ready());
    const { id: short } = await before.submit({ kind: 'build', payload: 'short' });
    const lost = await claimOne(before, { kinds, lease_sec: 1 });
    const { id: long } = await before.submit({ kind: 'build', payload: 'long' });
    const kept = await claimOne(before, { kinds, lease_sec: 3600 });
    first.kill('SIGKILL');
    await first.exit;

    const after = createJobsClient(await startServer({ databaseUrl: database.url }).ready());
    const again = await claimOne(after, { kinds, wait_sec: 30 });
    expect(again).toMatchObject({ id: short, attempts: 2, error: { code: 'lease_expired' } });
    expect(await after.heartbeat(kept, { progress: 'still there' })).toMatchObject({ cancel_requested: false });
    expect(await after.complete(kept)).toMatchObject({
      id: long,
      status: 'done',
      attempts: 1,
      progress: 'still there',
    });
    expect(await refusal(after.complete(lost))).toMatchObject({ error: 'lease_lost' });
    expect(await after.complete(again)).toMatchObject({ status: 'done', attempts: 2 });
    expect(await after.claim({ kinds })).toEqual([]);
  });

  test('a worker outlives it and the embedded database with it, and reports on its next stream', async () => {
    const dataDir = await makeTempDir();
    layCluster(dataDir);
    const first = startServer({ dataDir });
    const url = await first.ready();
    const before = createJobsClient(url);
    const worker = await startWorker(url, { kinds, capacity: 2, leaseSec: 60 });
    const { id } = await before.submit({ kind: 'build' });
    const job = await worker.until('the job has come', ({ jobs }) => jobs[0]);
    // Others submit on and on, and remember what they were promised.
    const promised: string[] = [];
    const submitting = Promise.all(
      Array.from({ length: 8 }, async () => {
        for (;;) promised.push((await before.submit({ kind: 'promised' })).id);
      }),
    ).catch(() => undefined);
    await until('there is something to lose', () => promised.length > 100);
    first.kill('SIGKILL');
    await Promise.all([first.exit, submitting]);
    expect(await soon('the end of the stream', worker.over)).toBeDefined();

    const next = await startServer({ dataDir }).ready();
    const after = createJobsClient(next);
    const stream = await startWorker(next, { kinds, capacity: 2, leaseSec: 60 });
    stream.update({ held: [{ id, leaseToken: job.leaseToken }] });
    const beat = await stream.until('its heartbeat is answered', ({ outcomes }) => outcomes[0]);
    expect(beat.status).toBe(JobStatus.RUNNING);
    stream.update({ completed: [{ id, leaseToken: job.leaseToken }] });
    const report = await stream.until('its report is answered', ({ outcomes }) => outcomes[1]);
    expect(report.status).toBe(JobStatus.DONE);
    expect(await after.get(id)).toMatchObject({ status: 'done', attempts: 1 });
    const there = new Set<string>();
    for (let query: string | undefined = '?kind=promised&limit=500'; query !== undefined;) {
      const page: Awaited<ReturnType<JobsClient['list']>> = await after.list(query);
      page.jobs.forEach((each) => there.add(each.id));
      query = page.next;
    }
    expect(promised.filter((each) => !there.has(each))).toEqual([]);
  });
});

test(
  'backends that are terminated under load cost callers a 503 at the most, and nothing that was promised',
  { timeout: 120_000 },
  async () => {
    const app = await startTestApp({ flags: { 'job-retention': 'off' } });
    const jobs = createJobsClient(app.url);
    const statuses = new Map<number, number>();
    const submitted: string[] = [];
    const done = new Map<string, string>();
    const failed: string[] = [];
    let over = false;

    /** Undefined when the database was away. */
    async function attempt<T>(call: Promise<T>): Promise<T | undefined> {
      try {
        const answer = await call;
        statuses.set(200, (statuses.get(200) ?? 0) + 1);
        return answer;
      } catch (error) {
        if (!(error instanceof RefusedError)) throw error;
        statuses.set(error.status, (statuses.get(error.status) ?? 0) + 1);
        if (error.status !== 503) throw error;
        return undefined;
      }
    }
    async function submitter(): Promise<void> {
      while (!over) {
        const job = await attempt(jobs.submit({ kind: 'build', max_attempts: 1 }));
        if (job !== undefined) submitted.push(job.id);
      }
    }
    async function worker(name: string): Promise<void> {
      while (!over) {
        const [job] = (await attempt(jobs.claim({ kinds, lease_sec: 3600, wait_sec: 1 }))) ?? [];
        if (job === undefined) continue;
        await attempt(jobs.heartbeat(job));
        const fails = Math.random() < 0.3;
        // A report whose answer was lost is sent again, as every worker does, until it is answered.
        for (let told = false; !told;) {
          if (fails) told = (await attempt(jobs.fail(job))) !== undefined;
          else told = (await attempt(jobs.complete(job, name))) !== undefined;
        }
        if (fails) failed.push(job.id);
        else done.set(job.id, name);
      }
    }
    const working = Promise.all([
      ...Array.from({ length: 4 }, submitter),
      ...Array.from({ length: 6 }, (_, n) => worker(`worker-${n}`)),
    ]);
    working.catch(() => (over = true));

    for (let strike = 1; strike <= 10 && !over; strike++) {
      const progress = done.size;
      await app.database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'muster%'`);
      await until('work goes on', () => over || done.size > progress + 20);
    }
    over = true;
    await soon('the workers', working);

    expect([...statuses.keys()].sort()).toEqual([200, 503]);
    const rows = await app.database.query<{ id: string; state: string; result: string | null }>(
      "SELECT id, state, result #>> '{}' AS result FROM jobs",
    );
    const stored = new Map(rows.map((row) => [row.id, row]));
    expect(submitted.filter((id) => !stored.has(id))).toEqual([]);
    for (const [id, result] of done) expect(stored.get(id)).toEqual({ id, state: 'done', result });
    for (const id of failed) expect(stored.get(id)).toMatchObject({ state: 'error' });
    await expectAllNoted(app.database);
  },
);
