import type { JobOutcome, WorkJob, WorkUpdate } from '../../gen/muster/v1/jobs_pb.js';
import { JobStatusSchema } from '../../gen/muster/v1/jobs_pb.js';
import { enumWords } from '../platform/rpc/words.js';
import type { HeldJob, Report, WorkerLog } from './held-job.js';
import { workerJobOf } from './job.js';
import { addHeartbeat, addReport, emptyUpdate } from './messages.js';

export interface HoldingsOptions {
  readonly log: WorkerLog | undefined;
  /** The lease of a job that has not been reported is over. */
  readonly onLost: (held: HeldJob) => void;
}

/**
 * The jobs in a worker's hands and what is to be told of them. A job leaves when the server has taken its report or
 * when it is dropped; a broken connection costs nothing, since whatever was not answered is asked again on the next.
 */
export interface Holdings {
  hold(claimed: readonly WorkJob[], leaseMs: number): HeldJob[];
  find(id: string, leaseToken: string): HeldJob | undefined;
  drop(held: HeldJob): void;
  report(held: HeldJob, report: Report): void;
  /** Tells that the job is being worked on, along with its progress if there is any. */
  renew(held: HeldJob): void;
  /** The same for all. Answers when the first lease ends unless it is renewed, by performance.now(). */
  renewAll(): number;
  answer(outcome: JobOutcome, leaseMs: number): void;
  /** The completion of this job was stored. */
  completed(id: string): void;
  /** Tells reports again that the server could not store. */
  retry(): void;
  /** What is to be told now; undefined when nothing is. It counts as told. */
  update(): WorkUpdate | undefined;
  /** A new connection, on which nothing has been told. */
  reconnect(): void;
  all(): IterableIterator<HeldJob>;
  readonly size: number;
  /** Jobs that are waiting or running and were sent on an earlier connection. */
  readonly foreign: number;
  /** True when nothing is left to tell and everything told was answered. */
  readonly settled: boolean;
  /** Reports that the server could not store. */
  readonly unstored: number;
}

const maxReports = 1000;
/** Characters of JSON in one update; with the largest single value still below what servers take by default. */
const maxUpdateSize = 1024 * 1024;
const leaseOver: ReadonlySet<string> = new Set(['not_found', 'lease_lost', 'invalid_state']);
const unacceptable: ReadonlySet<string> = new Set(['invalid_request', 'too_large']);

export function createHoldings({ log, onLost }: HoldingsOptions): Holdings {
  const jobs = new Map<string, HeldJob>();
  let toReport: HeldJob[] = [];
  let unstored: HeldJob[] = [];
  const toRenew = new Set<HeldJob>();
  let connection = 0;
  let foreign = 0;
  let asked = 0;

  /** The job no longer takes up room in the worker. */
  function leaveRoom(held: HeldJob): void {
    if (held.connection !== connection) foreign -= 1;
    toRenew.delete(held);
  }

  function drop(held: HeldJob): void {
    if (held.phase === 'waiting' || held.phase === 'running') leaveRoom(held);
    if (held.question !== 'none') asked -= 1;
    held.question = 'none';
    held.phase = 'over';
    if (jobs.get(held.job.id) === held) jobs.delete(held.job.id);
  }

  function ask(held: HeldJob, question: HeldJob['question']): void {
    held.question = question;
    held.askedAt = performance.now();
    asked += 1;
  }

  function answerHeartbeat(held: HeldJob, hadProgress: boolean, outcome: JobOutcome, leaseMs: number): void {
    const { error } = outcome;
    if (error === undefined) {
      held.leaseEndsAt = held.askedAt + leaseMs;
    } else if (leaseOver.has(error.error)) {
      onLost(held);
      return;
    } else {
      log?.({ type: 'refused', job: held.job, word: error.error, message: error.message });
    }
    if (held.phase === 'reporting') toReport.push(held);
    // A heartbeat that was refused for its progress has not renewed the lease.
    else if (held.progress !== undefined || (hadProgress && unacceptable.has(error?.error ?? ''))) toRenew.add(held);
  }

  /** A report was taken. */
  function ended(held: HeldJob, status: string): void {
    const { job, report } = held;
    drop(held);
    if (report?.kind === 'released') return log?.({ type: 'job_released', job });
    const failure = report?.kind === 'failed' ? report.failure : undefined;
    log?.({ type: 'job_ended', job, status, failure, ms: held.endedAt - held.startedAt });
  }

  function answerReport(held: HeldJob, { status, error }: JobOutcome): void {
    const { job, report } = held;
    if (error === undefined) return ended(held, statusWords.toWord(status) ?? 'done');
    log?.({ type: 'refused', job, word: error.error, message: error.message });
    if (leaseOver.has(error.error)) drop(held);
    else if (!unacceptable.has(error.error)) unstored.push(held);
    else if (report?.kind === 'completed') {
      // Left alone, the job would run again after its lease and give the same result again.
      held.report = { kind: 'failed', failure: { code: 'invalid_result', message: error.message, retryable: false } };
      toReport.push(held);
    } else drop(held);
  }

  function find(id: string, leaseToken: string): HeldJob | undefined {
    const held = jobs.get(id);
    return held?.leaseToken === leaseToken ? held : undefined;
  }

  return {
    hold(claimed, leaseMs) {
      const now = performance.now();
      return claimed.map((message) => {
        // Back in our hands under a new lease, so the old one is over, whatever we have not heard.
        const before = jobs.get(message.id);
        if (before !== undefined) onLost(before);
        const held: HeldJob = {
          job: workerJobOf(message),
          leaseToken: message.leaseToken,
          connection,
          phase: 'waiting',
          leaseEndsAt: now + leaseMs,
          startedAt: now,
          endedAt: now,
          question: 'none',
          askedAt: now,
          progress: undefined,
          report: undefined,
          controller: undefined,
        };
        jobs.set(message.id, held);
        return held;
      });
    },
    find,
    drop,
    report(held, report) {
      leaveRoom(held);
      held.phase = 'reporting';
      held.report = report;
      if (held.question === 'none') toReport.push(held);
    },
    renew(held) {
      if (held.question === 'none') toRenew.add(held);
    },
    renewAll() {
      let firstEnd = Infinity;
      for (const held of jobs.values()) {
        if (held.phase !== 'waiting' && held.phase !== 'running') continue;
        if (held.question === 'none') toRenew.add(held);
        firstEnd = Math.min(firstEnd, held.leaseEndsAt);
      }
      return firstEnd;
    },
    answer(outcome, leaseMs) {
      const held = find(outcome.id, outcome.leaseToken);
      if (held === undefined || held.question === 'none') return;
      const { question } = held;
      held.question = 'none';
      asked -= 1;
      if (question === 'report') answerReport(held, outcome);
      else answerHeartbeat(held, question === 'progress', outcome, leaseMs);
    },
    completed(id) {
      const held = jobs.get(id);
      if (held?.question !== 'report') return;
      held.question = 'none';
      asked -= 1;
      ended(held, 'done');
    },
    retry() {
      toReport.push(...unstored);
      unstored = [];
    },
    update() {
      if (toReport.length === 0 && toRenew.size === 0) return undefined;
      const update = emptyUpdate();
      let room = maxUpdateSize;
      let taken = 0;
      for (const held of toReport) {
        if (room <= 0 || taken === maxReports) break;
        taken += 1;
        if (held.phase !== 'reporting' || held.report === undefined) continue;
        room -= addReport(update, held, held.report);
        ask(held, 'report');
      }
      toReport = taken === toReport.length ? [] : toReport.slice(taken);
      for (const held of toRenew) {
        if (room <= 0 || taken === maxReports) break;
        taken += 1;
        toRenew.delete(held);
        room -= addHeartbeat(update, held);
        ask(held, held.progress === undefined ? 'heartbeat' : 'progress');
        held.progress = undefined;
      }
      return update;
    },
    reconnect() {
      connection += 1;
      foreign = 0;
      asked = 0;
      toReport = [];
      unstored = [];
      toRenew.clear();
      for (const held of jobs.values()) {
        held.question = 'none';
        if (held.phase === 'reporting') toReport.push(held);
        else {
          foreign += 1;
          toRenew.add(held);
        }
      }
    },
    all: () => jobs.values(),
    get size() {
      return jobs.size;
    },
    get foreign() {
      return foreign;
    },
    get settled() {
      return asked === 0 && toReport.length === 0 && toRenew.size === 0;
    },
    get unstored() {
      return unstored.length;
    },
  };
}

const statusWords = enumWords(JobStatusSchema);
