import { describe, expect, test } from 'vitest';
import {
  type Json,
  JobFailure,
  JobStatus,
  JobStopped,
  type JobContext,
  type MusterClient,
  type WorkerEvent,
  type WorkerJob,
  jsonOf,
  valueOf,
} from '../../src/client/index.js';
import { sharedTestApp } from '../support/shared-app.js';
import { until } from '../support/until.js';
import { jobIn, signal, testClient, testWorker } from './support/worker.js';

const { DONE, ERROR, QUEUED, RUNNING } = JobStatus;
const app = sharedTestApp();

/** Each test has kinds of its own on the shared server. */
let kinds = 0;
function newKind(): string {
  kinds += 1;
  return `kind-${kinds}`;
}

async function submit(client: MusterClient, kind: string, payload: Json = null, more: object = {}): Promise<string> {
  const { id } = await client.jobs.createJob({ kind, payload: valueOf(payload), ...more });
  return id;
}

describe('a job', () => {
  const values: readonly Json[] = [
    null,
    true,
    0,
    -1.5e300,
    '',
    'späße 🚀 \u0000 \u2028',
    [],
    {},
    [null, [1, [2]], { a: [] }],
    { __proto__: null, 'a.b': { c: 'd' }, constructor: 1 },
  ];
  test.each(values.map((value) => ({ text: JSON.stringify(value), value })))(
    'brings its payload and takes its result: $text',
    async ({ value }) => {
      const client = testClient(app.current.url);
      const kind = newKind();
      const id = await submit(client, kind, value);
      const seen: Json[] = [];
      testWorker({
        client,
        kinds: [kind],
        handler: (job) => {
          seen.push(job.payload);
          return { got: job.payload };
        },
      });
      const job = await jobIn(client, id, DONE, ERROR);
      expect(seen).toEqual([value]);
      expect(job.result && jsonOf(job.result)).toEqual({ got: value });
    },
  );

  test('tells its handler what it is', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const id = await submit(client, kind, 1, { priority: 1, maxAttempts: 2, timeoutSec: 60 });
    const jobs: WorkerJob[] = [];
    testWorker({
      client,
      kinds: [kind],
      handler(job) {
        jobs.push(job);
        if (job.attempts === 1) throw new JobFailure('not_yet', 'Come again.', { retryable: true });
      },
    });
    await jobIn(client, id, DONE);
    const facts = { id, kind, payload: 1, priority: 1, maxAttempts: 2, timeoutSec: 60, createdAt: expect.any(Date) };
    expect(jobs).toEqual([
      { ...facts, attempts: 1, previousError: undefined },
      { ...facts, attempts: 2, previousError: { code: 'not_yet', message: 'Come again.' } },
    ]);
  });

  test('without a result is done with null', async () => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const id = await submit(client, kind);
    testWorker({ client, kinds: [kind], handler: async () => undefined });
    const job = await jobIn(client, id, DONE, ERROR);
    expect([job.status, job.result && jsonOf(job.result)]).toEqual([DONE, null]);
  });
});

describe('a handler that fails', () => {
  const failures = [
    {
      name: 'with an error of its own: handler_error, retryable',
      throws: () => new TypeError('no such thing'),
      error: { code: 'handler_error', message: 'no such thing' },
      status: QUEUED,
    },
    {
      name: 'with no Error at all: the same',
      throws: () => ({ odd: true }),
      error: { code: 'handler_error', message: '{ odd: true }' },
      status: QUEUED,
    },
    {
      name: 'for good: its code, not retryable',
      throws: () => new JobFailure('bad_input', 'This will never do.'),
      error: { code: 'bad_input', message: 'This will never do.' },
      status: ERROR,
    },
    {
      name: 'with a code that is none: handler_error',
      throws: () => new JobFailure('no code', 'Spaces.'),
      error: { code: 'handler_error', message: 'Spaces.' },
      status: QUEUED,
    },
    {
      name: 'with more to say than is kept',
      throws: () => new JobFailure('long', 'x'.repeat(100_000)),
      error: { code: 'long', message: 'x'.repeat(16 * 1024) },
      status: ERROR,
    },
  ];
  test.each(failures)('$name', async ({ throws, error, status }) => {
    const client = testClient(app.current.url);
    const kind = newKind();
    // The next attempt is far off, so that the state after this one can be seen.
    const id = await submit(client, kind);
    const { event, worker } = testWorker({
      client,
      kinds: [kind],
      async handler() {
        throw throws();
      },
    });
    const ended = await event('job_ended');
    await worker.stop();
    expect(ended.status).toBe(status === ERROR ? 'error' : 'queued');
    const { job } = await client.jobs.getJob({ id });
    expect(job?.error).toMatchObject(error);
    expect(job?.status).toBe(status);
  });

  const unfit = [
    { name: 'no JSON', result: () => 1n, message: /^result: is no JSON: .*BigInt/ },
    { name: 'a function', result: () => () => 1, message: /^result: is no JSON: a function$/ },
    { name: 'too deep', result: () => nested(129), message: /^result: may be 128 levels deep$/ },
    {
      name: 'over 1 MiB, as the server says',
      result: () => 'x'.repeat(1024 * 1024),
      message: /^result: has 1048578 bytes/,
    },
    {
      name: 'too large to be sent',
      result: () => 'x'.repeat(5 * 1024 * 1024),
      message: /^result: has 5242882 characters/,
    },
  ];
  test.each(unfit)('result that is $name: invalid_result, not tried again', async ({ result, message }) => {
    const client = testClient(app.current.url);
    const kind = newKind();
    const id = await submit(client, kind);
    testWorker({ client, kinds: [kind], handler: () => result() });
    const job = await jobIn(client, id, DONE, ERROR);
    expect(job.error).toMatchObject({ code: 'invalid_result', message: expect.stringMatching(message) });
    expect(job.attempts).toBe(1);
  });
});

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

function nested(levels: number): Json {
  let value: Json = [];
  for (let level = 1; level < levels; level += 1) value = [value];
  return value;
}
