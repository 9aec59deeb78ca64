import { inspect } from 'node:util';
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { WorkJob } from '../../gen/muster/v1/jobs_pb.js';
import type { Json } from '../platform/json.js';

/** A job as its handler sees it. */
export interface WorkerJob {
  readonly id: string;
  readonly kind: string;
  readonly payload: Json;
  /** 0 urgent, 1 high, 2 normal, 3 low. */
  readonly priority: number;
  /** Which attempt this is; 1 for the first. */
  readonly attempts: number;
  readonly maxAttempts: number;
  /** How long the attempt may take, in seconds from its claim; the server enforces it. */
  readonly timeoutSec: number | undefined;
  /** Why the attempt before this one failed. */
  readonly previousError: { readonly code: string; readonly message: string } | undefined;
  readonly createdAt: Date;
}

export function workerJobOf(claimed: WorkJob): WorkerJob {
  const { error } = claimed;
  return {
    id: claimed.id,
    kind: claimed.kind,
    payload: JSON.parse(claimed.payloadJson) as Json,
    priority: claimed.priority,
    attempts: claimed.attempts,
    maxAttempts: claimed.maxAttempts,
    timeoutSec: claimed.timeoutSec,
    previousError: error && { code: error.code, message: error.message },
    createdAt: dateOf(claimed.createdAt),
  };
}

function dateOf(timestamp: Timestamp | undefined): Date {
  return new Date(Number(timestamp?.seconds ?? 0n) * 1000 + (timestamp?.nanos ?? 0) / 1e6);
}

/** Why a handler has to stop; the reason of its signal's abort. */
export type StopReason = 'canceled' | 'timeout' | 'lease_lost' | 'worker_stopped';

const stopTexts: Readonly<Record<StopReason, string>> = {
  canceled: 'The job was canceled.',
  timeout: 'The attempt took longer than it may.',
  lease_lost: 'The lease on the job has ended; somebody else may have it.',
  worker_stopped: 'The worker was told to stop before the job had ended.',
};

/** The reason with which a handler's signal aborts. */
export class JobStopped extends Error {
  override readonly name = 'JobStopped';
  readonly reason: StopReason;

  constructor(reason: StopReason) {
    super(stopTexts[reason]);
    this.reason = reason;
  }
}

/** What goes with a failed attempt. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** Thrown by a handler that wants to say how its job failed. Everything else it throws is `handler_error`, retryable. */
export class JobFailure extends Error implements Failure {
  override readonly name = 'JobFailure';
  /** A short word of the handler's own: letters, digits and `_ . : / -`, 1 to 128 characters. */
  readonly code: string;
  /** Whether another attempt could succeed. */
  readonly retryable: boolean;

  constructor(code: string, message: string, options: { readonly retryable?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

const codes = /^[A-Za-z0-9_.:/-]{1,128}$/;
const maxMessage = 16 * 1024;

/** What is reported for something a handler threw. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof JobFailure && codes.test(thrown.code)) {
    return { code: thrown.code, message: cut(thrown.message), retryable: thrown.retryable };
  }
  const message = thrown instanceof Error ? thrown.message || thrown.name : inspect(thrown);
  return { code: 'handler_error', message: cut(message), retryable: true };
}

function cut(message: string): string {
  return message.length > maxMessage ? message.slice(0, maxMessage) : message;
}
