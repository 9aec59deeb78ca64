import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { afterFailure, afterLostLease, afterTimeout, backoffMs } from '../../../src/modules/jobs/jobs.js';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp } from '../../support/app.js';
import { claimOne, createJobsClient, type JobsClient } from '../../support/jobs-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { until } from '../../support/until.js';

const kinds = ['build'];

describe('the backoff', () => {
  const attempts = fc.integer({ min: 1, max: 100 });
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  test('doubles from 1 s to 10 min, less up to a half', () => {
    fc.assert(
      fc.property(attempts, random, (n, r) => {
        const full = Math.min(600_000, 1000 * 2 ** (n - 1));
        const ms = backoffMs(n, r);
        expect(Number.isInteger(ms)).toBe(true);
        expect(ms).toBeGreaterThanOrEqual(full / 2);
        expect(ms).toBeLessThanOrEqual(full);
      }),
    );
    expect([1, 2, 3, 10, 11, 100].map((n) => backoffMs(n, 0))).toEqual([1000, 2000, 4000, 512_000, 600_000, 600_000]);
  });

  test('spreads retries evenly over its half', () => {
    fc.assert(
      fc.property(attempts, random, random, (n, one, other) => {
        if (Math.abs(one - other) > 0.01) expect(backoffMs(n, one)).not.toBe(backoffMs(n, other));
      }),
    );
  });

  test('is given to a retryable failure with attempts left, and to nothing else', () => {
    const now = new Date('2026-03-01T12:00:00Z');
    const error = { code: 'broken', message: '' };
    fc.assert(
      fc.property(attempts, attempts, fc.boolean(), random, (n, most, retryable, r) => {
        const job = { attempts: n, maxAttempts: most };
        const later = { state: 'scheduled', runAt: new Date(now.getTime() + backoffMs(n, r)) };
        expect(afterFailure(job, error, retryable, now, r)).toEqual(
          retryable && n < most ? { ...later, error } : { state: 'error', error },
        );
        expect(afterLostLease(job, now)).toMatchObject(
          n < most ? { state: 'queued', runAt: now } : { state: 'error', error: { code: 'lease_expired' } },
        );
        expect(afterTimeout({ ...job, timeoutSec: 5 }, now, r)).toMatchObject(
          n < most ? { ...later, error: { code: 'timeout' } } : { state: 'error', error: { code: 'timeout' } },
        );
      }),
    );
  });
});

describe('the order of jobs', () => {
  const at = (seconds: number): string => new Date(Date.parse('2026-03-01T12:00:00Z') + seconds * 1000).toISOString();

  async function setUp() {
    const clock = createManualClock(new Date(at(0)));
    const app = await startTestApp({ clock });
    const jobs = createJobsClient(app.url);
    const claimAll = async (): Promise<unknown[]> =>
      (await jobs.claim({ kinds: ['build', 'test'], max: 500 })).map(({ payload }) => payload);
    return { clock, app, jobs, claimAll };
  }

  test('is priority, then run_at, then age, over all kinds', async () => {
    const { jobs, claimAll } = await setUp();
    const submit = (payload: string, job: object) => jobs.submit({ kind: 'build', ...job, payload });
    await submit('normal, first', {});
    await submit('low, long due', { priority: 3, run_at: at(-3600) });
    await submit('normal, second, test', { kind: 'test' });
    await submit('normal, due before', { run_at: at(-1) });
    await submit('urgent', { priority: 0 });
    await submit('high, test', { priority: 1, kind: 'test' });
    await submit('normal, third', { priority: 2 });
    expect(await claimAll()).toEqual([
      'urgent',
      'high, test',
      'normal, due before',
      'normal, first',
      'normal, second, test',
      'normal, third',
      'low, long due',
    ]);
  });

  test('holds for scheduled jobs once they are due, and none comes before', async () => {
    const { clock, app, jobs, claimAll } = await setUp();
    await jobs.submit({ kind: 'build', payload: 'later', run_at: at(20) });
    await jobs.submit({ kind: 'build', payload: 'soon', run_at: at(10) });
    await jobs.submit({ kind: 'build', payload: 'soon but low', run_at: at(5), priority: 3 });
    await jobs.submit({ kind: 'build', payload: 'much later', run_at: at(3600) });
    expect(await claimAll()).toEqual([]);
    clock.advance(20_000);
    const waiting = (): Promise<{ state: string }[]> =>
      app.database.query(`SELECT 1 FROM jobs WHERE state = 'scheduled'`);
    await until('what is due has been promoted', async () => (await waiting()).length === 1);
    expect(await claimAll()).toEqual(['soon', 'later', 'soon but low']);
    const [left] = (await jobs.list('?status=queued')).jobs;
    expect(left).toMatchObject({ payload: 'much later', run_at: at(3600), attempts: 0 });
  });
});

describe('a job whose time comes', () => {
  // With an hour between polls, whatever comes did not come by polling.
  const flags = { 'poll-interval': '1h' };
  const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();
  const next = (jobs: JobsClient) => claimOne(jobs, { kinds, wait_sec: 40 });

  test('goes to a waiting worker without any poll, the earliest first', async () => {
    const { url } = await startTestApp({ flags });
    const jobs = createJobsClient(url);
    const first = next(jobs);
    // The later one is known first: the sooner must not wait behind it.
    await jobs.submit({ kind: 'build', payload: 'second', run_at: inMs(700) });
    await jobs.submit({ kind: 'build', payload: 'first', run_at: inMs(300) });
    expect(await first).toMatchObject({ payload: 'first' });
    expect(await next(jobs)).toMatchObject({ payload: 'second' });
  });

  test('goes to a worker of another server', async () => {
    const { apps } = await startTestApps({ flags }, { flags });
    const waiting = next(createJobsClient(apps[1].url));
    await createJobsClient(apps[0].url).submit({ kind: 'build', payload: 'here', run_at: inMs(200) });
    expect(await waiting).toMatchObject({ payload: 'here' });
  });

  test('comes again after its backoff', async () => {
    const { url } = await startTestApp({ flags, random: () => 0.99 });
    const jobs = createJobsClient(url);
    await jobs.submit({ kind: 'build', max_attempts: 2 });
    const failed = await jobs.fail(await next(jobs), { retryable: true });
    expect(failed).toMatchObject({ status: 'queued', attempts: 1 });
    const again = await next(jobs);
    expect(again).toMatchObject({ attempts: 2, error: { code: 'broken' } });
    expect(Date.parse(again.started_at ?? '')).toBeGreaterThanOrEqual(Date.parse(failed.run_at));
  });

  test('comes by polling where servers cannot tell each other', async () => {
    const deaf = { flags: { 'db-listen': 'off' } };
    const { apps } = await startTestApps(deaf, deaf);
    const [here, there] = apps.map(({ url }) => createJobsClient(url));
    if (here === undefined || there === undefined) throw new Error('there are two servers');
    const waiting = next(there);
    await here.submit({ kind: 'build', payload: 'now' });
    expect(await waiting).toMatchObject({ payload: 'now' });
    const later = next(there);
    await here.submit({ kind: 'build', payload: 'later', run_at: inMs(200) });
    expect(await later).toMatchObject({ payload: 'later' });
  });
});
