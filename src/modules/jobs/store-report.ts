import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import { appendMany, appendSame, type Origin, originParams } from '../events/index.js';
import type { AfterFailure } from './jobs.js';
import { type Leased, stateIs } from './store.js';

/** What reports under a lease change. */

const complete: Statement = {
  name: 'jobs_complete',
  text: `WITH done AS (
      UPDATE jobs j SET state = 'done', result = coalesce(t.result, 'null')::json, error_code = NULL, error_message = NULL,
        finished_at = $4, lease_expires_at = NULL
      FROM unnest($1::text[], $2::text[], $3::text[], $6::integer[]) WITH ORDINALITY AS t (id, token, result, origin, n)
      WHERE j.id = t.id AND j.id = ANY ($1) AND ${stateIs('running', 't.id')} AND j.lease_token = t.token
      RETURNING j.id, t.n, t.origin
    ), recorded AS (
      ${appendSame(
        { type: `'JobDone'`, from: 'done d', at: '$4', origin: 'd.origin', originsAt: 7, jobId: 'd.id' },
        '$5::json',
      )}
    )
    SELECT n FROM done`,
};

/** Answers those of the reports that completed their job. */
export async function completeJobs<R extends Leased & { readonly result: string | undefined; readonly origin: Origin }>(
  on: Queries,
  reports: readonly R[],
  now: Date,
): Promise<ReadonlySet<R>> {
  const origins = originParams(reports.map(({ origin }) => origin));
  const rows = await on.query<{ n: number }>(complete, [
    reports.map(({ id }) => id),
    reports.map(({ leaseToken }) => leaseToken),
    reports.map(({ result }) => result ?? null),
    now.toISOString(),
    JSON.stringify({ status: 'done', error: null, finished_at: now }),
    origins.index,
    ...origins.values,
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
  on: Queries,
  reports: readonly (Leased & { readonly progress: string | undefined })[],
  now: Date,
): Promise<ReadonlyMap<string, RenewedLease>> {
  const rows = await on.query<{ id: string; lease_token: string; lease_expires_at: Date }>(heartbeat, [
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
      FROM unnest($1::text[], $2::text[], $4::integer[]) AS t (id, token, origin)
      WHERE j.id = t.id AND ${stateIs('running', 't.id')} AND j.lease_token = t.token
      RETURNING j.id, j.kind, j.priority, j.run_at, j.attempts, t.token, t.origin
    ), recorded AS (
      ${appendMany(
        { type: `'JobQueued'`, from: 'released r', at: '$3', origin: 'r.origin', originsAt: 5, jobId: 'r.id' },
        `'{"status":"queued","attempts":' || r.attempts || ',"started_at":null,"worker_id":null}'`,
      )}
    ), ready AS (
      INSERT INTO jobs_ready (kind, priority, run_at, id) SELECT kind, priority, run_at, id FROM released
    )
    SELECT id, kind, token FROM released`,
};

/** Puts jobs back that were not begun, as if they had not been claimed. Answers them with the tokens they had. */
export function releaseJobs(
  on: Queries,
  reports: readonly (Leased & { readonly origin: Origin })[],
  now: Date,
): Promise<{ id: string; kind: string; token: string }[]> {
  const origins = originParams(reports.map(({ origin }) => origin));
  return on.query(release, [
    reports.map(({ id }) => id),
    reports.map(({ leaseToken }) => leaseToken),
    now.toISOString(),
    origins.index,
    ...origins.values,
  ]);
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
      FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $7::text[], $8::integer[])
        AS t (id, state, run_at, code, message, fields, origin)
      WHERE j.id = t.id
      RETURNING j.id, j.kind, j.priority, j.run_at, j.state, t.fields, t.origin
    ), recorded AS (
      ${appendMany(
        {
          type: `CASE s.state WHEN 'error' THEN 'JobFailed' ELSE 'JobRetrying' END`,
          from: 'settled s',
          at: '$6',
          origin: 's.origin',
          originsAt: 9,
          jobId: 's.id',
        },
        's.fields',
      )}
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
  outcomes: readonly (AfterFailure & { readonly id: string; readonly origin: Origin })[],
  now: Date,
): Promise<void> {
  const origins = originParams(outcomes.map(({ origin }) => origin));
  await tx.query(settle, [
    outcomes.map(({ id }) => id),
    outcomes.map(({ state }) => state),
    outcomes.map((outcome) => ('runAt' in outcome ? outcome.runAt.toISOString() : null)),
    outcomes.map(({ error }) => error.code),
    outcomes.map(({ error }) => error.message),
    now.toISOString(),
    outcomes.map((outcome) => JSON.stringify(settledFields(outcome, now))),
    origins.index,
    ...origins.values,
  ]);
}

/** What the ledger says of a job whose attempt failed. */
function settledFields(outcome: AfterFailure, now: Date) {
  const { error } = outcome;
  return 'runAt' in outcome
    ? { status: 'queued', error, run_at: outcome.runAt }
    : { status: 'error', error, finished_at: now };
}
