import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp, type TestApp } from '../../support/app.js';
import type { TestDatabase } from '../../support/database.js';
import { claimOne, createJobsClient, type JobsClient, refusal } from '../../support/jobs-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { soon, until } from '../../support/until.js';
import { startWorker } from '../../support/work-client.js';

const kinds = ['build'];

async function setUp() {
  const clock = createManualClock(new Date('2026-03-01T12:00:00Z'));
  const app = await startTestApp({ clock, random: () => 0 });
  const jobs = createJobsClient(app.url);
  /** Lets time pass until the job is no longer as it was. */
  const lapse = async (id: string, ms: number) => {
    const before = (await jobs.get(id)).status;
    clock.advance(ms);
    return until('its worker has lost it', async () => {
      const job = await jobs.get(id);
      return job.status !== before && job;
    });
  };
  return { clock, app, jobs, lapse };
}

describe('a lost lease', () => {
  test('puts the job back at once, and its worker is too late for everything', async () => {
    const { jobs, lapse } = await setUp();
    const { id } = await jobs.submit({ kind: 'build' });
    const slow = await claimOne(jobs, { kinds, lease_sec: 5 });
    const back = await lapse(id, 5001);
    expect(back).toMatchObject({ status: 'queued', attempts: 1, error: { code: 'lease_expired' }, finished_at: null });
    const reports = [
      () => jobs.heartbeat(slow),
      () => jobs.complete(slow, 'late'),
      () => jobs.fail(slow, { retryable: true }),
      () => jobs.fail(slow),
    ];
    for (const late of reports) expect(await refusal(late())).toMatchObject({ error: 'lease_lost', code: 409 });

    const quick = await claimOne(jobs, { kinds });
    expect(quick).toMatchObject({ id, attempts: 2, error: { code: 'lease_expired' } });
    expect(quick.lease_token).not.toBe(slow.lease_token);
    for (const late of reports) expect(await refusal(late())).toMatchObject({ error: 'lease_lost', details: { id } });
    expect(await jobs.complete(quick, 'in time')).toMatchObject({ status: 'done', result: 'in time', error: null });
    for (const late of reports) expect(await refusal(late())).toMatchObject({ error: 'lease_lost' });
    expect(await jobs.get(id)).toMatchObject({ status: 'done', result: 'in time' });
  });

  test('on the last attempt ends the job', async () => {
    const { jobs, lapse } = await setUp();
    const { id } = await jobs.submit({ kind: 'build', max_attempts: 2 });
    await claimOne(jobs, { kinds, lease_sec: 1 });
    await lapse(id, 1001);
    const last = await claimOne(jobs, { kinds, lease_sec: 1 });
    const ended = await lapse(id, 1001);
    expect(ended).toMatchObject({ status: 'error', attempts: 2, error: { code: 'lease_expired' } });
    expect(ended.finished_at).toBe('2026-03-01T12:00:02.002Z');
    expect(await refusal(jobs.complete(last))).toMatchObject({ error: 'invalid_state', details: { from: 'error' } });
    expect(await jobs.claim({ kinds })).toEqual([]);
  });

  test('is kept off by heartbeats', async () => {
    const { clock, jobs } = await setUp();
    const { id } = await jobs.submit({ kind: 'build' });
    await jobs.submit({ kind: 'short' });
    const lease = await claimOne(jobs, { kinds, lease_sec: 2 });
    for (let beat = 0; beat < 5; beat++) {
      clock.advance(1999);
      await jobs.heartbeat(lease);
    }
    // The housekeeping has been by: it took another one.
    await claimOne(jobs, { kinds: ['short'], lease_sec: 1 });
    clock.advance(1500);
    await until('the short lease is lost', async () => (await jobs.list('?kind=short&status=queued')).jobs[0]);
    expect(await jobs.get(id)).toMatchObject({ status: 'running', attempts: 1 });
    expect(await jobs.complete(lease)).toMatchObject({ status: 'done' });
  });

  test('is told on the stream', async () => {
    const { clock, app, jobs } = await setUp();
    const stream = await startWorker(app.url, { kinds, capacity: 1, leaseSec: 1 });
    const { id } = await jobs.submit({ kind: 'build', max_attempts: 1 });
    const job = await stream.until('it has come', ({ jobs: come }) => come[0]);
    clock.advance(1001);
    const stop = await stream.until('it was told', ({ stopped }) => stopped[0]);
    expect(stop).toMatchObject({ id, leaseToken: job.leaseToken, reason: 'lease_lost' });
  });
});

describe('an attempt that takes too long', () => {
  test('is ended whatever its worker says, and tried again after a while', async () => {
    const { clock, jobs, lapse } = await setUp();
    const { id } = await jobs.submit({ kind: 'build', timeout_sec: 10 });
    const lease = await claimOne(jobs, { kinds, lease_sec: 60 });
    clock.advance(10_000);
    expect(await jobs.heartbeat(lease)).toMatchObject({ cancel_requested: false });
    const back = await lapse(id, 1);
    expect(back).toMatchObject({ status: 'queued', attempts: 1, error: { code: 'timeout' } });
    // With a random of 0: the whole of the first backoff.
    expect(back.run_at).toBe('2026-03-01T12:00:11.001Z');
    expect(await refusal(jobs.heartbeat(lease))).toMatchObject({ error: 'lease_lost' });
    expect(await jobs.claim({ kinds })).toEqual([]);
    clock.advance(1000);
    expect(await claimOne(jobs, { kinds, wait_sec: 30 })).toMatchObject({
      id,
      attempts: 2,
      error: { code: 'timeout' },
    });
  });

  test('ends the job when it was the last', async () => {
    const { jobs, lapse } = await setUp();
    const { id } = await jobs.submit({ kind: 'build', timeout_sec: 1, max_attempts: 1 });
    const lease = await claimOne(jobs, { kinds });
    expect(await lapse(id, 1001)).toMatchObject({ status: 'error', error: { code: 'timeout' } });
    expect(await refusal(jobs.complete(lease))).toMatchObject({ error: 'invalid_state' });
  });

  test('is told on the stream, also of another server', async () => {
    const clock = createManualClock(new Date());
    const { apps } = await startTestApps({ clock }, { clock });
    const jobs = createJobsClient(apps[0].url);
    const stream = await startWorker(apps[1].url, { kinds, capacity: 1 });
    const { id } = await jobs.submit({ kind: 'build', timeout_sec: 1, max_attempts: 1 });
    await stream.until('it has come', ({ jobs: come }) => come[0]);
    clock.advance(1001);
    const stop = await stream.until('it was told', ({ stopped }) => stopped[0]);
    expect(stop).toMatchObject({ id, reason: 'timeout' });
  });
});

test('a repeated completion answers the same job, and its first result stays', async () => {
  const { jobs } = await setUp();
  await jobs.submit({ kind: 'build' });
  const lease = await claimOne(jobs, { kinds });
  const first = await jobs.complete(lease, { n: 1 });
  expect(await jobs.complete(lease, { n: 2 })).toEqual(first);
  expect(first).toMatchObject({ status: 'done', result: { n: 1 } });
});

/** Keeps everybody from changing jobs until the function it answers is called. */
async function lockJobs(database: TestDatabase): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: database.url });
  onTestFinished(() => client.end());
  await client.connect();
  await client.query('BEGIN');
  await client.query('LOCK TABLE jobs IN EXCLUSIVE MODE');
  return async () => void (await client.query('COMMIT'));
}

const blocked = (database: TestDatabase, statement: string) =>
  until(`a statement like ${statement} waits`, async () => {
    const waiting = await database.query(
      `SELECT 1 FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`,
      [`%${statement}%`],
    );
    return waiting.length > 0;
  });

describe('a worker that waits for jobs', () => {
  /** Its long poll, which ends when `leave` is called. */
  function waitingWorker(app: TestApp) {
    const gone = new AbortController();
    const poll = fetch(`${app.url}/v1/jobs/claim`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ worker_id: 'gone', kinds, wait_sec: 60, lease_sec: 3600 }),
      signal: gone.signal,
    });
    return async (): Promise<void> => {
      gone.abort();
      await poll.catch(() => undefined);
      await until('the server has noticed', () =>
        app.logged.some(({ event, status }) => event === 'request_end' && status === 'aborted'),
      );
    };
  }
  const requests = (app: TestApp): number => app.logged.filter(({ event }) => event === 'request_start').length;

  test('and leaves gets none', async () => {
    const app = await startTestApp({ logLevel: 'info' });
    const jobs = createJobsClient(app.url);
    const leave = waitingWorker(app);
    await until('it waits', () => requests(app) === 1);
    await leave();
    const { id } = await jobs.submit({ kind: 'build' });
    expect(await claimOne(jobs, { kinds })).toMatchObject({ id, attempts: 1 });
  });

  test('and leaves while jobs are claimed for it has them given back, to one who waits', async () => {
    const app = await startTestApp({ logLevel: 'info' });
    const jobs = createJobsClient(app.url);
    const { id } = await jobs.submit({ kind: 'build' });
    const unlock = await lockJobs(app.database);
    const leave = waitingWorker(app);
    await blocked(app.database, 'UPDATE jobs j SET%running');
    await leave();
    const next = claimOne(jobs, { kinds, wait_sec: 30 });
    await unlock();
    expect(await next).toMatchObject({ id, attempts: 1 });
  });

  test('is served in turn', async () => {
    const app = await startTestApp({ logLevel: 'info' });
    const jobs = createJobsClient(app.url);
    const served: string[] = [];
    const polls: Promise<unknown>[] = [];
    for (const name of ['first', 'second', 'third', 'fourth']) {
      polls.push(
        jobs.claim({ worker_id: name, kinds, wait_sec: 60 }).then((claimed) => {
          served.push(...claimed.map(() => name));
        }),
      );
      await until('it waits', () => requests(app) === polls.length);
    }
    for (let n = 1; n <= polls.length; n++) {
      await jobs.submit({ kind: 'build' });
      await until('it is taken', () => served.length === n);
    }
    await Promise.all(polls);
    expect(served).toEqual(['first', 'second', 'third', 'fourth']);
  });

  test('is not starved by others that want more kinds, or more jobs', async () => {
    const app = await startTestApp();
    const jobs = createJobsClient(app.url);
    const wishes = [
      { worker_id: 'modest', kinds: ['build'] },
      { worker_id: 'greedy', kinds: ['build'], max: 100 },
      { worker_id: 'broad', kinds: ['build', 'test'] },
    ];
    const served = new Map(wishes.map(({ worker_id }) => [worker_id, 0]));
    let left = 60;
    const work = async (wish: (typeof wishes)[number]): Promise<void> => {
      while (left > 0) {
        const claimed = await jobs.claim({ ...wish, wait_sec: 1 });
        left -= claimed.length;
        served.set(wish.worker_id, (served.get(wish.worker_id) ?? 0) + claimed.length);
      }
    };
    const working = Promise.all(wishes.map(work));
    for (let submitted = 60; submitted > 0; submitted--) {
      await jobs.submit({ kind: 'build' });
      await until('it is taken', () => left < submitted);
    }
    await soon('the workers', working);
    // How many depends on who asks again how soon.
    for (const [name, count] of served) expect(count, name).toBeGreaterThan(0);
  });

  test('gives back what is just being claimed for it when the server stops', async () => {
    const { apps, database } = await startTestApps({});
    const jobs = createJobsClient(apps[0].url);
    await jobs.submit({ kind: 'build' });
    const unlock = await lockJobs(database);
    const poll = jobs.claim({ kinds, wait_sec: 60 });
    await blocked(database, 'UPDATE jobs j SET%running');
    const stopped = apps[0].stop();
    expect(await soon('the answer', poll)).toEqual([]);
    await unlock();
    await soon('the stop', stopped);
    expect(await database.query('SELECT state, attempts FROM jobs')).toEqual([{ state: 'queued', attempts: 0 }]);
  });

  test('gets an empty answer when the server stops', async () => {
    const app = await startTestApp({ logLevel: 'info', flags: { 'shutdown-grace': '30s' } });
    const jobs: JobsClient = createJobsClient(app.url);
    const poll = jobs.claim({ kinds, wait_sec: 60 });
    await until('it waits', () => requests(app) === 1);
    await soon('the stop', app.app.stop());
    expect(await poll).toEqual([]);
  });
});
