import type { Db, Statement, Tx } from '../../platform/db/db.js';
import { firstIdAt } from '../../platform/ids.js';
import { JsonText } from '../../platform/json.js';
import { type AfterFailure, type ClaimedJob, type Job, type JobState, type NewJob, statusOf } from './jobs.js';

/** The SQL of the tables of jobs (migrations/0001-jobs.ts tells why there are several). `store-list.ts` has the listing. */

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

/**
 * `first` selects the rows of jobs_ready to take, locked, as ctids: nobody updates that table, so a locked row stays where
 * it is. A row whose job was canceled meanwhile is taken away and claims nothing.
 */
const claimWith = (first: string): string => `WITH picked AS MATERIALIZED (
    DELETE FROM jobs_ready WHERE ctid = ANY (ARRAY(${first}))
    RETURNING id, priority, run_at
  ), numbered AS (
    SELECT id, row_number() OVER (ORDER BY priority, run_at, id)::integer AS n FROM picked
  ), claimed AS (
    UPDATE jobs j SET
      state = 'running',
      attempts = j.attempts + 1,
      lease_token = $5 || '-' || numbered.n,
      lease_sec = ($3::integer[])[width_bucket(numbered.n - 1, $4::integer[]) + 1],
      lease_expires_at = $6::timestamptz
        + make_interval(secs => ($3::integer[])[width_bucket(numbered.n - 1, $4::integer[]) + 1]),
      worker_id = ($2::text[])[width_bucket(numbered.n - 1, $4::integer[]) + 1],
      started_at = $6,
      progress = NULL
    FROM numbered WHERE j.id = numbered.id AND j.state = 'queued'
    RETURNING ${jobColumns}, j.lease_token, j.lease_expires_at, numbered.n
  ), noted AS (
    INSERT INTO jobs_claimed (check_at, job_ids)
    SELECT min(least(lease_expires_at, started_at + make_interval(secs => timeout_sec))), array_agg(id)
    FROM claimed HAVING count(*) > 0
  )
  SELECT taken.picked, claimed.* FROM (SELECT count(*)::integer AS picked FROM picked) taken LEFT JOIN claimed ON true`;

const claimOneKind: Statement = {
  name: 'jobs_claim_one_kind',
  text: claimWith(`
    SELECT r.ctid FROM jobs_ready r WHERE r.kind = ($1::text[])[1]
    ORDER BY r.priority, r.run_at, r.id LIMIT $7 FOR UPDATE SKIP LOCKED`),
};

const claimManyKinds: Statement = {
  name: 'jobs_claim_many_kinds',
  text: claimWith(`
    SELECT q.ctid FROM unnest($1::text[]) k CROSS JOIN LATERAL (
      SELECT r.ctid, r.priority, r.run_at, r.id FROM jobs_ready r WHERE r.kind = k
      ORDER BY r.priority, r.run_at, r.id LIMIT $7 FOR UPDATE SKIP LOCKED
    ) q ORDER BY q.priority, q.run_at, q.id LIMIT $7`),
};

/** Somebody who wants up to `max` jobs. */
export interface Demand {
  readonly workerId: string;
  readonly leaseSec: number;
  readonly max: number;
}

type ClaimRow = JobRow & { lease_token: string; lease_expires_at: Date; n: number };

/**
 * Claims for several workers at once: the first jobs go to the first demand, and so on. Answers one list a demand. Rows
 * that another server is just claiming are skipped. `met`: as much was found as was demanded, so there may be more;
 * `stale`: rows of jobs that cannot be claimed any more stood in the way and are gone now, so it is worth asking again.
 */
export async function claimJobs(
  db: Db,
  kinds: readonly string[],
  demands: readonly Demand[],
  token: string,
  now: Date,
): Promise<{ readonly claimed: readonly ClaimedJob[][]; readonly met: boolean; readonly stale: boolean }> {
  let total = 0;
  const upTo = demands.map(({ max }) => (total += max));
  const rows = await db.query<{ picked: number } & (ClaimRow | { id: null })>(
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
  const picked = rows[0]?.picked ?? 0;
  const found = rows.filter((row): row is ClaimRow & { picked: number } => row.id !== null).sort((a, b) => a.n - b.n);
  const claimed = demands.map((): ClaimedJob[] => []);
  let demand = 0;
  found.forEach((row, index) => {
    while (index >= (upTo[demand] ?? Infinity)) demand += 1;
    claimed[demand]?.push({ ...jobOf(row), leaseToken: row.lease_token, leaseExpiresAt: row.lease_expires_at });
  });
  return { claimed, met: picked === total, stale: found.length < picked };
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
    RETURNING j.id, j.lease_token`,
};

/** Answers the jobs that were completed, each with the token of the lease under which it was. */
export async function completeJobs(
  db: Db,
  reports: readonly (Leased & { readonly result: string })[],
  now: Date,
): Promise<ReadonlyMap<string, string>> {
  const rows = await db.query<{ id: string; lease_token: string }>(complete, [
    reports.map(({ id }) => id),
    reports.map(({ leaseToken }) => leaseToken),
    reports.map(({ result }) => result),
    now.toISOString(),
  ]);
  return new Map(rows.map((row) => [row.id, row.lease_token]));
}

const heartbeat: Statement = {
  name: 'jobs_heartbeat',
  text: `UPDATE jobs j SET lease_expires_at = $4::timestamptz + make_interval(secs => j.lease_sec),
      progress = coalesce(t.progress::json, j.progress)
    FROM unnest($1::text[], $2::text[], $3::text[]) AS t (id, token, progress)
    WHERE j.id = t.id AND j.state = 'running' AND j.lease_token = t.token
    RETURNING j.id, j.lease_token, j.lease_expires_at`,
};

export interface RenewedLease {
  readonly leaseToken: string;
  readonly leaseExpiresAt: Date;
}

/** Answers the leases that were renewed, by job. */
export async function renewLeases(
  db: Db,
  reports: readonly (Leased & { readonly progress: string | undefined })[],
  now: Date,
): Promise<ReadonlyMap<string, RenewedLease>> {
  const rows = await db.query<{ id: string; lease_token: string; lease_expires_at: Date }>(heartbeat, [
    reports.map(({ id }) => id),
    reports.map(({ leaseToken }) => leaseToken),
    reports.map(({ progress }) => progress ?? null),
    now.toISOString(),
  ]);
  return new Map(rows.map((row) => [row.id, { leaseToken: row.lease_token, leaseExpiresAt: row.lease_expires_at }]));
}

const release: Statement = {
  name: 'jobs_release',
  text: `WITH released AS (
      UPDATE jobs j SET state = 'queued', attempts = j.attempts - 1, lease_token = NULL, lease_expires_at = NULL,
        worker_id = NULL, started_at = NULL
      FROM unnest($1::text[], $2::text[]) AS t (id, token)
      WHERE j.id = t.id AND j.state = 'running' AND j.lease_token = t.token
      RETURNING j.id, j.kind, j.priority, j.run_at, t.token
    ), ready AS (
      INSERT INTO jobs_ready (kind, priority, run_at, id) SELECT kind, priority, run_at, id FROM released
    )
    SELECT id, kind, token FROM released`,
};

/** Puts jobs back that were not begun, as if they had not been claimed. Answers them with the tokens they had. */
export function releaseJobs(
  db: Db,
  reports: readonly Leased[],
): Promise<{ id: string; kind: string; token: string }[]> {
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

const takeDueClaims: Statement = {
  name: 'jobs_take_due_claims',
  text: `DELETE FROM jobs_claimed WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM jobs_claimed WHERE check_at < $1 ORDER BY check_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )) RETURNING job_ids`,
};

const lockClaimed: Statement = {
  name: 'jobs_lock_claimed',
  text: `SELECT ${runningColumns}, j.lease_expires_at < $2 AS lease_lost,
      coalesce(j.started_at + make_interval(secs => j.timeout_sec) < $2, false) AS timed_out
    FROM jobs j WHERE j.id = ANY($1) AND j.state = 'running' ORDER BY j.id FOR UPDATE`,
};

const noteClaims: Statement = {
  name: 'jobs_note_claims',
  text: `INSERT INTO jobs_claimed (check_at, job_ids)
    SELECT min(least(lease_expires_at, started_at + make_interval(secs => timeout_sec))), array_agg(id)
    FROM jobs WHERE id = ANY($1) HAVING count(*) > 0`,
};

export type OverdueRow = RunningRow & { readonly lease_lost: boolean; readonly timed_out: boolean };

/**
 * Looks through the claims that are due for it, up to `limit` of them: answers their running jobs whose lease or time has run
 * out, locked, and notes the others to be looked at again. `more`: there may be more such claims.
 */
export async function lockOverdueJobs(
  tx: Tx,
  now: Date,
  limit: number,
): Promise<{ readonly overdue: readonly OverdueRow[]; readonly more: boolean }> {
  const claims = await tx.query<{ job_ids: string[] }>(takeDueClaims, [now.toISOString(), limit]);
  const ids = claims.flatMap(({ job_ids }) => job_ids);
  if (ids.length === 0) return { overdue: [], more: false };
  const running = await tx.query<OverdueRow>(lockClaimed, [ids, now.toISOString()]);
  const overdue = running.filter((row) => row.lease_lost || row.timed_out);
  const alive = running.filter((row) => !row.lease_lost && !row.timed_out);
  if (alive.length > 0) await tx.query(noteClaims, [alive.map(({ id }) => id)]);
  return { overdue, more: claims.length === limit };
}

const settle: Statement = {
  name: 'jobs_settle',
  text: `WITH settled AS (
      UPDATE jobs j SET state = t.state, run_at = coalesce(t.run_at, j.run_at), error_code = t.code,
        error_message = t.message, lease_expires_at = NULL,
        lease_token = CASE WHEN t.state = 'error' THEN j.lease_token END,
        finished_at = CASE WHEN t.state = 'error' THEN $6::timestamptz END
      FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[])
        AS t (id, state, run_at, code, message)
      WHERE j.id = t.id
      RETURNING j.id, j.kind, j.priority, j.run_at, j.state
    ), ready AS (
      INSERT INTO jobs_ready (kind, priority, run_at, id)
      SELECT kind, priority, run_at, id FROM settled WHERE state = 'queued'
    ), scheduled AS (
      INSERT INTO jobs_scheduled (run_at, id) SELECT run_at, id FROM settled WHERE state = 'scheduled'
    )
    INSERT INTO jobs_failed (id) SELECT id FROM settled WHERE state = 'error'`,
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
      DELETE FROM jobs_scheduled WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM jobs_scheduled WHERE run_at <= $1 ORDER BY run_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
      )) RETURNING id
    ), promoted AS (
      UPDATE jobs j SET state = 'queued' FROM due WHERE j.id = due.id AND j.state = 'scheduled'
      RETURNING j.kind, j.priority, j.run_at, j.id
    )
    INSERT INTO jobs_ready (kind, priority, run_at, id) SELECT kind, priority, run_at, id FROM promoted RETURNING kind`,
};

/** Makes scheduled jobs whose time has come claimable, and answers their kinds. */
export async function promoteDueJobs(db: Db, now: Date, limit: number): Promise<string[]> {
  return (await db.query<{ kind: string }>(promote, [now.toISOString(), limit])).map(({ kind }) => kind);
}

const nextDue: Statement = { name: 'jobs_next_due', text: 'SELECT min(run_at) AS run_at FROM jobs_scheduled' };

export async function nextDueAt(db: Db): Promise<Date | undefined> {
  const [row] = await db.query<{ run_at: Date | null }>(nextDue, []);
  return row?.run_at ?? undefined;
}

const expire: Statement = {
  name: 'jobs_expire',
  text: `WITH page AS (
      SELECT id, finished_at FROM jobs WHERE id > $1 AND id < $2 ORDER BY id LIMIT $4
    ), deleted AS (
      DELETE FROM jobs WHERE id IN (SELECT id FROM page WHERE finished_at < $3) RETURNING id
    ), noted AS (
      DELETE FROM jobs_failed WHERE id IN (SELECT id FROM deleted)
    )
    SELECT (SELECT max(id) FROM page) AS last, (SELECT count(*) FROM deleted) AS deleted`,
};

/**
 * Deletes those that ended before `before` among the next `limit` jobs after the id `after`. Jobs made at `before` or later
 * cannot have, so it reads no further. Answers how many went, and the last id it looked at: undefined at the end.
 */
export async function deleteFinishedJobs(
  db: Db,
  after: string,
  before: Date,
  limit: number,
): Promise<{ readonly deleted: number; readonly last: string | undefined }> {
  const [row] = await db.query<{ last: string | null; deleted: number }>(expire, [
    after,
    firstIdAt('job', before),
    before.toISOString(),
    limit,
  ]);
  return { deleted: row?.deleted ?? 0, last: row?.last ?? undefined };
}
