import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { LastAttempt, Run, RunStatus } from './runs.js';

/** The SQL of what gates have found. */

interface RunRow {
  readonly repo_id: string;
  readonly task_id: string;
  readonly review_id: string;
  readonly round: number;
  readonly gate_id: string;
  readonly name: string;
  readonly command: string;
  readonly timeout_secs: number;
  readonly max_retries: number;
  readonly poll_interval_secs: number;
  readonly max_pending_secs: number;
  readonly attempt: number;
  readonly head_commit: string;
  readonly head_tree: string;
  readonly status: RunStatus;
  readonly runs: number;
  readonly job_id: string;
  readonly correlation_id: string | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number | null;
  readonly started_at: Date;
  readonly pending_since: Date | null;
  readonly next_run_at: Date | null;
  readonly completed_at: Date | null;
}

const columns = `repo_id, task_id, review_id, round, gate_id, name, command, timeout_secs, max_retries, poll_interval_secs,
  max_pending_secs, attempt, head_commit, head_tree, status, runs, job_id, correlation_id, stdout, stderr, exit_code, started_at,
  pending_since, next_run_at, completed_at`;

function runOf(row: RunRow): Run {
  return {
    repoId: row.repo_id,
    taskId: row.task_id,
    reviewId: row.review_id,
    round: row.round,
    gateId: row.gate_id,
    name: row.name,
    command: row.command,
    timeoutSecs: row.timeout_secs,
    maxRetries: row.max_retries,
    pollIntervalSecs: row.poll_interval_secs,
    maxPendingSecs: row.max_pending_secs,
    attempt: row.attempt,
    headCommit: row.head_commit,
    headTree: row.head_tree,
    status: row.status,
    runs: row.runs,
    jobId: row.job_id,
    correlationId: row.correlation_id ?? undefined,
    stdout: row.stdout,
    stderr: row.stderr,
    exitCode: row.exit_code ?? undefined,
    startedAt: row.started_at,
    pendingSince: row.pending_since ?? undefined,
    nextRunAt: row.next_run_at ?? undefined,
    completedAt: row.completed_at ?? undefined,
  };
}

const insert: Statement = {
  name: 'gate_runs_insert',
  text: `INSERT INTO gate_runs (repo_id, task_id, review_id, round, gate_id, name, command, timeout_secs, max_retries,
      poll_interval_secs, max_pending_secs, attempt, head_commit, head_tree, status, job_id, correlation_id, started_at, next_run_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)`,
};

/** A run that is Pending. */
export async function insertRun(tx: Tx, run: Run): Promise<void> {
  await tx.query(insert, [
    ...[run.repoId, run.taskId, run.reviewId, run.round, run.gateId, run.name, run.command, run.timeoutSecs],
    ...[run.maxRetries, run.pollIntervalSecs, run.maxPendingSecs, run.attempt, run.headCommit, run.headTree],
    ...[run.status, run.jobId, run.correlationId ?? null],
    run.startedAt.toISOString(),
    run.nextRunAt?.toISOString() ?? null,
  ]);
}

const begin: Statement = {
  name: 'gate_runs_begin',
  text: `UPDATE gate_runs SET status = 'Running', runs = runs + 1, next_run_at = NULL,
      started_at = CASE WHEN runs = 0 THEN $2 ELSE started_at END
    WHERE job_id = $1 AND completed_at IS NULL RETURNING ${columns}`,
};

/** Makes the run Running that a job is to start, and fences off whoever may have it. Undefined when it is over, or another job's. */
export async function beginRun(tx: Tx, jobId: string, now: Date): Promise<Run | undefined> {
  const [row] = await tx.query<RunRow>(begin, [jobId, now.toISOString()]);
  return row && runOf(row);
}

const live: Statement = {
  name: 'gate_runs_live',
  text: `SELECT job_id, runs FROM gate_runs WHERE job_id = ANY ($1) AND status = 'Running'`,
};

/** How often each of the jobs' runs was started by now, of those that are still Running. */
export async function findLive(on: Queries, jobIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const rows = await on.query<{ job_id: string; runs: number }>(live, [jobIds]);
  return new Map(rows.map((row) => [row.job_id, row.runs]));
}

const settle: Statement = {
  name: 'gate_runs_settle',
  text: `UPDATE gate_runs SET status = $4, stdout = $5, stderr = $6, exit_code = $7, pending_since = $8, next_run_at = $9,
      completed_at = $10, job_id = $3
    WHERE job_id = $1 AND runs = $2 AND status = 'Running' RETURNING gate_id`,
};

/** Writes down how a start of the command has ended. False when it is over already, or another's. */
export async function settleRun(tx: Tx, from: Pick<Run, 'jobId' | 'runs'>, run: Run): Promise<boolean> {
  const rows = await tx.query(settle, [
    ...[from.jobId, from.runs, run.jobId, run.status, run.stdout, run.stderr, run.exitCode ?? null],
    run.pendingSince?.toISOString() ?? null,
    run.nextRunAt?.toISOString() ?? null,
    run.completedAt?.toISOString() ?? null,
  ]);
  return rows.length > 0;
}

const cancel: Statement = {
  name: 'gate_runs_cancel',
  text: `UPDATE gate_runs SET status = 'Cancelled', next_run_at = NULL, completed_at = $2
    WHERE task_id = ANY ($1) AND completed_at IS NULL RETURNING ${columns}`,
};

/** Ends what is still to run of these tasks. Answers it. */
export async function cancelRuns(tx: Tx, taskIds: readonly string[], now: Date): Promise<readonly Run[]> {
  return (await tx.query<RunRow>(cancel, [taskIds, now.toISOString()])).map(runOf);
}

const ofReview: Statement = {
  name: 'gate_runs_of_review',
  text: `SELECT ${columns} FROM gate_runs WHERE review_id = $1 ORDER BY n`,
};

/** All of a review, oldest first. */
export async function listRuns(on: Queries, reviewId: string): Promise<readonly Run[]> {
  return (await on.query<RunRow>(ofReview, [reviewId])).map(runOf);
}

const page: Statement = {
  name: 'gate_runs_page',
  text: `SELECT ${columns}, n FROM gate_runs WHERE review_id = $1 AND n > $2 ORDER BY n LIMIT $3`,
};

/** A run, and its place among all. */
export interface ListedRun {
  readonly run: Run;
  readonly n: number;
}

/** Those of a review after a place, oldest first, each with its own place. */
export async function listRunsAfter(
  on: Queries,
  reviewId: string,
  after: number,
  limit: number,
): Promise<readonly ListedRun[]> {
  const rows = await on.query<RunRow & { readonly n: number }>(page, [reviewId, after, limit]);
  return rows.map((row) => ({ run: runOf(row), n: row.n }));
}

const ofRound: Statement = {
  name: 'gate_runs_of_round',
  text: `SELECT ${columns} FROM gate_runs
    WHERE review_id = $1 AND round = (SELECT max(round) FROM gate_runs WHERE review_id = $1) ORDER BY n`,
};

/** Those of a review's last round. */
export async function findRound(on: Queries, reviewId: string): Promise<readonly Run[]> {
  return (await on.query<RunRow>(ofRound, [reviewId])).map(runOf);
}

const last: Statement = {
  name: 'gate_runs_last',
  text: `SELECT g.id, r.status, r.attempt FROM unnest($2::text[]) AS g (id) CROSS JOIN LATERAL (
      SELECT status, attempt FROM gate_runs WHERE task_id = $1 AND gate_id = g.id ORDER BY n DESC LIMIT 1
    ) r`,
};

/** The last attempt of each of these gates on a task, where there was any. */
export async function findLastAttempts(
  on: Queries,
  taskId: string,
  gateIds: readonly string[],
): Promise<ReadonlyMap<string, LastAttempt>> {
  const rows = await on.query<LastAttempt & { readonly id: string }>(last, [taskId, gateIds]);
  return new Map(rows.map(({ id, status, attempt }) => [id, { status, attempt }]));
}
