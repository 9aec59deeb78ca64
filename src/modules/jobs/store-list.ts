import type { Db, Statement } from '../../platform/db/db.js';
import type { Job, JobState, JobStatus } from './jobs.js';
import { jobColumns, jobOf, type JobRow } from './store.js';

export interface ListFilter {
  readonly statuses: readonly JobStatus[];
  readonly kinds: readonly string[];
  /** Only jobs older than this id. */
  readonly before: string | undefined;
  readonly limit: number;
}

/** Which small table knows the jobs of a state; the many that are done stand in none. */
const idsByState: Readonly<Record<Exclude<JobState, 'done'>, string>> = {
  queued: 'SELECT id FROM jobs_ready',
  scheduled: 'SELECT id FROM jobs_scheduled',
  running: 'SELECT unnest(job_ids) FROM jobs_claimed',
  error: 'SELECT id FROM jobs_failed',
  canceled: 'SELECT id FROM jobs_failed',
};

/** One page, newest first. The states stand in the statement itself; they are words of ours, never a caller's text. */
export async function listJobs(db: Db, filter: ListFilter): Promise<Job[]> {
  const states = filter.statuses.flatMap(statesOf).sort();
  const conditions = [
    ...(states.length > 0
      ? [`j.state IN (${states.map((state) => `'${state}'`).join(', ')})`, ...knownIds(states)]
      : []),
    ...(filter.kinds.length > 0 ? ['j.kind = ANY($2)'] : ['$2::text[] IS NOT NULL']),
    ...(filter.before !== undefined ? ['j.id < $3'] : ['$3::text IS NULL']),
  ];
  const rows = await db.query<JobRow>(
    {
      // Postgres cuts names at 63 bytes, so each state is told by its first letter.
      name: `jobs_list_${states.map((state) => state[0]).join('')}_${filter.kinds.length > 0}_${filter.before !== undefined}`,
      text: `SELECT ${jobColumns} FROM jobs j WHERE ${conditions.join(' AND ')} ORDER BY j.id DESC LIMIT $1`,
    },
    [filter.limit, filter.kinds, filter.before ?? null],
  );
  return rows.map(jobOf);
}

function knownIds(states: readonly JobState[]): string[] {
  const sources = new Set<string>();
  for (const state of states) {
    if (state === 'done') return [];
    sources.add(idsByState[state]);
  }
  return [`j.id IN (${[...sources].join(' UNION ALL ')})`];
}

function statesOf(status: JobStatus): readonly JobState[] {
  return status === 'queued' ? ['queued', 'scheduled'] : [status];
}

/** Counting stops there: how many more there are is not worth the time. */
const countedAtMost = 10_000;
/**
 * A claim stands in its table until its lease would have ended, so most of what was claimed may have ended long ago. So many of those
 * claimed are looked at, from those on whose leases end last. Where more are claimed than that while a lease lasts, some that run for long
 * are missed.
 */
const lookedAtMost = 50_000;

const depths: Statement = {
  name: 'jobs_depths',
  text: `SELECT
    (SELECT count(*) FROM (SELECT FROM jobs_ready LIMIT $1) r) AS queued,
    (SELECT count(*) FROM (SELECT FROM jobs_scheduled LIMIT $1) s) AS scheduled,
    (SELECT count(*) FROM (
        SELECT FROM jobs j WHERE j.state = 'running' AND j.id = ANY (ARRAY(
          SELECT unnest(c.job_ids) FROM (SELECT job_ids FROM jobs_claimed ORDER BY check_at DESC LIMIT $2) c LIMIT $2
        )) LIMIT $1
      ) r) AS running`,
};

/**
 * How many jobs wait, wait for their time, and run, up to ten thousand each. About so many: the small tables that tell of the first two may
 * hold a job for a moment longer than its state.
 */
export async function countJobs(db: Db): Promise<{ readonly [state: string]: number }> {
  const [row] = await db.query<{ queued: number; scheduled: number; running: number }>(depths, [
    countedAtMost,
    lookedAtMost,
  ]);
  return { ...row };
}
