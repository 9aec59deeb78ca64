import type { AppError } from '../../errors.js';
import type { CompletedInput, FailInput, HeldInput } from './desk.js';
import type { ClaimedJob, JobStatus } from './jobs.js';
import type { Leased } from './store.js';
import type { StopReason } from './watcher.js';

/** What a worker says. */
export type WorkInput = { readonly start: WorkStart } | WorkReports;

/** They are checked one by one when they are filed, so that a bad one costs no other. */
export interface WorkReports {
  readonly completed: readonly CompletedInput[];
  readonly failed: readonly FailInput[];
  readonly held: readonly HeldInput[];
  readonly released: readonly Leased[];
  readonly capacity: number | undefined;
}

export interface WorkStart {
  readonly workerId: string;
  readonly kinds: readonly string[];
  readonly capacity: number;
  readonly leaseSec: number;
}

export interface JobOutcome {
  readonly id: string;
  readonly leaseToken: string;
  readonly status?: JobStatus;
  readonly error?: AppError;
  readonly leaseExpiresAt?: Date;
}

/** What the server says; several things that come together go in one message. */
export interface WorkOutput {
  readonly started?: { readonly leaseSec: number };
  readonly jobs: readonly ClaimedJob[];
  /** Ids of the jobs whose completions were stored. */
  readonly completed: readonly string[];
  readonly outcomes: readonly JobOutcome[];
  readonly stopped: readonly (Leased & { readonly reason: StopReason })[];
  readonly drain: boolean;
}
