import type { Db, Statement, Tx } from '../../platform/db/db.js';
import { JsonText } from '../../platform/json.js';
import { type AfterFailure, type ClaimedJob, type Job, type JobState, type NewJob, statusOf } from './jobs.js';

/** The SQL of the table jobs. `store-list.ts` has the listing, whose statement is composed. */

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

export function jobOf(row: JobRow): Job {
  return {
    id: row.id,
    kind: row.kind,
    status: statusOf(row.state),
    payload: new JsonText(row.payload),
    result: optionalJson(row.result),
    error: row.error_code === null ? undefined : { code: row.error_code, message: row.error_message ?? '' },
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

function optionalJson(text: string | null): JsonText | undefined {
  return text === null ? undefined : new JsonText(text);
}

export type IdentifiedJob = NewJob & { readonly id: string };

const insertColumns = `INSERT INTO jobs
    (id, kind, state, payload, priority, run_at, max_attempts, timeout_sec, created_at, idempotency_key, request_hash)
  SELECT t.id, t.kind, t.state, t.payload::json, t.priority, t.run_at, t.max_attempts, t.timeout_sec, $9, t.key, t.hash
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::timestamptz[], $7::integer[],
    $8::integer[], $10::text[], $11::bytea[])
    AS t (id, kind, state, payload, priority, run_at, max_attempts, timeout_sec, key, hash)`;

const insert: Statement = { name: 'jobs_insert', text: insertColumns };

const insertKeyed: Statement = {
  name: 'jobs_insert_keyed',
  text: `${insertColumns}
  ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
  RETURNING id`,
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
  return new Set(keyed ? rows.map(({ id }) => id) : jobs.map(({ id }) => id));
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

const claimHead = `WITH picked AS (
    SELECT c.id, row_number() OVER (ORDER BY c.priority, c.run_at, c.id)::integer AS n FROM (`;
const claimTail = `) c
  )
  UPDATE jobs j SET
    state = 'running',
    attempts = j.attempts + 1,
    lease_token = $5 || '-' || picked.n,
    lease_sec = ($3::integer[])[width_bucket(picked.n - 1, $4::integer[]) + 1],
    lease_expires_at = $6::timestamptz
      + make_interval(secs => ($3::integer[])[width_bucket(picked.n - 1, $4::integer[]) + 1]),
    worker_id = ($2::text[])[width_bucket(picked.n - 1, $4::integer[]) + 1],
    started_at = $6,
    progress = NULL
  FROM picked WHERE j.id = picked.id
  RETURNING ${jobColumns}, j.lease_token, j.lease_expires_at, picked.n`;

const claimOneKind: Statement = {
  name: 'jobs_claim_one_kind',
  text: `${claimHead}
    SELECT q.id, q.priority, q.run_at FROM jobs q
    WHERE q.state = 'queued' AND q.kind = ($1::text[])[1]
    ORDER BY q.priority, q.run_at, q.id LIMIT $7 FOR UPDATE SKIP LOCKED
  ${claimTail}`,
};

const claimManyKinds: Statement = {
  name: 'jobs_claim_many_kinds',
  text: `${claimHead}
    SELECT q.id, q.priority, q.run_at FROM unnest($1::text[]) k CROSS JOIN LATERAL (
      SELECT r.id, r.priority, r.run_at FROM jobs r
      WHERE r.state = 'queued' AND r.kind = k
      ORDER BY r.priority, r.run_at, r.id LIMIT $7 FOR UPDATE SKIP LOCKED
    ) q ORDER BY q.priority, q.run_at, q.id LIMIT $7
  ${claimTail}`,
};

/** Somebody who wants up to `max` jobs. */
export interface Demand {
  readonly workerId: string;
  readonly leaseSec: number;
  readonly max: number;
}

/**
 * Claims for several workers at once: the first jobs go to the first demand, and so on. Answers one list a demand. Rows
 * that another server is just claiming are skipped.
 */
export async function claimJobs(
  db: Db,
  kinds: readonly string[],
  demands: readonly Demand[],
  token: string,
  now: Date,
): Promise<ClaimedJob[][]> {
  let total = 0;
  const upTo = demands.map(({ max }) => (total += max));
  const rows = await db.query<JobRow & { lease_token: string; lease_expires_at: Date; n: number }>(
    kinds.length === 1 ? claimOneKind : claimManyKinds,
    [
      kinds,
      demands.map(({ workerId }) => workerId),
      demands.map(({ leaseSec }) => leaseSec),
      upTo,
      token,
      now.toISOString(),
      total,
    ],
  );
  rows.sort((a, b) => a.n - b.n);
  const claimed = demands.map((): ClaimedJob[] => []);
  let demand = 0;
  for (const row of rows) {
    while (row.n > (upTo[demand] ?? Infinity)) demand += 1;
    claimed[demand]?.push({ ...jobOf(row), leaseToken: row.lease_token, leaseExpiresAt: row.lease_expires_at });
  }
  return claimed;
}

/** A report under a lease. */
export interface Leased {
  readonly id: string;
  readonly leaseToken: string;
}

const complete: Statement = {
  name: 'jobs_complete',
  text: `UPDATE jobs j SET state = 'done', result = t.result::json, error_code = NULL, error_message = NULL,
      finished_at = $4, lease_expires_at = NULL
    FROM unnest($1::text[], $2::text[], $3::text[]) AS t (id, token, result)
    WHERE j.id = t.id AND j.state = 'running' AND j.lease_token = t.token
    RETURNING j.id`,
};

/** Answers the ids of the jobs that were completed. */
export async function completeJobs(
  db: Db,
  reports: readonly (Leased & { readonly result: string })[],
  now: Date,
): Promise<ReadonlySet<string>> {
  const rows = await db.query<{ id: string }>(complete, [
    reports.map(({ id }) => id),
    reports.map(({ leaseToken }) => leaseToken),
    reports.map(({ result }) => result),
    now.toISOString(),
  ]);
  return new Set(rows.map(({ id }) => id));
}

const heartbeat: Statement = {
  name: 'jobs_heartbeat',
  text: `UPDATE jobs j SET lease_expires_at = $4::timestamptz + make_interval(secs => j.lease_sec),
      progress = coalesce(t.progress::json, j.progress)
    FROM unnest($1::text[], $2::text[], $3::text[]) AS t (id, token, progress)
    WHERE j.id = t.id AND j.state = 'running' AND j.lease_token = t.token
    RETURNING j.id, j.lease_expires_at`,
};

/** Answers the new end of each lease that was renewed. */
export async function renewLeases(
  db: Db,
  reports: readonly (Leased & { readonly progress: string | undefined })[],
  now: Date,
): Promise<ReadonlyMap<string, Date>> {
  const rows = await db.query<{ id: string; lease_expires_at: Date }>(heartbeat, [
    reports.map(({ id }) => id),
    reports.map(({ leaseToken }) => leaseToken),
    reports.map(({ progress }) => progress ?? null),
    now.toISOString(),
  ]);
  return new Map(rows.map((row) => [row.id, row.lease_expires_at]));
}

const release: Statement = {
  name: 'jobs_release',
  text: `UPDATE jobs j SET state = 'queued', attempts = j.attempts - 1, lease_token = NULL, lease_expires_at = NULL,
      worker_id = NULL, started_at = NULL
    FROM unnest($1::text[], $2::text[]) AS t (id, token)
    WHERE j.id = t.id AND j.state = 'running' AND j.lease_token = t.token
    RETURNING j.id, j.kind`,
};

/** Puts jobs back that were not begun, as if they had not been claimed. */
export function releaseJobs(db: Db, reports: readonly Leased[]): Promise<{ id: string; kind: string }[]> {
  return db.query(release, [reports.map(({ id }) => id), reports.map(({ leaseToken }) => leaseToken)]);
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
    )
    UPDATE jobs j SET state = 'canceled', finished_at = $2, lease_expires_at = NULL
    FROM open WHERE j.id = open.id RETURNING open.state AS was`,
};

/** Answers the state it was in, or undefined when there was nothing to cancel. */
export async function cancelJob(db: Db, id: string, now: Date): Promise<JobState | undefined> {
  const [row] = await db.query<{ was: JobState }>(cancel, [id, now.toISOString()]);
  return row?.was;
}

export interface RunningRow {
  readonly id: string;
  readonly kind: string;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly timeout_sec: number | null;
  readonly lease_token: string;
}

const runningColumns = 'j.id, j.kind, j.attempts, j.max_attempts, j.timeout_sec, j.lease_token';

const lockReported: Statement = {
  name: 'jobs_lock_reported',
  text: `SELECT ${runningColumns} FROM jobs j JOIN unnest($1::text[], $2::text[]) AS t (id, token) ON j.id = t.id
    WHERE j.state = 'running' AND j.lease_token = t.token ORDER BY j.id FOR UPDATE OF j`,
};

/** Locks the jobs that are running under these leases, and leaves the others out. */
export function lockRunning(tx: Tx, reports: readonly Leased[]): Promise<RunningRow[]> {
  return tx.query(lockReported, [reports.map(({ id }) => id), reports.map(({ leaseToken }) => leaseToken)]);
}

const lockOverdue: Statement = {
  name: 'jobs_lock_overdue',
  text: `SELECT ${runningColumns}, j.lease_expires_at >= $1 AS timed_out FROM jobs j
    WHERE j.state = 'running'
      AND (j.lease_expires_at < $1 OR j.started_at + make_interval(secs => j.timeout_sec) < $1)
    ORDER BY j.id LIMIT $2 FOR UPDATE SKIP LOCKED`,
};

/** Locks running jobs whose lease or time has run out. */
export function lockOverdueJobs(tx: Tx, now: Date, limit: number): Promise<(RunningRow & { timed_out: boolean })[]> {
  return tx.query(lockOverdue, [now.toISOString(), limit]);
}

const settle: Statement = {
  name: 'jobs_settle',
  text: `UPDATE jobs j SET state = t.state, run_at = coalesce(t.run_at, j.run_at), error_code = t.code,
      error_message = t.message, lease_expires_at = NULL,
      lease_token = CASE WHEN t.state = 'error' THEN j.lease_token END,
      finished_at = CASE WHEN t.state = 'error' THEN $6::timestamptz END
    FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[]) AS t (id, state, run_at, code, message)
    WHERE j.id = t.id`,
};

/** Writes what became of locked jobs whose attempt failed. */
export async function settleFailures(
  tx: Tx,
  outcomes: readonly (AfterFailure & { readonly id: string })[],
  now: Date,
): Promise<void> {
  await tx.query(settle, [
    outcomes.map(({ id }) => id),
    outcomes.map(({ state }) => state),
    outcomes.map((outcome) => ('runAt' in outcome ? outcome.runAt.toISOString() : null)),
    outcomes.map(({ error }) => error.code),
    outcomes.map(({ error }) => error.message),
    now.toISOString(),
  ]);
}

const promote: Statement = {
  name: 'jobs_promote',
  text: `WITH due AS (
      SELECT id FROM jobs WHERE state = 'scheduled' AND run_at <= $1 ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs j SET state = 'queued' FROM due WHERE j.id = due.id RETURNING j.kind`,
};

/** Makes scheduled jobs whose time has come claimable, and answers their kinds. */
export async function promoteDueJobs(db: Db, now: Date, limit: number): Promise<string[]> {
  return (await db.query<{ kind: string }>(promote, [now.toISOString(), limit])).map(({ kind }) => kind);
}

const nextDue: Statement = {
  name: 'jobs_next_due',
  text: `SELECT min(run_at) AS run_at FROM jobs WHERE state = 'scheduled'`,
};

export async function nextDueAt(db: Db): Promise<Date | undefined> {
  const [row] = await db.query<{ run_at: Date | null }>(nextDue, []);
  return row?.run_at ?? undefined;
}

const expire: Statement = {
  name: 'jobs_expire',
  text: `DELETE FROM jobs WHERE id IN (
      SELECT id FROM jobs WHERE finished_at < $1 ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING id`,
};

/** Deletes jobs that ended before `before`, oldest first, and answers how many. */
export async function deleteFinishedJobs(db: Db, before: Date, limit: number): Promise<number> {
  return (await db.query(expire, [before.toISOString(), limit])).length;
}
