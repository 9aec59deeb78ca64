import { randomUUID } from 'node:crypto';
import type { Queries, Statement } from '../../platform/db/db.js';
import type { ClaimedJob } from './jobs.js';
import { JsonText } from '../../platform/json.js';
import { appendMany, type Origin, originParams } from '../events/index.js';
import { errorOf, type JobRow, stateIs } from './store.js';

/** Taking jobs from the head of the queue. */

/**
 * `first` selects the rows of jobs_ready to take, locked, as ctids: nobody updates that table, so a locked row stays where
 * it is. A row whose job was canceled meanwhile is taken away and claims nothing. That the ids are told twice lets Postgres
 * fetch all of the rows in one go through the index, instead of one after the other.
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
      lease_token = ($5::text[])[width_bucket(numbered.n - 1, $4::integer[]) + 1],
      lease_sec = ($3::integer[])[width_bucket(numbered.n - 1, $4::integer[]) + 1],
      lease_expires_at = $6::timestamptz
        + make_interval(secs => ($3::integer[])[width_bucket(numbered.n - 1, $4::integer[]) + 1]),
      worker_id = ($2::text[])[width_bucket(numbered.n - 1, $4::integer[]) + 1],
      started_at = $6,
      progress = NULL
    FROM numbered
    WHERE j.id = numbered.id AND j.id = ANY (ARRAY(SELECT id FROM picked)) AND ${stateIs('queued', 'numbered.id')}
    RETURNING j.id, j.kind, j.payload, j.error_code, j.error_message, j.priority, j.attempts, j.max_attempts, j.run_at,
      j.timeout_sec, j.created_at, j.lease_expires_at, j.started_at, j.worker_id, numbered.n
  ), noted AS (
    INSERT INTO jobs_claimed (check_at, job_ids)
    SELECT min(least(lease_expires_at, started_at + make_interval(secs => timeout_sec))), array_agg(id)
    FROM claimed HAVING count(*) > 0
  ), recorded AS (
    ${appendMany(
      {
        type: `'JobStarted'`,
        from: 'claimed c',
        at: '$6',
        origin: '($9::integer[])[width_bucket(c.n - 1, $4::integer[]) + 1]',
        originsAt: 10,
        jobId: 'c.id',
      },
      `'{"status":"running","attempts":' || c.attempts || ',"started_at":"' || $8::text || '","worker_id":'
        || to_json(c.worker_id) || '}'`,
    )}
  )
  SELECT p.picked, c.n, c.id, c.kind, c.payload, c.error_code, c.error_message, c.priority, c.attempts, c.max_attempts, c.run_at,
    c.timeout_sec, c.created_at
  FROM (SELECT count(*)::integer AS picked FROM picked) p LEFT JOIN claimed c ON true`;

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
  readonly origin: Origin;
}

/** One row for each job claimed, or a single one without a job. `picked`: as many were ready, also those that could not be claimed. */
type ClaimRow = { readonly picked: number } & ({ readonly id: null } | ClaimedRow);

type ClaimedRow = Pick<
  JobRow,
  | 'id'
  | 'kind'
  | 'payload'
  | 'error_code'
  | 'error_message'
  | 'priority'
  | 'attempts'
  | 'max_attempts'
  | 'run_at'
  | 'timeout_sec'
  | 'created_at'
> & {
  /** Its place in the queue among those that were picked, from 1. */
  readonly n: number;
};

/**
 * Claims for several workers at once: the first jobs go to the first demand, and so on, those of each under a lease token of its
 * own. Answers one list a demand. Rows that another server is just claiming are skipped. `met`: as much was found as was
 * demanded, so there may be more; `stale`: rows of jobs that cannot be claimed any more stood in the way and are gone now, so it
 * is worth asking again.
 */
export async function claimJobs(
  on: Queries,
  kinds: readonly string[],
  demands: readonly Demand[],
  now: Date,
): Promise<{ readonly claimed: readonly ClaimedJob[][]; readonly met: boolean; readonly stale: boolean }> {
  let total = 0;
  const origins = originParams(demands.map(({ origin }) => origin));
  const leaseTokens = demands.map(() => randomUUID());
  const upTo = demands.map(({ max }) => (total += max));
  const rows = await on.query<ClaimRow>(kinds.length === 1 ? claimOneKind : claimManyKinds, [
    kinds,
    demands.map(({ workerId }) => workerId),
    demands.map(({ leaseSec }) => leaseSec),
    upTo,
    leaseTokens,
    now.toISOString(),
    total,
    now.toISOString(),
    origins.index,
    ...origins.values,
  ]);
  const picked = rows[0]?.picked ?? 0;
  // They come in no order.
  const queue: (ClaimedRow | undefined)[] = [];
  for (const row of rows) if (row.id !== null) queue[row.n - 1] = row;
  const claimed = demands.map(({ max, leaseSec }, index) => {
    const leaseExpiresAt = new Date(now.getTime() + leaseSec * 1000);
    const end = upTo[index] ?? 0;
    const leaseToken = leaseTokens[index] ?? '';
    const jobs: ClaimedJob[] = [];
    for (const row of queue.slice(end - max, end)) {
      // Nothing where one was picked that could not be claimed.
      if (row !== undefined) jobs.push(claimedJobOf(row, leaseToken, leaseExpiresAt, now));
    }
    return jobs;
  });
  const count = claimed.reduce((sum, jobs) => sum + jobs.length, 0);
  return { claimed, met: picked === total, stale: count < picked };
}

function claimedJobOf(row: ClaimedRow, leaseToken: string, leaseExpiresAt: Date, now: Date): ClaimedJob {
  return {
    id: row.id,
    kind: row.kind,
    status: 'running',
    payload: new JsonText(row.payload),
    result: undefined,
    error: errorOf(row),
    priority: row.priority,
    attempts: row.attempts,
    maxAttempts: row.max_attempts,
    runAt: row.run_at,
    timeoutSec: row.timeout_sec ?? undefined,
    createdAt: row.created_at,
    startedAt: now,
    finishedAt: undefined,
    progress: undefined,
    leaseToken,
    leaseExpiresAt,
  };
}
