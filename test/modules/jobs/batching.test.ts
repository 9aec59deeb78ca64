import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { JobStatus } from '../../../gen/muster/v1/jobs_pb.js';
import { AppError } from '../../../src/errors.js';
import { createManualClock } from '../../../src/platform/clock.js';
import { createBatcher } from '../../../src/platform/db/batcher.js';
import { startTestApp } from '../../support/app.js';
import { claimOne, createJobsClient, type RestClaim } from '../../support/jobs-client.js';
import { startWorker } from '../../support/work-client.js';

/** A `run` that is answered by hand. */
function createDesk() {
  const batches: { readonly items: readonly number[]; readonly answer: () => void; readonly fail: () => void }[] = [];
  const run = (items: readonly number[]): Promise<readonly number[]> =>
    new Promise((resolve, reject) => {
      batches.push({
        items,
        answer: () => resolve(items.map((item) => item * 10)),
        fail: () => reject(new Error('the batch failed')),
      });
    });
  return { batches, run };
}

/** Long enough for all that is going to happen by itself. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

describe('a batcher', () => {
  it('serves callers of one turn together, and in order', async () => {
    const { batches, run } = createDesk();
    const batcher = createBatcher<number, number>({ maxItems: 10, maxInFlight: 1, run });
    const answers = Promise.all([3, 1, 2].map((item) => batcher.submit(item)));
    await settled();
    expect(batches.map(({ items }) => items)).toEqual([[3, 1, 2]]);
    batches[0]?.answer();
    expect(await answers).toEqual([30, 10, 20]);
  });

  it('gathers who comes while as many batches as may be are under way', async () => {
    const { batches, run } = createDesk();
    const batcher = createBatcher<number, number>({ maxItems: 10, maxInFlight: 2, run });
    const answers: Promise<number>[] = [];
    for (const item of [1, 2, 3, 4]) {
      answers.push(batcher.submit(item));
      await settled();
    }
    expect(batches.map(({ items }) => items)).toEqual([[1], [2]]);
    batches[1]?.answer();
    await settled();
    expect(batches.map(({ items }) => items)).toEqual([[1], [2], [3, 4]]);
    batches[0]?.answer();
    batches[2]?.answer();
    expect(await Promise.all(answers)).toEqual([10, 20, 30, 40]);
  });

  it('closes a batch at its most items and at its most weight', async () => {
    const { batches, run } = createDesk();
    const batcher = createBatcher<number, number>({
      maxItems: 3,
      maxInFlight: 9,
      weigh: (item) => item,
      maxWeight: 100,
      run,
    });
    const answers = Promise.all([1, 2, 3, 4, 99, 500, 5].map((item) => batcher.submit(item)));
    await settled();
    expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3], [4, 99], [500], [5]]);
    batches.forEach(({ answer }) => answer());
    await answers;
  });

  it('gives a single item that fails its error, without another try', async () => {
    const { batches, run } = createDesk();
    const batcher = createBatcher<number, number>({ maxItems: 10, maxInFlight: 1, run });
    const answer = expect(batcher.submit(1)).rejects.toThrow('the batch failed');
    await settled();
    batches[0]?.fail();
    await answer;
    expect(batches).toHaveLength(1);
  });

  it('tries nothing twice when the database is away, since it may have been done', async () => {
    let runs = 0;
    const batcher = createBatcher<number, number>({
      maxItems: 10,
      maxInFlight: 1,
      run: async () => {
        runs += 1;
        throw new AppError('unavailable', 'away');
      },
    });
    const answers = await Promise.allSettled([1, 2, 3].map((item) => batcher.submit(item)));
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(runs).toBe(1);
  });

  it('lets nobody but the bad items feel their fault, whatever comes when', async () => {
    const item = fc.record({
      weight: fc.integer({ min: 1, max: 5 }),
      fault: fc.constantFrom('none', 'none', 'none', 'verdict', 'poison'),
      later: fc.boolean(),
    });
    const shape = fc.record({
      items: fc.array(item, { maxLength: 30 }),
      maxItems: fc.integer({ min: 1, max: 8 }),
      maxInFlight: fc.integer({ min: 1, max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(shape, async ({ items, maxItems, maxInFlight }) => {
        let underWay = 0;
        const kept: number[] = [];
        const batcher = createBatcher<number, number>({
          maxItems,
          maxInFlight,
          weigh: (index) => items[index]?.weight ?? 0,
          maxWeight: 10,
          run: async (batch) => {
            underWay += 1;
            expect(underWay).toBeLessThanOrEqual(maxInFlight);
            expect(batch.length).toBeLessThanOrEqual(maxItems);
            await new Promise(setImmediate);
            underWay -= 1;
            // As a statement does: one bad row, and nothing of it has happened.
            if (batch.some((index) => items[index]?.fault === 'poison')) throw new Error('poison');
            kept.push(...batch);
            return batch.map((index) => (items[index]?.fault === 'verdict' ? new Error('verdict') : index));
          },
        });
        const answers: Promise<number | string>[] = [];
        for (const [index, { later }] of items.entries()) {
          if (later) await new Promise(setImmediate);
          answers.push(batcher.submit(index).catch((error: Error) => error.message));
        }
        expect(await Promise.all(answers)).toEqual(items.map(({ fault }, index) => (fault === 'none' ? index : fault)));
        const sound = items.flatMap(({ fault }, index) => (fault === 'poison' ? [] : [index]));
        expect(kept.toSorted((a, b) => a - b)).toEqual(sound);
      }),
      { numRuns: 300 },
    );
  });
});

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
        completed: inOrder(
          { ...lease(stale), result: { kind: { case: 'stringValue', value: 'stale' } } },
          { ...lease(current), result: { kind: { case: 'stringValue', value: 'current' } } },
        ),
      });
      const told = await outcomes();
      expect([told.get(stale.lease_token), told.get(current.lease_token)]).toEqual(['lease_lost', JobStatus.DONE]);
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
