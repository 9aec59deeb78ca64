import { describe, expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp } from '../../support/app.js';
import { claimOne, createJobsClient, refusal, RefusedError } from '../../support/jobs-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { soon, until } from '../../support/until.js';
import { startWorker } from '../../support/work-client.js';

const kinds = ['build'];

async function setUp() {
  const clock = createManualClock(new Date('2026-03-01T12:00:00Z'));
  const app = await startTestApp({ clock });
  return { clock, app, jobs: createJobsClient(app.url) };
}

test('a queued job is never claimed once it is canceled', async () => {
  const { jobs } = await setUp();
  const { id } = await jobs.submit({ kind: 'build' });
  expect(await jobs.cancel(id)).toEqual({ id, status: 'canceled' });
  expect(await jobs.get(id)).toMatchObject({
    status: 'canceled',
    attempts: 0,
    finished_at: '2026-03-01T12:00:00.000Z',
  });
  expect(await jobs.claim({ kinds, max: 500 })).toEqual([]);
});

test('one that still stands in line, since the server was killed in between, is passed over', async () => {
  // With an hour between polls, a claim that looks once too few is never answered.
  const app = await startTestApp({ flags: { 'poll-interval': '1h' } });
  const jobs = createJobsClient(app.url);
  const cancelHalf = (id: string) =>
    app.database.query(`UPDATE jobs SET state = 'canceled', finished_at = now() WHERE id = $1`, [id]);
  await cancelHalf((await jobs.submit({ kind: 'build', priority: 0 })).id);
  await jobs.submit({ kind: 'build', payload: 'next' });
  expect(await soon('the next', claimOne(jobs, { kinds }))).toMatchObject({ payload: 'next' });
  await cancelHalf((await jobs.submit({ kind: 'build' })).id);
  expect(await soon('the answer', jobs.claim({ kinds, max: 2 }))).toEqual([]);
});

test('a scheduled job stays canceled when its time comes', async () => {
  const { clock, app, jobs } = await setUp();
  const { id } = await jobs.submit({ kind: 'build', run_at: '2026-03-01T12:00:10Z' });
  await jobs.submit({ kind: 'build', run_at: '2026-03-01T12:00:10Z', payload: 'the other' });
  await jobs.cancel(id);
  clock.advance(10_000);
  await until('the time has come', async () => {
    return (await app.database.query(`SELECT 1 FROM jobs WHERE state = 'queued'`)).length === 1;
  });
  expect(await claimOne(jobs, { kinds, max: 500 })).toMatchObject({ payload: 'the other' });
});

test('the worker of a running job learns it at its next heartbeat, and can no longer end the job', async () => {
  const { jobs } = await setUp();
  const { id } = await jobs.submit({ kind: 'build' });
  const lease = await claimOne(jobs, { kinds });
  await jobs.heartbeat(lease, { progress: 'half' });
  await jobs.cancel(id);
  const told = { cancel_requested: true, lease_expires_at: null };
  expect(await jobs.heartbeat(lease, { progress: 'more' })).toEqual(told);
  expect(await jobs.heartbeat(lease)).toEqual(told);
  const refused = { error: 'invalid_state', code: 409, details: { from: 'canceled' } };
  expect(await refusal(jobs.complete(lease, 'late'))).toMatchObject(refused);
  expect(await refusal(jobs.fail(lease, { retryable: true }))).toMatchObject(refused);
  const job = await jobs.get(id);
  expect(job).toMatchObject({ status: 'canceled', result: null, error: null, progress: 'half', attempts: 1 });
});

test('a job whose lease was lost before is canceled for nobody', async () => {
  const { clock, jobs } = await setUp();
  const { id } = await jobs.submit({ kind: 'build' });
  const lease = await claimOne(jobs, { kinds, lease_sec: 1 });
  clock.advance(1001);
  await until('it is back', async () => (await jobs.get(id)).status === 'queued');
  await jobs.cancel(id);
  expect(await refusal(jobs.heartbeat(lease))).toMatchObject({ error: 'lease_lost' });
});

test('canceling again is fine; what has ended otherwise, or never was, cannot be canceled', async () => {
  const { jobs } = await setUp();
  const canceled = await jobs.submit({ kind: 'other' });
  await jobs.cancel(canceled.id);
  const { finished_at: first } = await jobs.get(canceled.id);
  expect(await jobs.cancel(canceled.id)).toEqual({ id: canceled.id, status: 'canceled' });
  expect((await jobs.get(canceled.id)).finished_at).toBe(first);

  await jobs.submit({ kind: 'build' });
  const done = await jobs.complete(await claimOne(jobs, { kinds }));
  await jobs.submit({ kind: 'build' });
  const failed = await jobs.fail(await claimOne(jobs, { kinds }));
  for (const { id, status } of [done, failed]) {
    expect(await refusal(jobs.cancel(id))).toMatchObject({
      error: 'invalid_state',
      details: { from: status, to: 'canceled', allowed: [] },
    });
    expect(await jobs.get(id)).toMatchObject({ status });
  }
  for (const id of [`job_${'0'.repeat(26)}`, 'nonsense']) {
    expect(await refusal(jobs.cancel(id))).toMatchObject({ error: 'not_found', code: 404 });
  }
});

describe('a worker on the stream of another server', () => {
  test.each([
    // With an hour between polls it can only have been told.
    ['is told at once', { 'poll-interval': '1h' }],
    ['is told by polling where servers cannot tell each other', { 'db-listen': 'off' }],
  ])('%s, and gets the next job', async (_how, flags) => {
    const { apps } = await startTestApps({ flags }, { flags });
    const jobs = createJobsClient(apps[0].url);
    const stream = await startWorker(apps[1].url, { kinds, capacity: 1 });
    const { id } = await jobs.submit({ kind: 'build' });
    const job = await stream.until('it has come', ({ jobs: come }) => come[0]);
    const next = await jobs.submit({ kind: 'build' });
    await jobs.cancel(id);
    const stop = await stream.until('it was told', ({ stopped }) => stopped[0]);
    expect(stop).toMatchObject({ id, leaseToken: job.leaseToken, reason: 'canceled' });
    const second = await stream.until('the next has come', ({ jobs: come }) => come[1]);
    expect(second.id).toBe(next.id);
    // A report that crossed the cancel is refused, and nothing else happens.
    stream.update({ completed: [{ id, leaseToken: job.leaseToken }] });
    const outcome = await stream.until('it is answered', ({ outcomes }) => outcomes[0]);
    expect(outcome.error?.error).toBe('invalid_state');
    expect(await jobs.get(id)).toMatchObject({ status: 'canceled' });
  });
});

test('of a cancel and a completion at once exactly one counts, and both callers know which', async () => {
  const { apps } = await startTestApps({}, {});
  const [here, there] = apps.map(({ url }) => createJobsClient(url));
  if (here === undefined || there === undefined) throw new Error('there are two servers');
  const count = 60;
  await Promise.all(Array.from({ length: count }, () => here.submit({ kind: 'build' })));
  const leases = await here.claim({ kinds, max: count });
  expect(leases).toHaveLength(count);
  const word = async (call: Promise<{ status: string }>): Promise<string> => {
    try {
      return (await call).status;
    } catch (error) {
      if (error instanceof RefusedError) return error.body.error;
      throw error;
    }
  };
  const ends = await Promise.all(
    leases.map(
      async (lease) =>
        [await Promise.all([word(here.cancel(lease.id)), word(there.complete(lease))]), lease.id] as const,
    ),
  );
  for (const [told, id] of ends) {
    const { status } = await here.get(id);
    expect(told).toEqual(status === 'canceled' ? ['canceled', 'invalid_state'] : ['invalid_state', 'done']);
  }
});
