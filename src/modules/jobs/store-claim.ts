import type { Db, Statement } from '../../platform/db/db.js';
import type { ClaimedJob } from './jobs.js';
import { jobColumns, jobOf, type JobRow, stateIs } from './store.js';

/** Taking jobs from the head of the queue. */

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
    FROM numbered WHERE j.id = numbered.id AND ${stateIs('queued', 'numbered.id')}
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
