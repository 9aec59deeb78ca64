import type { Db, Statement } from '../../platform/db/db.js';
import { JsonText } from '../../platform/json.js';
import { type Job, type JobState, type NewJob, statusOf } from './jobs.js';

/**
 * The SQL of the tables of jobs; migrations/0001-jobs.ts tells why there are several. Here: submitting, reading, canceling.
 * One family a file besides: `store-claim.ts`, `store-report.ts`, `store-time.ts`, `store-list.ts`.
 */

export interface JobRow {
  readonly id: string;
  readonly kind: string;
  readonly state: JobState;
  readonly payload: string;
  readonly result: string | null;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly priority: number;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly run_at: Date;
  readonly timeout_sec: number | null;
  readonly created_at: Date;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
  readonly progress: string | null;
}

export const jobColumns = `j.id, j.kind, j.state, j.payload, j.result, j.error_code, j.error_message, j.priority, j.attempts,
  j.max_attempts, j.run_at, j.timeout_sec, j.created_at, j.started_at, j.finished_at, j.progress`;

/**
 * `j.state = state` for a job that was found by the id `joined`, said so that the planner cannot judge by it. Its statistics
 * are of a moment when perhaps no job was in that state; with `j.state = 'running'` it then reads the whole table, once for
 * every row of the other side, in the hope of finding nothing.
 */
export function stateIs(state: JobState, joined: string): string {
  return `CASE WHEN ${joined} IS NOT NULL THEN j.state END = '${state}'`;
}

export function jobOf(row: JobRow): Job {
  return {
    id: row.id,
    kind: row.kind,
    status: statusOf(row.state),
    payload: new JsonText(row.payload),
    result: optionalJson(row.result),
    error: errorOf(row),
    priority: row.priority,
    attempts: row.attempts,
    maxAttempts: row.max_attempts,
    runAt: row.run_at,
    timeoutSec: row.timeout_sec ?? undefined,
    createdAt: row.created_at,
    startedAt: row.started_at ?? undefined,
    finishedAt: row.finished_at ?? undefined,
    progress: optionalJson(row.progress),
  };
}

export function errorOf({ error_code: code, error_message: message }: Pick<JobRow, 'error_code' | 'error_message'>) {
  return code === null ? undefined : { code, message: message ?? '' };
}

function optionalJson(text: string | null): JsonText | undefined {
  return text === null ? undefined : new JsonText(text);
}

export type IdentifiedJob = NewJob & { readonly id: string };

/** `conflict` is what to do about a job that is there under its idempotency key. */
const insertWith = (conflict: string): string => `WITH inserted AS (
    INSERT INTO jobs
      (id, kind, state, payload, priority, run_at, max_attempts, timeout_sec, created_at, idempotency_key, request_hash)
    SELECT t.id, t.kind, t.state, t.payload::json, t.priority, t.run_at, t.max_attempts, t.timeout_sec, $9, t.key, t.hash
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::timestamptz[], $7::integer[],
      $8::integer[], $10::text[], $11::bytea[])
      AS t (id, kind, state, payload, priority, run_at, max_attempts, timeout_sec, key, hash)
    ${conflict}
    RETURNING id, kind, state, priority, run_at
  ), ready AS (
    INSERT INTO jobs_ready (kind, priority, run_at, id)
    SELECT kind, priority, run_at, id FROM inserted WHERE state = 'queued'
  ), scheduled AS (
    INSERT INTO jobs_scheduled (run_at, id) SELECT run_at, id FROM inserted WHERE state = 'scheduled'
  )
  SELECT id FROM inserted`;

const insert: Statement = { name: 'jobs_insert', text: insertWith('') };

const insertKeyed: Statement = {
  name: 'jobs_insert_keyed',
  text: insertWith('ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING'),
};

/** Inserts the jobs and answers the ids of those that were not there yet under their idempotency key. */
export async function insertJobs(db: Db, jobs: readonly IdentifiedJob[], now: Date): Promise<ReadonlySet<string>> {
  const keyed = jobs.some((job) => job.idempotencyKey !== undefined);
  const rows = await db.query<{ id: string }>(keyed ? insertKeyed : insert, [
    jobs.map((job) => job.id),
    jobs.map((job) => job.kind),
    jobs.map((job) => job.state),
    jobs.map((job) => job.payload),
    jobs.map((job) => job.priority),
    jobs.map((job) => job.runAt.toISOString()),
    jobs.map((job) => job.maxAttempts),
    jobs.map((job) => job.timeoutSec ?? null),
    now.toISOString(),
    jobs.map((job) => job.idempotencyKey ?? null),
    jobs.map((job) => job.requestHash ?? null),
  ]);
  return new Set(rows.map(({ id }) => id));
}

const byKey: Statement = {
  name: 'jobs_by_key',
  text: 'SELECT id, kind, state, idempotency_key, request_hash FROM jobs WHERE idempotency_key = ANY($1)',
};

export interface KeyedRow {
  readonly id: string;
  readonly kind: string;
  readonly state: JobState;
  readonly idempotency_key: string;
  readonly request_hash: Buffer;
}

export function findByKeys(db: Db, keys: readonly string[]): Promise<KeyedRow[]> {
  return db.query(byKey, [keys]);
}

const byIds: Statement = { name: 'jobs_by_ids', text: `SELECT ${jobColumns} FROM jobs j WHERE j.id = ANY($1)` };

export async function findJobs(db: Db, ids: readonly string[]): Promise<Job[]> {
  return (await db.query<JobRow>(byIds, [ids])).map(jobOf);
}

/** A report under a lease. */
export interface Leased {
  readonly id: string;
  readonly leaseToken: string;
}

const leases: Statement = {
  name: 'jobs_leases',
  text: 'SELECT id, state, lease_token, error_code FROM jobs WHERE id = ANY($1)',
};

export interface Lease {
  readonly state: JobState;
  readonly leaseToken: string | undefined;
  readonly errorCode: string | undefined;
}

/** The state and lease of each job that exists. */
export async function findLeases(db: Db, ids: readonly string[]): Promise<ReadonlyMap<string, Lease>> {
  const rows = await db.query<{
    id: string;
    state: JobState;
    lease_token: string | null;
    error_code: string | null;
  }>(leases, [ids]);
  return new Map(
    rows.map((row) => [
      row.id,
      { state: row.state, leaseToken: row.lease_token ?? undefined, errorCode: row.error_code ?? undefined },
    ]),
  );
}

const cancel: Statement = {
  name: 'jobs_cancel',
  text: `WITH open AS (
      SELECT id, state FROM jobs WHERE id = $1 AND state IN ('scheduled', 'queued', 'running') FOR UPDATE
    ), canceled AS (
      UPDATE jobs j SET state = 'canceled', finished_at = $2, lease_expires_at = NULL
      FROM open WHERE j.id = open.id RETURNING j.id, open.state AS was
    ), noted AS (
      INSERT INTO jobs_failed (id) SELECT id FROM canceled
    )
    SELECT was FROM canceled`,
};

const forget: Statement = {
  name: 'jobs_forget',
  text: `WITH job AS (
      SELECT kind, priority, run_at, id FROM jobs WHERE id = $1 AND state = 'canceled'
    ), ready AS (
      DELETE FROM jobs_ready r USING job
      WHERE r.kind = job.kind AND r.priority = job.priority AND r.run_at = job.run_at AND r.id = job.id
    )
    DELETE FROM jobs_scheduled s USING job WHERE s.run_at = job.run_at AND s.id = job.id`,
};

/**
 * Answers the state it was in, or undefined when there was nothing to cancel. What waits for the job is cleared away in a
 * second transaction: a claim locks the rows in the other order, and a claim that comes in between finds the job canceled.
 */
export async function cancelJob(db: Db, id: string, now: Date): Promise<JobState | undefined> {
  const [row] = await db.query<{ was: JobState }>(cancel, [id, now.toISOString()]);
  if (row !== undefined && row.was !== 'running') await db.query(forget, [id]);
  return row?.was;
}
