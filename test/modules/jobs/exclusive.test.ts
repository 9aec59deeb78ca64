import { expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { createJobsClient, type RestJob } from '../../support/jobs-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { expectAllNoted } from './support/tables.js';
import { createShift, restWorker, streamWorker, type Verdict } from './support/workers.js';

const jobCount = 160;

/** Repeatable, so that a failure can be looked at again. */
function createDice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

// A bound on hangs, for machines with much else to do.
const patient = { timeout: 120_000 };

for (const listen of ['on', 'off'] as const) {
  test(
    `8 workers on 2 servers never run one job twice at a time, and each ends once (db-listen ${listen})`,
    patient,
    async () => {
      const clock = createManualClock(new Date());
      const options = { clock, random: () => 0.5, flags: { 'db-listen': listen, 'poll-interval': '10ms' } };
      const { apps, database } = await startTestApps(options, options);
      const clients = apps.map(({ url }) => createJobsClient(url));
      const dice = createDice(4711);
      const verdicts: readonly Verdict[] = ['complete', 'complete', 'complete', 'retry', 'fail', 'crash', 'late'];
      const shift = createShift(clock, () => ({
        ticks: dice() < 0.6 ? 0 : Math.ceil(dice() * 4),
        verdict: verdicts[Math.floor(dice() * verdicts.length)] ?? 'complete',
      }));

      const over = new AbortController();
      const workers = Array.from({ length: 8 }, (_, n) => {
        const client = clients[n % 2];
        if (client === undefined) throw new Error('there are two servers');
        // Both ways of working on both servers.
        return n < 4
          ? restWorker(`rest-${n}`, client, shift, over.signal)
          : streamWorker(`stream-${n}`, client.url, shift, over.signal, () => dice() < 0.05);
      });
      let atWork = true;
      const working = Promise.all(workers).finally(() => (atWork = false));
      working.catch(() => over.abort());

      const ids = await submitAll(clients);
      while (!over.signal.aborted && (await openJobs(clients)) > 0) {
        await shift.tick();
        await expectAllNoted(database);
      }
      over.abort();
      // Some have yet to report too late on what others have ended.
      while (atWork) await shift.tick();
      await working;

      expect(shift.faults).toEqual([]);
      const jobs = await allJobs(clients);
      expect(jobs.map(({ id }) => id).sort()).toEqual(ids.toSorted());
      for (const job of jobs) {
        const ends = shift.ended.get(job.id) ?? [];
        // The last attempt of some was lost in a crash.
        if (job.error?.code === 'lease_expired') expect(ends).toEqual([]);
        else
          expect(ends).toEqual([
            job.status === 'done' ? `done by ${String(job.result)}` : expect.stringMatching('error by'),
          ]);
        // A claim that no worker heard of counts as an attempt too.
        expect(job.attempts).toBeGreaterThanOrEqual(shift.begun.get(job.id) ?? 0);
        expect(job.attempts).toBeLessThanOrEqual(job.max_attempts);
      }
      await expectAllNoted(database);
      // All that can happen did.
      expect(new Set(jobs.map(({ status }) => status))).toEqual(new Set(['done', 'error']));
      expect(jobs.filter(({ attempts }) => attempts > 1).length).toBeGreaterThan(20);
    },
  );
}

type Clients = readonly ReturnType<typeof createJobsClient>[];

async function submitAll(clients: Clients): Promise<string[]> {
  const submitted = Array.from({ length: jobCount }, async (_, n) => {
    const made = await clients[n % clients.length]?.submit({ kind: 'build', max_attempts: 4, priority: n % 4 });
    return made?.id ?? '';
  });
  return Promise.all(submitted);
}

async function openJobs(clients: Clients): Promise<number> {
  return (await clients[0]?.list('?status=queued&status=running&limit=1'))?.jobs.length ?? 0;
}

async function allJobs(clients: Clients): Promise<RestJob[]> {
  return (await clients[1]?.list('?limit=500'))?.jobs ?? [];
}
