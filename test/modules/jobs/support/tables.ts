import { expect } from 'vitest';
import type { TestDatabase } from '../../../support/database.js';
import { until } from '../../../support/until.js';

/** Removes all jobs. Not by TRUNCATE, which would meet the housekeeping's locks in another order than it takes them. */
export async function emptyTables(database: TestDatabase): Promise<void> {
  for (const table of ['jobs_claimed', 'jobs_scheduled', 'jobs', 'jobs_ready', 'jobs_failed']) {
    await database.query(`DELETE FROM ${table}`);
  }
}

/**
 * Each job must stand in the small table of its state (migrations/0001-jobs.ts), or nobody would find it again: not the
 * next claim, not who looks for lost leases.
 */
export async function expectAllNoted(database: TestDatabase): Promise<void> {
  const forgotten = await database.query(`
    SELECT id, state FROM jobs j WHERE NOT CASE state
      WHEN 'queued' THEN EXISTS (SELECT 1 FROM jobs_ready r
        WHERE (r.kind, r.priority, r.run_at, r.id) = (j.kind, j.priority, j.run_at, j.id))
      WHEN 'scheduled' THEN EXISTS (SELECT 1 FROM jobs_scheduled s WHERE (s.run_at, s.id) = (j.run_at, j.id))
      WHEN 'running' THEN EXISTS (SELECT 1 FROM jobs_claimed c WHERE j.id = ANY (c.job_ids)
        AND c.check_at <= least(j.lease_expires_at, j.started_at + make_interval(secs => j.timeout_sec)))
      WHEN 'done' THEN true
      ELSE EXISTS (SELECT 1 FROM jobs_failed f WHERE f.id = j.id)
    END`);
  expect(forgotten).toEqual([]);
}

/** Waits until nothing is left of claims whose jobs have ended, so that by itself no table changes any more. */
export async function untilClaimsAreForgotten(database: TestDatabase): Promise<void> {
  await until('claims of jobs that have ended are forgotten', async () => {
    const left = await database.query(`SELECT FROM jobs_claimed c
      WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = ANY (c.job_ids) AND j.state = 'running')`);
    const running = await database.query("SELECT FROM jobs WHERE state = 'running' AND kind = 'muster.gate'");
    return left.length === 0 && running.length === 0;
  });
}
