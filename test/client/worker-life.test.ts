import { describe, expect, test } from 'vitest';
import { type JobContext, JobStatus, JobStopped, type Json, jsonOf, type WorkerEvent } from '../../src/client/index.js';
import { sharedTestApp } from '../support/shared-app.js';
import { until } from '../support/until.js';
import { jobIn, newKind, signal, submit, testClient, testWorker } from './support/worker.js';

const { DONE, ERROR, QUEUED, RUNNING } = JobStatus;
const app = sharedTestApp();

describe('a running job', () => {
  test('that is canceled aborts its signal at once, and its late result is of no interest', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const begun = signal<JobContext>();
    const end = signal();
    const { event, events } = testWorker({
      client,
      kinds: [kind],
      // No heartbeat is due for long: only the stream itself can tell.
      leaseSec: 3600,
      handler: async (_job, context) => {
        begun.give(context);
        await end.given;
        return 'late';
      },
    });
    const id = await submit(client, kind);
    const context = await begun.given;
    const aborted = new Promise((resolve) => context.signal.addEventListener('abort', resolve));
    await client.jobs.cancelJob({ id });
    await aborted;
    expect(context.signal.reason).toBeInstanceOf(JobStopped);
    expect((context.signal.reason as JobStopped).reason).toBe('canceled');
    await event('job_stopped', ({ job, reason }) => job.id === id && reason === 'canceled');

    // As long as the handler lingers, its place is taken, and others get what comes.
    const second = await submit(client, kind);
    const other = testWorker({ client, kinds: [kind], handler: () => 'by the other' });
    await other.event('job_ended', ({ job }) => job.id === second);
    await other.worker.stop();
    end.give();
    const third = await submit(client, kind);
    await event('job_ended', ({ job }) => job.id === third);
    const { job } = await client.jobs.getJob({ id });
    expect(job?.status).toBe(JobStatus.CANCELED);
    expect(events.filter(({ type }) => type === 'refused')).toEqual([]);
  });

  test('that takes too long is told so', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const id = await submit(client, kind, null, { timeoutSec: 1, maxAttempts: 1 });
    const { event } = testWorker({
      client,
      kinds: [kind],
      handler: (_job, { signal: stop }) =>
        new Promise((_, reject) => stop.addEventListener('abort', () => reject(stop.reason as Error))),
    });
    expect((await event('job_stopped')).reason).toBe('timeout');
    const job = await jobIn(client, id, ERROR);
    expect(job.error?.code).toBe('timeout');
  });

  test('keeps its lease for as long as it runs', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const end = signal();
    const { event, events } = testWorker({ client, kinds: [kind], leaseSec: 1, handler: () => end.given });
    const id = await submit(client, kind);
    await jobIn(client, id, RUNNING);
    // Three leases long.
    await app.current.database.query('SELECT pg_sleep(3)');
    end.give();
    await event('job_ended');
    expect((await jobIn(client, id, DONE)).attempts).toBe(1);
    expect(events.map(({ type }) => type)).toEqual(['connected', 'job_started', 'job_ended']);
  });

  test('tells its progress, by its latest value', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const end = signal();
    testWorker({
      client,
      kinds: [kind],
      handler: async (_job, { heartbeat }) => {
        for (let step = 1; step <= 1000; step += 1) heartbeat({ step });
        await end.given;
      },
    });
    const id = await submit(client, kind);
    const seen: Json[] = [];
    for await (const { job } of client.jobs.watchJob({ id })) {
      if (job?.progress !== undefined) seen.push(jsonOf(job.progress));
      if (seen.some((progress) => (progress as { step: number }).step === 1000)) end.give();
    }
    expect(seen.at(-1)).toEqual({ step: 1000 });
    expect(seen.length).toBeLessThan(10);
  });

  test('whose progress is refused keeps its lease and can still be done', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const thrown: unknown[] = [];
    const end = signal();
    const { event } = testWorker({
      client,
      kinds: [kind],
      // The next heartbeat by itself is far off.
      leaseSec: 3600,
      handler: async (_job, { heartbeat }) => {
        try {
          heartbeat(1n);
        } catch (error) {
          thrown.push(error);
        }
        heartbeat('x'.repeat(100_000));
        await end.given;
      },
    });
    const id = await submit(client, kind);
    expect(await event('refused')).toMatchObject({ word: 'too_large' });
    expect(thrown).toMatchObject([{ kind: 'invalid_request', message: expect.stringContaining('is no JSON') }]);
    await until('the lease was renewed without it', async () => {
      const [row] = await app.current.database.query<{ renewed: boolean }>(
        `SELECT lease_expires_at > started_at + interval '3600 s' AS renewed FROM jobs WHERE id = $1`,
        [id],
      );
      return row?.renewed;
    });
    end.give();
    expect((await jobIn(client, id, DONE, ERROR)).status).toBe(DONE);
  });
});

describe('a worker', () => {
  test('runs as many handlers at a time as it may, and no more', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const ids = await Promise.all(Array.from({ length: 20 }, () => submit(client, kind)));
    let running = 0;
    let most = 0;
    const full = signal();
    testWorker({
      client,
      kinds: [kind],
      concurrency: 3,
      prefetch: 5,
      async handler() {
        running += 1;
        most = Math.max(most, running);
        if (running === 3) full.give();
        await full.given;
        // A turn of the loop, for others to begin wrongly.
        await new Promise(setImmediate);
        running -= 1;
      },
    });
    await Promise.all(ids.map((id) => jobIn(client, id, DONE)));
    expect(most).toBe(3);
  });

  test('holds no more jobs than it has room for', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const ids = await Promise.all(Array.from({ length: 20 }, () => submit(client, kind)));
    const end = signal();
    const { event } = testWorker({ client, kinds: [kind], concurrency: 2, prefetch: 3, handler: () => end.given });
    await event('job_started');
    const { jobs } = await client.jobs.listJobs({ kind: [kind], status: [RUNNING] });
    expect(jobs.length).toBeLessThanOrEqual(5);
    end.give();
    await Promise.all(ids.map((id) => jobIn(client, id, DONE)));
  });

  test('does thousands of jobs that end at once', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const count = 3000;
    await Promise.all(Array.from({ length: count }, (_, n) => submit(client, kind, n)));
    const seen = new Set<Json>();
    const { events, worker } = testWorker({
      client,
      kinds: [kind],
      concurrency: 16,
      prefetch: 500,
      handler: (job) => {
        seen.add(job.payload);
        if (seen.size === count) all.give();
      },
    });
    const all = signal();
    await all.given;
    await worker.stop();
    expect(events.filter(({ type }) => type === 'job_ended')).toHaveLength(count);
    const left = await client.jobs.listJobs({ kind: [kind], status: [QUEUED, RUNNING, ERROR] });
    expect(left.jobs).toEqual([]);
    expect(starts(events)).toBe(count);
  });

  test('that stops gives back what has not begun and lets the rest end', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const ids = await Promise.all(Array.from({ length: 6 }, () => submit(client, kind)));
    const begun: string[] = [];
    const full = signal();
    const end = signal();
    const { worker, events } = testWorker({
      client,
      kinds: [kind],
      concurrency: 2,
      prefetch: 4,
      handler: (job, context) => {
        begun.push(job.id);
        if (begun.length === 2) full.give();
        const toldToStop = new Promise((_, reject) => {
          context.signal.addEventListener('abort', () => reject(new Error('too early')));
        });
        return Promise.race([end.given, toldToStop]);
      },
    });
    await full.given;
    await Promise.all(ids.map((id) => jobIn(client, id, RUNNING)));
    const stopped = worker.stop();
    const rest = ids.filter((id) => !begun.includes(id));
    const given = await Promise.all(rest.map((id) => jobIn(client, id, QUEUED)));
    expect(given.map(({ attempts }) => attempts)).toEqual([0, 0, 0, 0]);
    end.give();
    await stopped;
    await worker.finished;
    const { jobs } = await client.jobs.listJobs({ kind: [kind] });
    expect(
      jobs
        .filter(({ status }) => status === DONE)
        .map(({ id }) => id)
        .sort(),
    ).toEqual(begun.toSorted());
    expect(begun).toHaveLength(2);
    expect(events.filter(({ type }) => type === 'job_released')).toHaveLength(4);
  });

  test('whose jobs do not end in time tells them to, and reports them to be run again', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const begun = signal();
    const { worker, event } = testWorker({
      client,
      kinds: [kind],
      handler: (_job, { signal: stop }) => {
        begun.give();
        return new Promise((_, reject) => stop.addEventListener('abort', () => reject(new Error('killed'))));
      },
    });
    const id = await submit(client, kind);
    await begun.given;
    const patient = worker.stop({ graceMs: Infinity });
    await worker.stop({ graceMs: 0 });
    await patient;
    expect(await event('job_ended')).toMatchObject({ status: 'queued', failure: { code: 'worker_stopped' } });
    const { job } = await client.jobs.getJob({ id });
    expect(job?.error?.code).toBe('worker_stopped');
    expect(job?.attempts).toBe(1);
  });

  test('that the server refuses ends for good', async () => {
    const client = testClient(app.current.url);
    const { worker, events } = testWorker({ client, kinds: ['no kind'], handler: () => undefined });
    await expect(worker.finished).rejects.toThrow('kinds[0]: must be 1 to 128 letters');
    expect(events).toEqual([]);
    await worker.stop();
  });

  const wrong = [
    { options: { concurrency: 0 }, message: 'concurrency: must be between 1 and 5000' },
    { options: { concurrency: 1.5 }, message: 'concurrency: must be between 1 and 5000' },
    { options: { prefetch: -1 }, message: 'prefetch: must be between 0 and 5000' },
    { options: { concurrency: 1, prefetch: 5000 }, message: 'concurrency + prefetch: must be between 1 and 5000' },
    { options: { url: 'nowhere' }, message: "url: 'nowhere' is no URL" },
  ];
  test.each(wrong)('names a wrong option: $message', ({ options, message }) => {
    expect(() => testWorker({ kinds: ['a'], handler: () => undefined, ...options })).toThrow(message);
  });
});

function starts(events: readonly WorkerEvent[]): number {
  return events.filter(({ type }) => type === 'job_started').length;
}
