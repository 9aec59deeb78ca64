import fc from 'fast-check';
import { expect } from 'vitest';
import type { ManualClock } from '../../../../src/platform/clock.js';
import type { TestDatabase } from '../../../support/database.js';
import {
  type JobsClient,
  type Lease,
  RefusedError,
  type RestClaim,
  type RestJob,
} from '../../../support/jobs-client.js';
import { until } from '../../../support/until.js';
import * as rules from './job-model.js';
import type { JobModel, ModelLease } from './job-model.js';

/** The running service. */
export interface Real {
  readonly clock: ManualClock;
  readonly database: TestDatabase;
  readonly jobs: JobsClient;
}

type Command = fc.AsyncCommand<JobModel, Real>;

/** A command whose outcome is compared with the model's, and all jobs after it. */
function command(name: string, run: (model: JobModel, real: Real) => Promise<void>): Command {
  return {
    check: () => true,
    toString: () => name,
    async run(model, real) {
      await run(model, real);
      const { jobs } = await real.jobs.list('?limit=500');
      // By page, newest first, which is the order in which they were submitted turned round.
      expect(jobs).toEqual(model.jobs.map(rules.visible).toReversed());
    },
  };
}

/** The error word of a call, or its answer. */
async function outcome<T>(call: Promise<T>): Promise<T | string> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof RefusedError && error.status === 409) return error.body.error;
    throw error;
  }
}

const kinds = ['build', 'test'];

interface Submission {
  readonly kind: string;
  readonly payload: fc.JsonValue;
  readonly priority: number | undefined;
  readonly runInMs: number | undefined;
  readonly maxAttempts: number | undefined;
  readonly timeoutSec: number | undefined;
  readonly key: string | undefined;
}

const submit = fc
  .record<Submission>({
    kind: fc.constantFrom(...kinds),
    payload: fc.jsonValue({ maxDepth: 1 }),
    priority: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
    runInMs: fc.option(fc.constantFrom(-5000, 0, 1000, 3000), { nil: undefined, freq: 2 }),
    maxAttempts: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    timeoutSec: fc.option(fc.constantFrom(1, 2), { nil: undefined }),
    key: fc.constant(undefined),
  })
  .map(submitOnce);

/** Under few keys and alike but for one field at the most, so that repetitions and conflicts are common. */
const submitKeyed = fc
  .tuple(
    fc.constantFrom('one', 'two'),
    fc.constantFrom<Partial<Submission>>(
      ...[{}, {}, {}, { kind: 'test' }, { payload: 1 }, { priority: 2 }, { priority: 0 }],
      ...[{ runInMs: 1000 }, { maxAttempts: 3 }, { maxAttempts: 1 }, { timeoutSec: 1 }],
    ),
  )
  .map(([key, change]) => submitOnce({ ...plain, key, ...change }));

const plain: Submission = {
  kind: 'build',
  payload: null,
  priority: undefined,
  runInMs: undefined,
  maxAttempts: undefined,
  timeoutSec: undefined,
  key: undefined,
};

function submitOnce(input: Submission): Command {
  return command(`submit ${JSON.stringify(input)}`, async (model, { jobs }) => {
    const runAt = input.runInMs === undefined ? undefined : model.now + input.runInMs;
    const request = {
      kind: input.kind,
      payload: input.payload,
      ...(input.priority !== undefined && { priority: input.priority }),
      ...(runAt !== undefined && { run_at: new Date(runAt).toISOString() }),
      ...(input.maxAttempts !== undefined && { max_attempts: input.maxAttempts }),
      ...(input.timeoutSec !== undefined && { timeout_sec: input.timeoutSec }),
    };
    const { key } = input;
    const answer = await outcome(jobs.submit({ ...request, ...(key !== undefined && { idempotency_key: key }) }));
    // What is left out means its default, and so is the same request as the default spelled out.
    const meant = JSON.stringify({ max_attempts: 3, priority: 2, timeout_sec: null, run_at: null, ...request });
    const before = key === undefined ? undefined : model.keys.get(key);
    if (before !== undefined && sameRequest(before.request, meant)) {
      expect(answer).toEqual({ id: before.id, status: 'queued', kind: input.kind });
      return;
    }
    if (before !== undefined) return void expect(answer).toBe('conflict');
    const { id } = answer as RestJob;
    expect(answer).toEqual({ id, status: 'queued', kind: input.kind });
    if (key !== undefined) model.keys.set(key, { request: meant, id });
    model.jobs.push({
      id,
      kind: input.kind,
      // As it is after its way through JSON text: -0 is 0.
      payload: JSON.parse(JSON.stringify(input.payload)) as unknown,
      priority: input.priority ?? 2,
      maxAttempts: input.maxAttempts ?? 3,
      timeoutMs: input.timeoutSec === undefined ? undefined : input.timeoutSec * 1000,
      createdAt: model.now,
      status: 'queued',
      attempts: 0,
      runAt: runAt ?? model.now,
      startedAt: undefined,
      finishedAt: undefined,
      error: null,
      result: null,
      progress: null,
      token: undefined,
      leaseMs: 0,
      leaseEnds: 0,
    });
  });
}

function sameRequest(one: string, other: string): boolean {
  const sorted = (text: string): unknown[] => Object.entries(JSON.parse(text) as object).sort();
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
}

const claim = fc
  .record({
    kinds: fc.subarray(kinds, { minLength: 1 }),
    max: fc.integer({ min: 1, max: 3 }),
    leaseSec: fc.integer({ min: 1, max: 4 }),
  })
  .map((input) =>
    command(`claim ${JSON.stringify(input)}`, async (model, { jobs }) => {
      const expected = rules.claimable(model, input.kinds, input.max);
      const got: RestClaim[] = await jobs.claim({ kinds: input.kinds, max: input.max, lease_sec: input.leaseSec });
      expect(got.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
      // One token for all jobs of one claim, and never again.
      const before = model.leases.map((lease) => lease.token);
      got.forEach(({ lease_token: token, lease_expires_at: ends, ...job }, index) => {
        const claimed = expected[index];
        if (claimed === undefined) return;
        expect(before).not.toContain(token);
        rules.claim(model, claimed, token, input.leaseSec * 1000);
        expect({ ...job, ends: Date.parse(ends) }).toEqual({ ...rules.visible(claimed), ends: claimed.leaseEnds });
      });
    }),
  );

/** A report under some lease that was ever given out, most often the newest, which is likely to run still. */
function report(
  name: string,
  run: (model: JobModel, lease: ModelLease, send: Real['jobs']) => Promise<void>,
): fc.Arbitrary<Command> {
  return fc.constantFrom(0, 0, 0, 1, 1, 2, 3).map((back) => ({
    ...command(`${name} under lease -${back}`, async (model, real) => {
      const lease = model.leases.at(-1 - back);
      if (lease !== undefined) await run(model, lease, real.jobs);
    }),
    check: (model: Readonly<JobModel>) => model.leases.length > back,
  }));
}

const asLease = ({ job, token }: ModelLease) => ({ id: job.id, lease_token: token });

const heartbeat = fc.option(fc.jsonValue({ maxDepth: 0 }), { nil: undefined, freq: 3 }).chain((progress) =>
  report(`heartbeat ${JSON.stringify(progress)}`, async (model, lease, jobs) => {
    const answer = await outcome(jobs.heartbeat(asLease(lease), progress === undefined ? {} : { progress }));
    const verdict = rules.judge(lease, 'canceled');
    if (verdict === 'repeats') {
      expect(answer).toEqual({ cancel_requested: true, lease_expires_at: null });
    } else if (verdict === 'counts') {
      lease.job.leaseEnds = model.now + lease.job.leaseMs;
      if (progress !== undefined) lease.job.progress = JSON.parse(JSON.stringify(progress)) as unknown;
      const ends = new Date(lease.job.leaseEnds).toISOString();
      expect(answer).toEqual({ cancel_requested: false, lease_expires_at: ends });
    } else {
      expect(answer).toBe(verdict);
    }
  }),
);

const complete = fc.jsonValue({ maxDepth: 1 }).chain((result) =>
  report('complete', async (model, lease, jobs) => {
    const answer = await outcome(jobs.complete(asLease(lease), result));
    const verdict = rules.judge(lease, 'done');
    if (verdict === 'counts') {
      lease.job.result = JSON.parse(JSON.stringify(result)) as unknown;
      lease.job.error = null;
      rules.finish(model, lease.job, 'done');
    }
    if (verdict === 'counts' || verdict === 'repeats') expect(answer).toEqual(rules.visible(lease.job));
    else expect(answer).toBe(verdict);
  }),
);

const fail = fc.boolean().chain((retryable) =>
  report(`fail ${retryable ? 'retryable' : 'final'}`, async (model, lease, jobs) => {
    const error = { code: 'broken', message: 'It broke.' };
    const answer = await outcome(jobs.fail(asLease(lease), { error, retryable }));
    const verdict = rules.judge(lease, 'error');
    if (verdict === 'counts') rules.fail(model, lease.job, error, retryable);
    if (verdict === 'counts' || verdict === 'repeats') expect(answer).toEqual(rules.visible(lease.job));
    else expect(answer).toBe(verdict);
  }),
);

/** REST cannot release; `send` does, and answers the error word or the new status. */
export function releaseBy(send: (lease: Lease) => Promise<string>): fc.Arbitrary<Command> {
  return report('release', async (_model, lease) => {
    const answer = await send(asLease(lease));
    const verdict = rules.judge(lease, 'queued');
    if (verdict === 'counts') rules.release(lease.job);
    expect(answer).toBe(verdict === 'counts' ? 'queued' : verdict);
  });
}

const cancel = fc.nat({ max: 4 }).map((back) =>
  command(`cancel job -${back}`, async (model, { jobs }) => {
    const job = model.jobs.at(-1 - back);
    if (job === undefined) return;
    const answer = await outcome(jobs.cancel(job.id));
    if (job.status === 'done' || job.status === 'error') return void expect(answer).toBe('invalid_state');
    expect(answer).toEqual({ id: job.id, status: 'canceled' });
    if (job.status !== 'canceled') rules.finish(model, job, 'canceled');
  }),
);

const advance = fc.constantFrom(400, 1000, 1001, 3500).map((ms) =>
  command(`advance ${ms} ms`, async (model, { clock, database }) => {
    clock.advance(ms);
    rules.advance(model, ms);
    // The housekeeping has acted when nothing is left for it to do.
    await until('what is due and overdue has been seen to', async () => {
      const [row] = await database.query<{ left: string }>(
        `SELECT count(*) AS left FROM jobs WHERE state = 'scheduled' AND run_at <= $1 OR state = 'running'
          AND (lease_expires_at < $1 OR started_at + make_interval(secs => timeout_sec) < $1)`,
        [clock.now()],
      );
      return row?.left === '0';
    });
  }),
);

/** Weighted so that jobs get far. */
export const commands = [
  submit,
  claim,
  complete,
  advance,
  fail,
  heartbeat,
  submitKeyed,
  claim,
  cancel,
  heartbeat,
  advance,
];
