import type { Db, Statement, Tx } from '../../platform/db/db.js';
import { firstIdAt } from '../../platform/ids.js';
import { stateIs } from './store.js';
import { runningColumns, type RunningRow } from './store-report.js';

/** What the passing of time changes: leases and times that run out, jobs that become due, jobs that are kept long enough. */

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

const promote: Statement = {
  name: 'jobs_promote',
  text: `WITH due AS (
      DELETE FROM jobs_scheduled WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM jobs_scheduled WHERE run_at <= $1 ORDER BY run_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
      )) RETURNING id
    ), promoted AS (
      UPDATE jobs j SET state = 'queued' FROM due WHERE j.id = due.id AND ${stateIs('scheduled', 'due.id')}
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
