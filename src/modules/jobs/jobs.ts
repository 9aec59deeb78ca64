import { createHash } from 'node:crypto';
import { AppError, invalidField, messageOf } from '../../errors.js';
import { faultOfJson, type Json, jsonDepth, type JsonText } from '../../platform/json.js';

/** A job's status on the wire. The store knows `scheduled` besides: queued, but not before run_at. */
export const jobStatuses = ['queued', 'running', 'done', 'error', 'canceled'] as const;
export type JobStatus = (typeof jobStatuses)[number];
export type JobState = JobStatus | 'scheduled';

export interface JobError {
  readonly code: string;
  readonly message: string;
}

export interface Job {
  readonly id: string;
  readonly kind: string;
  readonly status: JobStatus;
  readonly payload: JsonText;
  readonly result: JsonText | undefined;
  readonly error: JobError | undefined;
  readonly priority: number;
  readonly attempts: number;
  readonly maxAttempts: number;
  readonly runAt: Date;
  readonly timeoutSec: number | undefined;
  readonly createdAt: Date;
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  readonly progress: JsonText | undefined;
}

/** A job in a worker's hands; the token fences its lease. */
export interface ClaimedJob extends Job {
  readonly leaseToken: string;
  readonly leaseExpiresAt: Date;
}

export interface SubmitInput {
  readonly kind: string;
  readonly payload?: Json | undefined;
  readonly priority?: number | null | undefined;
  readonly runAt?: Date | null | undefined;
  readonly maxAttempts?: number | null | undefined;
  readonly timeoutSec?: number | null | undefined;
  readonly idempotencyKey?: string | null | undefined;
}

/** A job that may be stored. */
export interface NewJob {
  readonly kind: string;
  readonly state: 'queued' | 'scheduled';
  readonly payload: string;
  readonly priority: number;
  readonly runAt: Date;
  readonly maxAttempts: number;
  readonly timeoutSec: number | undefined;
  readonly idempotencyKey: string | undefined;
  /** Of everything the caller sent, to tell a repeated request from another one under the same key. */
  readonly requestHash: Buffer | undefined;
}

export const limits = {
  payloadBytes: 1024 * 1024,
  progressBytes: 64 * 1024,
  errorBytes: 16 * 1024,
  jsonDepth: 128,
} as const;

const names = /^[A-Za-z0-9_.:/-]{1,128}$/;

/** Jobs of such kinds are the server's own: nobody else submits, claims or cancels them. */
const ownKinds = /^muster\./;

/** Throws `invalid_request` naming the field. */
export function checkKind(field: string, kind: string): void {
  checkName(field, kind);
  if (ownKinds.test(kind)) throw invalidField(field, "may not begin with 'muster.': such jobs are the server's own");
}

/** Throws `forbidden` for a job that is the server's own. */
export function checkNotOwn({ id, kind }: Pick<Job, 'id' | 'kind'>): void {
  if (!ownKinds.test(kind)) return;
  throw new AppError('forbidden', `${id} is a job of the server's own, which ends with what it is for.`, {
    details: { rule: 'own_jobs', kind },
  });
}

export function isTerminal(status: JobState): boolean {
  return status === 'done' || status === 'error' || status === 'canceled';
}

export function statusOf(state: JobState): JobStatus {
  return state === 'scheduled' ? 'queued' : state;
}

/** Throws `invalid_request` or `too_large`, naming the field. */
export function newJob(input: SubmitInput, now: Date): NewJob {
  checkKind('kind', input.kind);
  const payload = jsonText('payload', input.payload ?? null, limits.payloadBytes);
  const key = input.idempotencyKey ?? undefined;
  if (key !== undefined && !/^[\x20-\x7e]{1,255}$/.test(key)) {
    throw invalidField('idempotency_key', 'must be 1 to 255 printable ASCII characters');
  }
  const { kind } = input;
  const priority = checkInteger('priority', input.priority ?? 2, 0, 3);
  const maxAttempts = checkInteger('max_attempts', input.maxAttempts ?? 3, 1, 100);
  const timeoutSec =
    input.timeoutSec === undefined || input.timeoutSec === null
      ? undefined
      : checkInteger('timeout_sec', input.timeoutSec, 1, 604_800);
  const runAt = input.runAt ?? now;
  const asked = (): unknown => [
    { kind, payload, priority, maxAttempts, timeoutSec },
    input.runAt?.toISOString() ?? null,
  ];
  // Field by field: to spread an object and add to it takes V8 some microseconds.
  return {
    kind,
    payload,
    priority,
    maxAttempts,
    timeoutSec,
    runAt,
    state: runAt.getTime() > now.getTime() ? 'scheduled' : 'queued',
    idempotencyKey: key,
    requestHash: key === undefined ? undefined : hashOf(asked()),
  };
}

function hashOf(request: unknown): Buffer {
  return createHash('sha256').update(JSON.stringify(request)).digest();
}

export function checkName(field: string, text: string): void {
  if (text === '') throw invalidField(field, 'is required');
  if (!names.test(text)) throw invalidField(field, 'must be 1 to 128 letters, digits or _ . : / -');
}

export function checkInteger(field: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw invalidField(field, `must be between ${min} and ${max}`);
  }
  return value;
}

/** Compact JSON text. Throws `too_large` or `invalid_request` naming the field. */
export function jsonText(field: string, json: Json, maxBytes: number): string {
  if (jsonDepth(json, limits.jsonDepth + 1) > limits.jsonDepth) {
    throw invalidField(field, `may be ${limits.jsonDepth} levels deep`);
  }
  const text = JSON.stringify(json);
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) {
    throw new AppError('too_large', `${field}: has ${bytes} bytes of JSON; ${maxBytes} are allowed`, {
      details: { field, bytes, max_bytes: maxBytes },
    });
  }
  return text;
}

/** The same for JSON that came as text. */
export function checkedJsonText(field: string, text: string, maxBytes: number): string {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw invalidField(field, `is no JSON: ${messageOf(error)}`);
  }
  const fault = faultOfJson(json);
  if (fault !== undefined) throw invalidField(field, fault);
  return jsonText(field, json as Json, maxBytes);
}

/** A worker's error as it is kept; what is too long is cut. */
export function jobError(error: Partial<JobError> | null | undefined): JobError {
  const code = error?.code ?? '';
  if (code === '') throw invalidField('error.code', 'is required');
  checkName('error.code', code);
  const message = (error?.message ?? '').replaceAll('\0', '\uFFFD');
  return { code, message: cutBytes(message, limits.errorBytes) };
}

function cutBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return bytes.toString();
  let end = maxBytes;
  // Not in the middle of a character.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end).toString();
}

/** What becomes of a running job whose attempt has failed. */
export type AfterFailure =
  | { readonly state: 'scheduled'; readonly runAt: Date; readonly error: JobError }
  | { readonly state: 'queued'; readonly runAt: Date; readonly error: JobError }
  | { readonly state: 'error'; readonly error: JobError };

interface Attempted {
  readonly attempts: number;
  readonly maxAttempts: number;
}

/** `random` is in [0, 1). */
export function afterFailure(
  job: Attempted,
  error: JobError,
  retryable: boolean,
  now: Date,
  random: number,
): AfterFailure {
  if (!retryable || job.attempts >= job.maxAttempts) return { state: 'error', error };
  return { state: 'scheduled', runAt: new Date(now.getTime() + backoffMs(job.attempts, random)), error };
}

/** A lost lease is nobody's verdict on the job, so it goes back at once. */
export function afterLostLease(job: Attempted, now: Date): AfterFailure {
  const error = { code: 'lease_expired', message: 'The worker did not renew its lease.' };
  if (job.attempts >= job.maxAttempts) return { state: 'error', error };
  return { state: 'queued', runAt: now, error };
}

export function afterTimeout(job: Attempted & { timeoutSec: number }, now: Date, random: number): AfterFailure {
  const error = { code: 'timeout', message: `The attempt took longer than ${job.timeoutSec} s.` };
  return afterFailure(job, error, true, now, random);
}

const firstBackoffMs = 1000;
const maxBackoffMs = 10 * 60 * 1000;

/** Doubles with each attempt from 1 s up to 10 min; jitter takes up to half of it off, so that retries spread out. */
export function backoffMs(attempts: number, random: number): number {
  const full = Math.min(maxBackoffMs, firstBackoffMs * 2 ** (attempts - 1));
  return Math.round(full * (1 - random / 2));
}

/** How a job looks to somebody who reports on it under a lease. */
export interface Reported {
  readonly state: JobState;
  readonly leaseToken: string | undefined;
}

/**
 * Why a report on a job was not accepted: `not_found`, `lease_lost`, or `invalid_state` when the job ended under this very
 * lease. `undefined` when the report only repeats what has already happened.
 */
export function refusal(id: string, job: Reported | undefined, token: string, to: JobState): AppError | undefined {
  if (job === undefined) return new AppError('not_found', `There is no job ${id}.`);
  if (job.leaseToken !== token) {
    return new AppError('lease_lost', `The lease on ${id} has ended; somebody else may have the job.`, {
      details: { id, status: statusOf(job.state) },
    });
  }
  if (job.state === to) return undefined;
  return invalidTransition(id, job.state, to);
}

const transitions: Readonly<Record<JobStatus, readonly JobStatus[]>> = {
  queued: ['running', 'canceled'],
  running: ['done', 'error', 'canceled', 'queued'],
  done: [],
  error: [],
  canceled: ['canceled'],
};

export function invalidTransition(id: string, from: JobState, to: JobState): AppError {
  const status = statusOf(from);
  return new AppError('invalid_state', `${id} is ${status} and cannot become ${statusOf(to)}.`, {
    details: { from: status, to: statusOf(to), allowed: transitions[status] },
  });
}
