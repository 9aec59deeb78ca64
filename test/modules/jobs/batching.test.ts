import { describe, expect, test } from 'vitest';
import { JobStatus } from '../../../gen/muster/v1/jobs_pb.js';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp } from '../../support/app.js';
import { claimOne, createJobsClient, type RestClaim } from '../../support/jobs-client.js';
import { startWorker } from '../../support/work-client.js';

describe('submits that share a statement', () => {
  test('only the one that Postgres refuses fails', async () => {
    const app = await startTestApp();
    await app.database.query(`ALTER TABLE jobs ADD CHECK (kind <> 'refused')`);
    const jobs = createJobsClient(app.url);
    const kinds = Array.from({ length: 60 }, (_, n) => (n % 25 === 7 ? 'refused' : 'fine'));
    const answers = await Promise.allSettled(kinds.map((kind) => jobs.submit({ kind })));
    expect(answers.map(({ status }) => status)).toEqual(
      kinds.map((kind) => (kind === 'fine' ? 'fulfilled' : 'rejected')),
    );
    const { jobs: stored } = await jobs.list('?limit=500');
    const acknowledged = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.id] : []));
    expect(stored.map(({ id }) => id).sort()).toEqual(acknowledged.toSorted());
  });
});

describe('reports that share a statement', () => {
  /** A job that one worker lost and another has, and a stream that reports for both in one message. */
  async function setUp() {
    const clock = createManualClock(new Date());
    const app = await startTestApp({ clock, random: () => 0 });
    const jobs = createJobsClient(app.url);
    await jobs.submit({ kind: 'build' });
    const stale = await claimOne(jobs, { kinds: ['build'], lease_sec: 1 });
    clock.advance(1001);
    const current = await claimOne(jobs, { kinds: ['build'], lease_sec: 60, wait_sec: 30 });
    const stream = await startWorker(app.url, { kinds: ['nothing'], capacity: 0 });
    /** What became of the report under each lease: the error word or the status. */
    const outcomes = async () => {
      const told = await stream.until('both reports are answered', ({ outcomes }) => outcomes.length === 2 && outcomes);
      return new Map(told.map(({ leaseToken, error, status }) => [leaseToken, error?.error ?? status]));
    };
    return { jobs, stream, outcomes, stale, current };
  }
  const lease = ({ id, lease_token: leaseToken }: RestClaim) => ({ id, leaseToken });

  // In both orders, since in one of them the right answer could come by chance.
  for (const order of ['stale first', 'stale last'] as const) {
    const inOrder = <T>(stale: T, current: T): T[] => (order === 'stale first' ? [stale, current] : [current, stale]);

    test(`complete, ${order}: only the lease that holds counts`, async () => {
      const { jobs, stream, outcomes, stale, current } = await setUp();
      stream.update({
        completed: inOrder({ ...lease(stale), resultJson: '"stale"' }, { ...lease(current), resultJson: '"current"' }),
      });
      const told = await outcomes();
      // A stored completion is told by the job alone.
      expect([told.get(stale.lease_token), told.get('')]).toEqual(['lease_lost', JobStatus.DONE]);
      expect(await jobs.get(stale.id)).toMatchObject({ status: 'done', result: 'current' });
    });

    test(`fail, ${order}: only the lease that holds counts`, async () => {
      const { jobs, stream, outcomes, stale, current } = await setUp();
      stream.update({
        failed: inOrder(
          { ...lease(stale), error: { code: 'stale', message: '' }, retryable: false },
          { ...lease(current), error: { code: 'current', message: '' }, retryable: true },
        ),
      });
      const told = await outcomes();
      expect([told.get(stale.lease_token), told.get(current.lease_token)]).toEqual(['lease_lost', JobStatus.QUEUED]);
      expect(await jobs.get(stale.id)).toMatchObject({ status: 'queued', error: { code: 'current' } });
    });

    test(`heartbeat, ${order}: only the lease that holds is renewed`, async () => {
      const { stream, outcomes, stale, current } = await setUp();
      stream.update({ held: inOrder(lease(stale), lease(current)) });
      const told = await outcomes();
      expect([told.get(stale.lease_token), told.get(current.lease_token)]).toEqual(['lease_lost', JobStatus.RUNNING]);
    });

    test(`release, ${order}: only the lease that holds is given back`, async () => {
      const { jobs, stream, outcomes, stale, current } = await setUp();
      stream.update({ released: inOrder(lease(stale), lease(current)) });
      const told = await outcomes();
      expect([told.get(stale.lease_token), told.get(current.lease_token)]).toEqual(['lease_lost', JobStatus.QUEUED]);
      expect(await jobs.get(stale.id)).toMatchObject({ status: 'queued', attempts: 1 });
    });
  }
});
