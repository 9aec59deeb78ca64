import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp } from '../../support/app.js';
import { createJobsClient, type JobsClient, refusal, type RestJob } from '../../support/jobs-client.js';
import { startTestApps } from '../../support/two-apps.js';

const submitMany = (jobs: JobsClient, count: number, job: object = {}): Promise<string[]> =>
  Promise.all(Array.from({ length: count }, async () => (await jobs.submit({ kind: 'build', ...job })).id));

/** All pages from `query` on; `between` is called before each page but the first. */
async function pages(jobs: JobsClient, query: string, between?: (page: RestJob[]) => Promise<unknown>) {
  const all: RestJob[][] = [];
  for (let next: string | undefined = query; next !== undefined;) {
    const page: Awaited<ReturnType<JobsClient['list']>> = await jobs.list(next);
    all.push(page.jobs);
    next = page.next;
    if (next !== undefined) await between?.(page.jobs);
  }
  return all;
}

const newestFirst = (ids: readonly string[]): string[] => ids.toSorted().toReversed();

describe('pages', () => {
  test('hold every job once, newest first, while others are added on both servers and some go', async () => {
    const { apps, database } = await startTestApps({}, {});
    const clients = apps.map(({ url }) => createJobsClient(url));
    const [here, there] = clients;
    if (here === undefined || there === undefined) throw new Error('there are two servers');
    const ids = newestFirst((await Promise.all([submitMany(here, 40), submitMany(there, 40)])).flat());
    const gone = [ids[50], ids[65]];
    const found = await pages(here, '?limit=9', async () => {
      await Promise.all([submitMany(here, 3), submitMany(there, 3)]);
      await database.query('DELETE FROM jobs WHERE id = ANY($1)', [gone]);
    });
    const listed = found.flat().map(({ id }) => id);
    expect(listed).toEqual(newestFirst([...new Set(listed)]));
    // The clocks of the two servers are apart by a little, so that one added later may be listed as older.
    expect(listed.filter((id) => ids.includes(id))).toEqual(ids.filter((id) => !gone.includes(id)));
    expect(found.slice(0, -1).every((page) => page.length === 9)).toBe(true);
  });

  test('end without an empty one when the last is full', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    await submitMany(jobs, 6);
    expect((await pages(jobs, '?limit=3')).map((page) => page.length)).toEqual([3, 3]);
    expect((await pages(jobs, '?limit=6')).map((page) => page.length)).toEqual([6]);
    expect((await pages(jobs, '?status=done')).map((page) => page.length)).toEqual([0]);
  });

  test('have 50 jobs by default and 500 at the most', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    await submitMany(jobs, 501);
    expect((await jobs.list()).jobs).toHaveLength(50);
    expect((await pages(jobs, '?limit=500')).map((page) => page.length)).toEqual([500, 1]);
    for (const bad of [
      'limit=0',
      'limit=501',
      'limit=-1',
      'limit=many',
      'cursor=nonsense',
      'status=waiting',
      'kind=a%20b',
    ]) {
      const field = bad.slice(0, bad.indexOf('='));
      const refused = await refusal(jobs.list(`?${bad}`));
      expect(refused, bad).toMatchObject({ error: 'invalid_request', code: 400 });
      expect(refused.message, bad).toContain(field);
    }
  });
});

describe('filters', () => {
  const statuses = ['queued', 'running', 'done', 'error', 'canceled'] as const;
  const kinds = ['build', 'test:unit', 'a/b.c'];

  /** Jobs of every kind in every status, scheduled ones included. */
  async function population(): Promise<{ jobs: JobsClient; all: RestJob[] }> {
    const clock = createManualClock(new Date());
    const { url } = await startTestApp({ clock });
    const jobs = createJobsClient(url);
    for (const kind of kinds) {
      await submitMany(jobs, 8, { kind });
      const [done, failed, ...running] = await jobs.claim({ kinds: [kind], max: 4 });
      if (done === undefined || failed === undefined || running.length !== 2) throw new Error('four were there');
      await jobs.complete(done);
      await jobs.fail(failed);
      const [first] = (await jobs.list(`?status=queued&kind=${encodeURIComponent(kind)}`)).jobs;
      await jobs.cancel(first?.id ?? '');
      await submitMany(jobs, 2, { kind, run_at: '2100-01-01T00:00:00Z' });
    }
    return { jobs, all: (await jobs.list('?limit=500')).jobs };
  }

  test('by any statuses and kinds find what they should, page by page', async () => {
    const { jobs, all } = await population();
    expect(all).toHaveLength(30);
    const wish = fc.record({
      status: fc.subarray([...statuses]),
      kind: fc.subarray([...kinds, 'unheard-of']),
      limit: fc.integer({ min: 1, max: 30 }),
    });
    await fc.assert(
      fc.asyncProperty(wish, async ({ status, kind, limit }) => {
        const query = new URLSearchParams([
          ...status.map((each): [string, string] => ['status', each]),
          ...kind.map((each): [string, string] => ['kind', each]),
          ['limit', String(limit)],
        ]);
        const expected = all.filter(
          (job) =>
            (status.length === 0 || status.includes(job.status)) && (kind.length === 0 || kind.includes(job.kind)),
        );
        expect((await pages(jobs, `?${query}`)).flat()).toEqual(expected);
      }),
      { numRuns: 60 },
    );
  });
});
