import type { Failure, StopReason, WorkerJob } from './job.js';

/** What a worker tells of a job's end. */
export type Report =
  | { readonly kind: 'completed'; readonly result: string }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'released' };

/** A job in this worker's hands. */
export interface HeldJob {
  readonly job: WorkerJob;
  readonly leaseToken: string;
  /** Counts up with each connection: the server sees only those jobs that it sent on the present one. */
  readonly connection: number;
  /**
   *   waiting > running > reporting > over
   *   waiting > reporting (given back) > over
   *   any > over (stopped, or the lease is lost)
   */
  phase: 'waiting' | 'running' | 'reporting' | 'over';
  /** By performance.now(). */
  leaseEndsAt: number;
  startedAt: number;
  endedAt: number;
  /** What has been sent and not been answered. One question a job at a time, so that an answer needs no label. */
  question: 'none' | 'heartbeat' | 'progress' | 'report';
  askedAt: number;
  /** Progress that has not been sent, as JSON text; the empty one is none. */
  progress: string | undefined;
  report: Report | undefined;
  controller: AbortController | undefined;
}

/** What happens to a worker and its jobs, for logs and for people. Durations are in milliseconds. */
export type WorkerEvent =
  | { readonly type: 'connected' }
  | { readonly type: 'draining' }
  | { readonly type: 'disconnected'; readonly error: unknown; readonly retryInMs: number }
  | { readonly type: 'job_started'; readonly job: WorkerJob }
  /** The server has taken the report; `status` is the job's state now: done, queued (another attempt) or error. */
  | {
      readonly type: 'job_ended';
      readonly job: WorkerJob;
      readonly status: string;
      readonly failure: Failure | undefined;
      readonly ms: number;
    }
  | { readonly type: 'job_stopped'; readonly job: WorkerJob; readonly reason: StopReason; readonly ms: number }
  | { readonly type: 'job_released'; readonly job: WorkerJob }
  /** The server did not take a report or a heartbeat. */
  | { readonly type: 'refused'; readonly job: WorkerJob; readonly word: string; readonly message: string };

/** Must not throw. */
export type WorkerLog = (event: WorkerEvent) => void;
