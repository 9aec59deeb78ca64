import { expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { claimOne, createJobsClient } from '../../support/jobs-client.js';
import { startTestApp, type TestAppOptions } from '../../support/app.js';
import { startTestApps } from '../../support/two-apps.js';
import { until } from '../../support/until.js';

const minute = 60_000;

/** A server with jobs of every state, and a way to let a later server clean up, as each does when it starts. */
async function setUp(retention: string) {
  const clock = createManualClock(new Date('2026-03-01T12:00:00Z'));
  const options: TestAppOptions = { clock, flags: { 'job-retention': retention }, logLevel: 'info' };
  const { apps, database } = await startTestApps({ ...options, flags: { 'job-retention': 'off' } });
  const jobs = createJobsClient(apps[0].url);
  const kinds = ['build'];
  const submit = async (payload: string, job: object = {}): Promise<string> =>
    (await jobs.submit({ kind: 'build', payload, ...job })).id;
  const finish = async (payload: string): Promise<void> => {
    await submit(`${payload}, done`, { idempotency_key: payload });
    await jobs.complete(await claimOne(jobs, { kinds }));
    await submit(`${payload}, failed`);
    await jobs.fail(await claimOne(jobs, { kinds }));
    await jobs.cancel(await submit(`${payload}, canceled`));
  };
  await submit('old, running');
  await claimOne(jobs, { kinds, lease_sec: 3600 });
  await finish('old');
  clock.advance(30 * minute);
  await finish('new');
  await submit('old, queued', { run_at: '2020-01-01T00:00:00Z' });
  await submit('old, scheduled', { run_at: '2027-01-01T00:00:00Z' });
  const cleanUp = () => startTestApp({ ...options, database });
  const left = async () => (await jobs.list('?limit=500')).jobs.map(({ payload }) => payload).reverse();
  return { clock, jobs, database, cleanUp, left };
}

const old = ['old, done', 'old, failed', 'old, canceled'];
const rest = ['old, running', 'new, done', 'new, failed', 'new, canceled', 'old, queued', 'old, scheduled'];
const all = ['old, running', ...old, ...rest.slice(1)];

test('finished jobs go when their time is over, others never', async () => {
  const { clock, jobs, cleanUp, left } = await setUp('1h');
  clock.advance(30 * minute);
  // One hour to the millisecond is not over yet.
  const early = await cleanUp();
  await early.stop();
  expect(await left()).toEqual(all);

  clock.advance(1);
  const { logged } = await cleanUp();
  await until('the old ones have gone', async () => (await left()).length === rest.length);
  expect(await left()).toEqual(rest);
  await until('it is logged', () => logged.some(({ event, count }) => event === 'jobs_expired' && count === 3));

  // The key of a job that is gone is free.
  const again = await jobs.submit({ kind: 'build', payload: 'another', idempotency_key: 'old' });
  expect(await jobs.get(again.id)).toMatchObject({ payload: 'another' });
});

test('off keeps them for ever', async () => {
  const { clock, jobs, cleanUp, left } = await setUp('off');
  clock.advance(1000 * 24 * 60 * minute);
  const { stop } = await cleanUp();
  await until('the running one is back, so the housekeeping was at work', async () => {
    return (await jobs.list('?status=running')).jobs.length === 0;
  });
  await stop();
  expect(await left()).toEqual(all);
});

test('more than a batch of them goes in one sweep', async () => {
  const { clock, database, cleanUp, left } = await setUp('1h');
  await database.query(
    `INSERT INTO jobs (id, kind, state, priority, max_attempts, run_at, created_at, finished_at, payload)
     SELECT 'job_' || lpad(n::text, 26, '0'), 'build', 'done', 2, 1, $1, $1, $1, 'null' FROM generate_series(1, 1700) n`,
    [clock.now()],
  );
  clock.advance(61 * minute);
  await cleanUp();
  await until('all have gone', async () => (await left()).length === 3);
});
