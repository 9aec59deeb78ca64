import { JobService } from '../../../gen/muster/v1/jobs_pb.js';
import { AppError } from '../../errors.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { Call } from '../../platform/rpc/call.js';
import { errorInfo } from '../../platform/rpc/connect-error.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { originOf } from '../events/index.js';
import type { CompletedInput, CompleteInput, FailInput, HeartbeatInput, HeldInput } from './desk.js';
import { checkInteger, type ClaimedJob, type Job, type SubmitInput } from './jobs.js';
import type { Renewal } from './reports.js';
import { type ClaimInput, claimRequest, type Jobs, type ListInput } from './service.js';
import type { Leased } from './store.js';
import type { WorkInput, WorkOutput } from './work-messages.js';

/** JobService on the wire. Inputs are what the codec made of the messages of jobs.proto. */
export function createJobRpc(jobs: Jobs): Service {
  return service(JobService, {
    createJob: (input: SubmitInput, call: Call) => jobs.submit(input, originOf(call), call.keep),
    getJob: async ({ id }: { id: string }) => ({ job: await jobs.get(id) }),
    listJobs: (input: ListInput) => jobs.list(input),
    cancelJob: ({ id }: { id: string }, call: Call) => jobs.cancel(id, originOf(call), call.keep),
    claimJobs: (input: ClaimInput, call: Call) =>
      keeping(call, claimedJobs, (keep) => jobs.claim(input, originOf(call), call.signal, keep)),
    heartbeatJob: (input: HeartbeatInput, call: Call) => keeping(call, renewed, (keep) => jobs.heartbeat(input, keep)),
    completeJob: (input: CompleteInput, call: Call) =>
      keeping(call, ended, (keep) => jobs.complete(input, originOf(call), keep)),
    failJob: (input: FailInput, call: Call) => keeping(call, ended, (keep) => jobs.fail(input, originOf(call), keep)),
    async *work(inputs: AsyncIterable<WorkMessage>, call: Call) {
      for await (const output of jobs.work(checked(inputs), originOf(call), call.signal))
        yield onWire(output, call.correlationId);
    },
    async *watchJob({ id }: { id: string }, call: Call) {
      for await (const job of jobs.watch(id, call.signal)) yield { job };
    },
  });
}

function claimedJobs(jobs: readonly ClaimedJob[]) {
  return { jobs };
}

function renewed(renewal: Renewal) {
  if ('canceled' in renewal) return { cancelRequested: true };
  return { cancelRequested: false, leaseExpiresAt: renewal.leaseExpiresAt };
}

function ended(job: Job) {
  return { job };
}

interface WorkMessage {
  readonly start?: Omit<ClaimInput, 'max' | 'waitSec'> & { readonly capacity: number };
  readonly update?: {
    readonly completed: readonly CompletedInput[];
    readonly failed: readonly FailInput[];
    readonly held: readonly HeldInput[];
    readonly released: readonly Leased[];
    readonly capacity?: number;
  };
}

async function* checked(inputs: AsyncIterable<WorkMessage>): AsyncIterable<WorkInput> {
  for await (const { start, update } of inputs) {
    if (start !== undefined) {
      const { workerId, kinds, leaseSec } = claimRequest(start);
      yield { start: { workerId, kinds, leaseSec, capacity: checkCapacity(start.capacity) } };
    } else if (update !== undefined) {
      yield { ...update, capacity: update.capacity === undefined ? undefined : checkCapacity(update.capacity) };
    } else {
      throw new AppError('invalid_request', 'message: must be start or update');
    }
  }
}

function checkCapacity(capacity: number): number {
  return checkInteger('capacity', capacity, 0, 5000);
}

function onWire(output: WorkOutput, correlationId: string) {
  return {
    ...output,
    jobs: output.jobs.map(workJob),
    outcomes: output.outcomes.map((outcome) =>
      outcome.error === undefined ? outcome : { ...outcome, error: errorInfo(outcome.error, correlationId) },
    ),
  };
}

function workJob(job: ClaimedJob) {
  const { id, kind, payload, error, priority, attempts, maxAttempts, timeoutSec, createdAt, leaseToken } = job;
  const payloadJson = payload.text;
  return { id, kind, payloadJson, error, priority, attempts, maxAttempts, timeoutSec, createdAt, leaseToken };
}
