import type { Db, Queries, Statement } from '../../platform/db/db.js';
import { isoText } from '../../platform/iso-text.js';
import { JsonText } from '../../platform/json.js';
import { appendEach, appendOne, type Origin, originParams } from '../events/index.js';
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

/** A job to be stored, and who wants it. */
export type IdentifiedJob = NewJob & { readonly id: string; readonly origin: Origin };

/** Columns of a job as it is submitted, with what the ledger says of it. */
const given = [
  ['id', 'text'],
  ['kind', 'text'],
  ['state', 'text'],
  ['payload', 'text'],
  ['priority', 'smallint'],
  ['run_at', 'timestamptz'],
  ['max_attempts', 'integer'],
  ['timeout_sec', 'integer'],
  ['key', 'text'],
  ['hash', 'bytea'],
  ['origin', 'integer'],
  ['fields', 'text'],
] as const;
const givenNames = given.map(([name]) => name).join(', ');
const rowsGiven = given.map(([, type], n) => `$${n + 1}::${type}[]`).join(', ');
const createdAtParam = `$${given.length + 1}`;

const insertedAreNew = `ON CONFLICT (idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id
  ), new AS (
    SELECT g.* FROM inserted JOIN given g USING (id)`;

/**
 * `new`: jobs of which some may be there under their idempotency keys, and count for nothing then; answers the others. `given`: jobs without
 * such keys, of which none can be there; answers nothing, since that would only be what the caller has.
 */
const insertWith = (rows: 'given' | 'new'): string => `WITH given (${givenNames}) AS MATERIALIZED (
    SELECT * FROM unnest(${rowsGiven})
  ), inserted AS (
    INSERT INTO jobs
      (id, kind, state, payload, priority, run_at, max_attempts, timeout_sec, created_at, idempotency_key, request_hash)
    SELECT g.id, g.kind, g.state, g.payload::json, g.priority, g.run_at, g.max_attempts, g.timeout_sec, ${createdAtParam}, g.key, g.hash
    FROM given g
    ${rows === 'new' ? insertedAreNew : ''}
  ), recorded AS (
    ${appendEach(
      {
        type: `'JobQueued'`,
        from: `${rows} r`,
        at: createdAtParam,
        origin: 'r.origin',
        originsAt: given.length + 2,
        jobId: 'r.id',
      },
      'r.fields::json',
    )}
  ), ready AS (
    INSERT INTO jobs_ready (kind, priority, run_at, id)
    SELECT kind, priority, run_at, id FROM ${rows} WHERE state = 'queued'
  ), scheduled AS (
    INSERT INTO jobs_scheduled (run_at, id) SELECT run_at, id FROM ${rows} WHERE state = 'scheduled'
  )
  SELECT id FROM ${rows} WHERE ${rows === 'new'}`;

const insertAll: Statement = { name: 'jobs_insert', text: insertWith('given') };
const insertNew: Statement = { name: 'jobs_insert_keyed', text: insertWith('new') };

/** Inserts the jobs and answers the ids of those that were not there yet under their idempotency key. */
export async function insertJobs(on: Queries, jobs: readonly IdentifiedJob[], now: Date): Promise<ReadonlySet<string>> {
  const [first] = jobs;
  if (first !== undefined && jobs.length === 1 && first.state === 'queued' && first.idempotencyKey === undefined) {
    return insertQueued(on, first, now);
  }
  const keyed = jobs.some((job) => job.idempotencyKey !== undefined);
  const origins = originParams(jobs.map(({ origin }) => origin));
  const createdAt = isoText(now);
  const runAts = jobs.map((job) => isoText(job.runAt));
  const rows = await on.query<{ id: string }>(keyed ? insertNew : insertAll, [
    jobs.map((job) => job.id),
    jobs.map((job) => job.kind),
    jobs.map((job) => job.state),
    jobs.map((job) => job.payload),
    jobs.map((job) => job.priority),
    runAts,
    jobs.map((job) => job.maxAttempts),
    jobs.map((job) => job.timeoutSec ?? null),
    jobs.map((job) => job.idempotencyKey ?? null),
    jobs.map((job) => job.requestHash ?? null),
    origins.index,
    jobs.map((job, index) => JSON.stringify(queuedFields(job, runAts[index], createdAt))),
    createdAt,
    ...origins.values,
  ]);
  return new Set((keyed ? rows : jobs).map(({ id }) => id));
}

/**
 * The same for one job that can be claimed at once and has no idempotency key, which is what a lone caller mostly submits. Nothing in it
 * depends on what is there, so that its parts do not either, and Postgres is through with it in two thirds of the time.
 */
const insertOne: Statement = {
  name: 'jobs_insert_one',
  text: `WITH inserted AS (
    INSERT INTO jobs (id, kind, state, payload, priority, run_at, max_attempts, timeout_sec, created_at)
    VALUES ($1, $2, 'queued', $3::json, $4, $5, $6, $7, $8)
  ), recorded AS (
    ${appendOne({ type: `'JobQueued'`, at: '$8', originAt: 9, jobId: '$1::text' }, '$13::json')}
  )
  INSERT INTO jobs_ready (kind, priority, run_at, id) VALUES ($2, $4, $5, $1)`,
};

async function insertQueued(on: Queries, job: IdentifiedJob, now: Date): Promise<ReadonlySet<string>> {
  const createdAt = isoText(now);
  const runAt = isoText(job.runAt);
  const { id, kind, payload, priority, maxAttempts, timeoutSec = null, origin } = job;
  await on.query(insertOne, [
    id,
    kind,
    payload,
    priority,
    runAt,
    maxAttempts,
    timeoutSec,
    createdAt,
    origin.source,
    origin.actor.kind,
    origin.actor.id,
    origin.correlationId ?? null,
    JSON.stringify(queuedFields(job, runAt, createdAt)),
  ]);
  return new Set([id]);
}

/** What the ledger says of a new job. Times as text, since both are at hand. */
function queuedFields(job: NewJob, runAt: string | undefined, createdAt: string) {
  return {
    kind: job.kind,
    status: 'queued',
    priority: job.priority,
    attempts: 0,
    max_attempts: job.maxAttempts,
    run_at: runAt,
    timeout_sec: job.timeoutSec ?? null,
    created_at: createdAt,
  };
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

export function findByKeys(on: Queries, keys: readonly string[]): Promise<KeyedRow[]> {
  return on.query(byKey, [keys]);
}

const byIds: Statement = { name: 'jobs_by_ids', text: `SELECT ${jobColumns} FROM jobs j WHERE j.id = ANY($1)` };

export async function findJobs(on: Queries, ids: readonly string[]): Promise<Job[]> {
  return (await on.query<JobRow>(byIds, [ids])).map(jobOf);
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
export async function findLeases(on: Queries, ids: readonly string[]): Promise<ReadonlyMap<string, Lease>> {
  const rows = await on.query<{
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
    ), recorded AS (
      ${appendEach(
        { type: `'JobCanceled'`, from: 'canceled c', at: '$2', origin: '0', originsAt: 4, jobId: 'c.id' },
        '$3::json',
      )}
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

/** Answers the state it was in, or undefined when there was nothing to cancel. Call `forgetCanceled` when it is committed. */
export async function cancelJob(on: Queries, id: string, now: Date, origin: Origin): Promise<JobState | undefined> {
  const fields = JSON.stringify({ status: 'canceled', finished_at: now });
  const [row] = await on.query<{ was: JobState }>(cancel, [
    id,
    now.toISOString(),
    fields,
    ...originParams([origin]).values,
  ]);
  return row?.was;
}

/**
 * Clears away what waits for a canceled job. In a transaction after that of the cancel: a claim locks the rows in the other order, and
 * a claim that comes in between finds the job canceled.
 */
export async function forgetCanceled(db: Db, id: string): Promise<void> {
  await db.query(forget, [id]);
}
