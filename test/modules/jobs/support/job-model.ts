import type { RestJob } from '../../../support/jobs-client.js';

/** One lease that was given out, ended ones included. */
export interface ModelLease {
  readonly job: ModelJob;
  readonly token: string;
}

/** A job as it should be. Times are epoch milliseconds. */
export interface ModelJob {
  readonly id: string;
  readonly kind: string;
  readonly priority: number;
  readonly maxAttempts: number;
  readonly timeoutMs: number | undefined;
  readonly payload: unknown;
  readonly createdAt: number;
  status: RestJob['status'];
  attempts: number;
  runAt: number;
  startedAt: number | undefined;
  finishedAt: number | undefined;
  error: { code: string; message: string } | null;
  result: unknown;
  progress: unknown;
  /** The lease that reports must carry: of a running job, or the one under which it ended. */
  token: string | undefined;
  leaseMs: number;
  leaseEnds: number;
}

/** The rules of domain.md, section 14, told once more in the plainest way. */
export interface JobModel {
  now: number;
  readonly jobs: ModelJob[];
  readonly leases: ModelLease[];
  /** What each idempotency key was used for. */
  readonly keys: Map<string, { readonly request: string; readonly id: string }>;
}

export const createModel = (now: number): JobModel => ({ now, jobs: [], leases: [], keys: new Map() });

/** With a random of 0.5 a quarter of the full backoff is taken off. */
export const random = 0.5;
const backoff = (attempts: number): number => Math.min(600_000, 1000 * 2 ** (attempts - 1)) * 0.75;

/** Which jobs a claim gets, in order. */
export function claimable(model: JobModel, kinds: readonly string[], max: number): ModelJob[] {
  return model.jobs
    .filter((job) => job.status === 'queued' && job.runAt <= model.now && kinds.includes(job.kind))
    .sort((a, b) => a.priority - b.priority || a.runAt - b.runAt || (a.id < b.id ? -1 : 1))
    .slice(0, max);
}

export function claim(model: JobModel, job: ModelJob, token: string, leaseMs: number): void {
  job.status = 'running';
  job.attempts += 1;
  job.token = token;
  job.leaseMs = leaseMs;
  job.leaseEnds = model.now + leaseMs;
  job.startedAt = model.now;
  job.progress = null;
  model.leases.push({ job, token });
}

/** How a report under a lease is taken: it counts, it repeats what has been, or it is refused. */
export function judge({ job, token }: ModelLease, ends: RestJob['status']): string {
  if (job.token !== token) return 'lease_lost';
  if (job.status === 'running') return 'counts';
  return job.status === ends ? 'repeats' : 'invalid_state';
}

export function finish(model: JobModel, job: ModelJob, status: 'done' | 'error' | 'canceled'): void {
  job.status = status;
  job.finishedAt = model.now;
}

/** Another attempt after `waitMs` while there are attempts left. */
function again(model: JobModel, job: ModelJob, waitMs: number): void {
  if (job.attempts >= job.maxAttempts) return finish(model, job, 'error');
  job.status = 'queued';
  job.runAt = model.now + waitMs;
  job.token = undefined;
}

export function fail(model: JobModel, job: ModelJob, error: { code: string; message: string }, retryable: boolean) {
  job.error = error;
  if (retryable) again(model, job, backoff(job.attempts));
  else finish(model, job, 'error');
}

/** As if it had not been claimed. */
export function release(job: ModelJob): void {
  job.status = 'queued';
  job.attempts -= 1;
  job.startedAt = undefined;
  job.token = undefined;
}

/** Time passes: leases and attempts run out. */
export function advance(model: JobModel, ms: number): void {
  model.now += ms;
  for (const job of model.jobs) {
    if (job.status !== 'running') continue;
    if (job.leaseEnds < model.now) {
      job.error = { code: 'lease_expired', message: 'The worker did not renew its lease.' };
      again(model, job, 0);
    } else if (job.timeoutMs !== undefined && (job.startedAt ?? 0) + job.timeoutMs < model.now) {
      job.error = { code: 'timeout', message: `The attempt took longer than ${job.timeoutMs / 1000} s.` };
      again(model, job, backoff(job.attempts));
    }
  }
}

/** The job as REST should print it. */
export function visible(job: ModelJob): RestJob {
  const time = (ms: number): string => new Date(ms).toISOString();
  return {
    id: job.id,
    kind: job.kind,
    status: job.status,
    payload: job.payload,
    result: job.result,
    error: job.error,
    priority: job.priority,
    attempts: job.attempts,
    max_attempts: job.maxAttempts,
    run_at: time(job.runAt),
    timeout_sec: job.timeoutMs === undefined ? null : job.timeoutMs / 1000,
    created_at: time(job.createdAt),
    started_at: job.startedAt === undefined ? null : time(job.startedAt),
    finished_at: job.finishedAt === undefined ? null : time(job.finishedAt),
    progress: job.progress,
  };
}
