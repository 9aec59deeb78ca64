import type { OwnJob } from '../jobs/index.js';
import type { Gate } from './gates.js';
import { withNotes } from './notes.js';
import type { GateSpec } from './rules.js';

export type RunStatus = 'Running' | 'Pending' | 'Passed' | 'Failed' | 'Timeout' | 'Escalated' | 'Cancelled';

/** One attempt of a gate for a review: the gate as it was when the attempt was queued, and what has come of it. */
export interface Run extends GateSpec {
  readonly gateId: string;
  readonly repoId: string;
  readonly taskId: string;
  readonly reviewId: string;
  /** Counts the times that the review's gates were run. */
  readonly round: number;
  /** How often the gate has failed on the task since it last passed, this one included. */
  readonly attempt: number;
  readonly headCommit: string;
  readonly headTree: string;
  readonly status: RunStatus;
  /** Starts of the command. */
  readonly runs: number;
  /** The job that is to start it, or has. */
  readonly jobId: string;
  readonly correlationId: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | undefined;
  readonly startedAt: Date;
  /** When the command first ended with 75. */
  readonly pendingSince: Date | undefined;
  readonly nextRunAt: Date | undefined;
  readonly completedAt: Date | undefined;
}

/** What is judged: a commit of a task, for a review. */
export interface Subject {
  readonly repoId: string;
  readonly taskId: string;
  readonly reviewId: string;
  readonly headCommit: string;
  readonly headTree: string;
}

/** The last that is known of a gate on a task. */
export type LastAttempt = Pick<Run, 'status' | 'attempt'>;

/** Which attempt comes after `last`: failures count up, a pass begins anew, what was cancelled does not count. */
export function nextAttempt(last: LastAttempt | undefined): number {
  if (last === undefined || last.status === 'Passed') return 1;
  return last.status === 'Cancelled' ? last.attempt : last.attempt + 1;
}

export function queuedRun(
  gate: Gate,
  subject: Subject,
  at: Pick<Run, 'round' | 'attempt' | 'jobId' | 'correlationId'>,
  now: Date,
): Run {
  const { name, command, timeoutSecs, maxRetries, pollIntervalSecs, maxPendingSecs } = gate;
  return {
    ...{ name, command, timeoutSecs, maxRetries, pollIntervalSecs, maxPendingSecs },
    gateId: gate.id,
    ...subject,
    ...at,
    status: 'Pending',
    runs: 0,
    stdout: '',
    stderr: '',
    exitCode: undefined,
    startedAt: now,
    pendingSince: undefined,
    nextRunAt: now,
    completedAt: undefined,
  };
}

/** The job that starts a run when its time has come, with what it is about, for people. */
export function jobOf({ jobId, taskId, reviewId, gateId, name, attempt, nextRunAt }: Run): OwnJob {
  const payload = { task_id: taskId, review_id: reviewId, gate_id: gateId, name, attempt };
  return { id: jobId, payload, runAt: nextRunAt };
}

/** How a run of the command ended. */
export interface Ended {
  readonly status: 'Passed' | 'Pending' | 'Failed' | 'Timeout';
  readonly exitCode?: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run after its command has ended; when it goes on, by `jobId`. */
export function afterEnd(run: Run, ended: Ended, jobId: string, now: Date): Run {
  const { stdout, stderr, exitCode } = ended;
  const told = { ...run, stdout, stderr, exitCode };
  if (ended.status === 'Passed') return { ...told, status: 'Passed', completedAt: now };
  if (ended.status !== 'Pending') return failed(told, ended.status, now);
  const pendingSince = run.pendingSince ?? now;
  if (now.getTime() - pendingSince.getTime() >= run.maxPendingSecs * 1000) {
    const note = `still pending (exit code 75) after ${run.maxPendingSecs} s`;
    return failed({ ...told, stderr: withNotes(stderr, [note]), pendingSince }, 'Timeout', now);
  }
  const nextRunAt = new Date(now.getTime() + run.pollIntervalSecs * 1000);
  return { ...told, status: 'Pending', pendingSince, nextRunAt, jobId };
}

function failed(run: Run, status: 'Failed' | 'Timeout', now: Date): Run {
  return { ...run, status: run.attempt >= run.maxRetries ? 'Escalated' : status, completedAt: now };
}

/** What all gates of a round come to; undefined while any of them is to run. */
export type Verdict = 'Passed' | 'Failed' | 'Escalated';

export function verdictOf(runs: readonly Pick<Run, 'status'>[]): Verdict | undefined {
  const has = (...statuses: readonly RunStatus[]): boolean => runs.some(({ status }) => statuses.includes(status));
  if (has('Running', 'Pending')) return undefined;
  if (has('Escalated')) return 'Escalated';
  return has('Failed', 'Timeout', 'Cancelled') ? 'Failed' : 'Passed';
}

const maxTail = 2000;
const maxSummary = 12_000;

/** What those that have not passed say, for whoever has to put it right. */
export function summaryOf(runs: readonly Run[]): string {
  const bad = runs.filter(({ status }) => status !== 'Passed');
  return bad.map(oneSummary).join('\n\n').slice(0, maxSummary);
}

function oneSummary(run: Run): string {
  const { name, attempt, maxRetries, stdout, stderr } = run;
  const head = `Gate '${name}' ${howItFailed(run)} (attempt ${attempt} of ${Math.max(1, maxRetries)}).`;
  const said = [stdout, stderr].map((text) => text.trimEnd()).filter((text) => text !== '');
  return [head, ...said.map(tailOf)].join('\n');
}

function howItFailed({ exitCode, status }: Run): string {
  // Whether by this gate or by another one that ran beside it, stderr says what is different.
  if (exitCode === 0) return 'ended with exit code 0, but the work tree is no longer as it was submitted';
  if (exitCode !== undefined) return `failed with exit code ${exitCode}`;
  return `failed with ${status === 'Timeout' ? 'a timeout' : 'no exit code'}`;
}

function tailOf(text: string): string {
  if (text.length <= maxTail) return text;
  const tail = text.slice(-maxTail);
  return `…${tail.slice(tail.indexOf('\n') + 1)}`;
}
