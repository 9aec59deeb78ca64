import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Db, Tx } from '../../platform/db/db.js';
import type { Log } from '../../platform/log.js';
import { type Appended, appendEvents, type Change, type Origin, systemOrigin } from '../events/index.js';
import type { ClaimedJob, OwnQueue } from '../jobs/index.js';
import { getRepo } from '../repos/index.js';
import type { TaskRepo } from '../vcs/index.js';
import { type Output, outputChange, runChange } from './changes.js';
import { clearScratch, endLeftovers, runGateCommand } from './command.js';
import type { Compared, GatedReviews, GatedTasks, GateVcs } from './gated.js';
import { createLiveOutput } from './live-output.js';
import { withNotes } from './notes.js';
import { afterEnd, type Ended, jobOf, type Run } from './runs.js';
import { beginRun, findLive, settleRun } from './store-runs.js';

export interface StarterDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
  readonly queue: OwnQueue;
  readonly vcs: Pick<GateVcs, 'worktree' | 'compare'>;
  readonly tasks: Pick<GatedTasks, 'lock'>;
  readonly reviews: Pick<GatedReviews, 'judge'>;
  /** Where runs have their homes. */
  readonly scratchDir: string;
}

export interface RunOptions {
  /** Aborts when the run is to end at once. */
  readonly signal: AbortSignal;
  /** Told which start of the command it is. */
  readonly onBegun: (run: number) => void;
}

/** A change of a run: the run, where there is one, and what is to be recorded. */
interface Made {
  readonly run: Run | undefined;
  readonly changes: readonly Change[];
}

/** Runs what a job of the queue is for. */
export interface Starter {
  /** True when the job is done with; false when it is to come again. */
  run(job: ClaimedJob, options: RunOptions): Promise<boolean>;
}

/** How often the servers that ran a gate may have died over it. */
const maxLost = 10;
/** A gate that is asked again all day would else fill the ledger with what it says each time. */
const manyRuns = 10;
const settleTries = 10;
const settleRetryMs = 1000;

export function createStarter(deps: StarterDeps): Starter {
  const { db, clock, log, appended, queue, vcs, tasks, reviews, scratchDir } = deps;

  /** Makes a change of a run, and records what there is to be recorded. */
  async function change(make: (tx: Tx, now: Date) => Promise<Made>): Promise<Made> {
    return db.transaction(async (tx) => {
      const now = clock.now();
      const made = await make(tx, now);
      await appendEvents(tx, originOf(made.run), now, made.changes);
      tx.afterCommit(() => made.changes.forEach(({ type }) => appended(type, 1)));
      return made;
    });
  }

  async function begin(jobId: string): Promise<Run | undefined> {
    const { run } = await change(async (tx, now) => {
      const begun = await beginRun(tx, jobId, now);
      return { run: begun, changes: begun === undefined ? [] : [runChange(begun)] };
    });
    return run;
  }

  async function settle(run: Run, ended: Ended): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await settleOnce(run, ended);
        return;
      } catch (error) {
        // What has taken minutes is not thrown away because the database is away for a moment.
        if (!(error instanceof AppError) || error.kind !== 'unavailable' || tries === settleTries) throw error;
        await delay(settleRetryMs);
      }
    }
  }

  async function settleOnce(run: Run, ended: Ended): Promise<void> {
    const { changes } = await change(async (tx, now) => {
      await tasks.lock(tx, run.repoId);
      const next = afterEnd(run, ended, queue.newId(), now);
      // It was cancelled meanwhile, or is another's.
      if (!(await settleRun(tx, run, next))) return { run, changes: [] };
      if (next.status === 'Pending') await queue.add(tx, [jobOf(next)], originOf(run), now);
      return { run, changes: [runChange(next), ...(await reviews.judge(tx, run.taskId, now))] };
    });
    const [first] = changes;
    log.info('gate_ended', {
      ...factsOf(run),
      status: first?.payload['status'] ?? 'Cancelled',
      exit_code: ended.exitCode,
    });
  }

  async function tell(run: Run, outputs: readonly Output[]): Promise<void> {
    await change(async () => ({ run, changes: outputs.map((output) => outputChange(run, output)) }));
  }

  /** What is not as it was submitted; undefined when all is. */
  async function unlike(run: Run, repo: TaskRepo, signal: AbortSignal): Promise<string | undefined> {
    const { taskId, headCommit, headTree } = run;
    try {
      return differenceOf(run, await vcs.compare({ repo, taskId, headCommit, headTree, signal }));
    } catch (error) {
      // What git says of the work tree; everything else is no fault of what was submitted, and is tried again.
      if (signal.aborted || !(error instanceof AppError) || error.kind !== 'conflict') throw error;
      return error.message;
    }
  }

  /** Undefined when it was made to stop. */
  async function perform(run: Run, repo: TaskRepo, signal: AbortSignal): Promise<Ended | undefined> {
    const before = await unlike(run, repo, signal);
    if (before !== undefined) return failure(before, 'the gate was not run');
    const worktree = await vcs.worktree({ repo, taskId: run.taskId });
    const live = createLiveOutput({
      tell: (outputs) => tell(run, outputs),
      maxBytes: run.runs <= manyRuns ? 64 * 1024 : 4 * 1024,
      onError: (error) => log.warn('gate_output_lost', { ...factsOf(run), error }),
    });
    const { status, ...ended } = await runGateCommand({
      command: run.command,
      worktree,
      timeoutMs: run.timeoutSecs * 1000,
      mark: run.jobId,
      scratch: path.join(scratchDir, run.jobId),
      env: environmentOf(run, repo, worktree),
      onOutput: live.add,
      signal,
    });
    await live.end();
    if (status === 'Stopped') return undefined;
    const after = status === 'Passed' ? await unlike(run, repo, signal) : undefined;
    if (after === undefined) return { ...ended, status };
    const stderr = withNotes(ended.stderr, [after, 'what gates write belongs into ignored files, or below $TMPDIR']);
    return { ...ended, status: 'Failed', stderr };
  }

  async function endOf(run: Run, job: ClaimedJob, signal: AbortSignal): Promise<Ended | undefined> {
    if (job.attempts > maxLost) return failure(`the server was lost ${maxLost} times while it ran this gate`);
    const repo = await getRepo(db, run.repoId);
    if (repo === undefined) return undefined;
    try {
      return await perform(run, repo, signal);
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }

  return {
    async run(job, { signal, onBegun }) {
      // Whoever had the job before may have died, and left its program running.
      const scratch = path.join(scratchDir, job.id);
      if (job.attempts > 1) await sweep(job.id, scratch);
      const run = await begin(job.id);
      if (run === undefined) return true;
      onBegun(run.runs);
      log.info('gate_started', { ...factsOf(run), run: run.runs });
      const result = await endOf(run, job, signal);
      if (result !== undefined) {
        await settle(run, result);
        return true;
      }
      // It was cancelled; or else this server stops.
      return (await findLive(db, [job.id])).get(job.id) !== run.runs;
    },
  };

  async function sweep(mark: string, scratch: string): Promise<void> {
    const survivors = await endLeftovers(mark);
    await clearScratch(scratch);
    if (survivors.length > 0) log.warn('gate_processes_left', { job_id: mark, pids: survivors });
  }
}

function originOf(run: Run | undefined): Origin {
  return { ...systemOrigin, correlationId: run?.correlationId };
}

function factsOf({ correlationId, taskId, reviewId, gateId, name, attempt, jobId }: Run) {
  return {
    corr_id: correlationId,
    task_id: taskId,
    review_id: reviewId,
    gate_id: gateId,
    name,
    attempt,
    job_id: jobId,
  };
}

function failure(...notes: readonly string[]): Ended {
  return { status: 'Failed', stdout: '', stderr: withNotes('', notes) };
}

function differenceOf({ headCommit }: Run, { branchHead, changed, changedCount }: Compared): string | undefined {
  if (branchHead !== headCommit) return `the branch is at ${branchHead ?? 'no commit'}; ${headCommit} was submitted`;
  if (changedCount === 0) return undefined;
  const more = changedCount > changed.length ? ` and ${changedCount - changed.length} more` : '';
  return `the work tree is not as it was submitted: ${changed.join(', ')}${more}`;
}

function environmentOf(run: Run, repo: TaskRepo, worktree: string): Readonly<Record<string, string>> {
  return {
    MUSTER_TASK_ID: run.taskId,
    MUSTER_REPO_ID: run.repoId,
    MUSTER_REPO_PATH: repo.path,
    MUSTER_WORKTREE: worktree,
    MUSTER_REVIEW_ID: run.reviewId,
    MUSTER_GATE_NAME: run.name,
    MUSTER_ATTEMPT: String(run.attempt),
  };
}
