import type { Db, Statement, Tx } from '../../platform/db/db.js';
import type { AfterFailure } from './jobs.js';
import { type Leased, stateIs } from './store.js';

/** What reports under a lease change. */

const complete: Statement = {
  name: 'jobs_complete',
  text: `UPDATE jobs j SET state = 'done', result = coalesce(t.result, 'null')::json, error_code = NULL, error_message = NULL,
      finished_at = $4, lease_expires_at = NULL
    FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS t (id, token, result, n)
    WHERE j.id = t.id AND j.id = ANY ($1) AND ${stateIs('running', 't.id')} AND j.lease_token = t.token
    RETURNING t.n`,
};

/** Answers those of the reports that completed their job. */
export async function completeJobs<R extends Leased & { readonly result: string | undefined }>(
  db: Db,
  reports: readonly R[],
  now: Date,
): Promise<ReadonlySet<R>> {
  const rows = await db.query<{ n: number }>(complete, [
    reports.map(({ id }) => id),
    reports.map(({ leaseToken }) => leaseToken),
    reports.map(({ result }) => result ?? null),
    now.toISOString(),
  ]);
  return new Set(rows.flatMap(({ n }) => reports[n - 1] ?? []));
}

const heartbeat: Statement = {
  name: 'jobs_heartbeat',
  text: `UPDATE jobs j SET lease_expires_at = $4::timestamptz + make_interval(secs => j.lease_sec),
      progress = coalesce(t.progress::json, j.progress)
    FROM unnest($1::text[], $2::text[], $3::text[]) AS t (id, token, progress)
    WHERE j.id = t.id AND ${stateIs('running', 't.id')} AND j.lease_token = t.token
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
      WHERE j.id = t.id AND ${stateIs('running', 't.id')} AND j.lease_token = t.token
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

export interface RunningRow {
  readonly id: string;
  readonly kind: string;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly timeout_sec: number | null;
  readonly lease_token: string;
}

export const runningColumns = 'j.id, j.kind, j.attempts, j.max_attempts, j.timeout_sec, j.lease_token';

const lockReported: Statement = {
  name: 'jobs_lock_reported',
  text: `SELECT ${runningColumns} FROM jobs j JOIN unnest($1::text[], $2::text[]) AS t (id, token) ON j.id = t.id
    WHERE ${stateIs('running', 't.id')} AND j.lease_token = t.token ORDER BY j.id FOR UPDATE OF j`,
};

/** Locks the jobs that are running under these leases, and leaves the others out. */
export function lockRunning(tx: Tx, reports: readonly Leased[]): Promise<RunningRow[]> {
  return tx.query(lockReported, [reports.map(({ id }) => id), reports.map(({ leaseToken }) => leaseToken)]);
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
