import { describe, expect, test } from 'vitest';
import { type Json, JobFailure, JobStatus, jsonOf, type WorkerJob } from '../../src/client/index.js';
import { sharedTestApp } from '../support/shared-app.js';
import { jobIn, newKind, submit, testClient, testWorker } from './support/worker.js';

const { DONE, ERROR, QUEUED } = JobStatus;
const app = sharedTestApp();

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
    { name: 'too deep', result: () => nested(129), message: /^result_json: may be 128 levels deep$/ },
    {
      name: 'over 1 MiB, as the server says',
      result: () => 'x'.repeat(1024 * 1024),
      message: /^result_json: has 1048578 bytes/,
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

function nested(levels: number): Json {
  let value: Json = [];
  for (let level = 1; level < levels; level += 1) value = [value];
  return value;
}
