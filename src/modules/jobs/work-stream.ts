import { AppError } from '../../errors.js';
import type { Log } from '../../platform/log.js';
import type { Origin } from '../events/index.js';
import type { Claimer, ClaimRequest } from './claimer.js';
import type { CompletedInput, Desk, FailInput, HeldInput } from './desk.js';
import { type ClaimedJob, type JobStatus, statusOf } from './jobs.js';
import type { Leased } from './store.js';
import type { StopReason, Watcher } from './watcher.js';

/** What a worker says. Reports are checked one by one when they are filed, so that a bad one costs no other. */
export type WorkInput =
  | { readonly start: WorkStart }
  | {
      readonly completed: readonly CompletedInput[];
      readonly failed: readonly FailInput[];
      readonly held: readonly HeldInput[];
      readonly released: readonly Leased[];
      readonly capacity: number | undefined;
    };

export interface WorkStart {
  readonly workerId: string;
  readonly kinds: readonly string[];
  readonly capacity: number;
  readonly leaseSec: number;
}

export interface JobOutcome {
  readonly id: string;
  readonly leaseToken: string;
  readonly status?: JobStatus;
  readonly error?: AppError;
  readonly leaseExpiresAt?: Date;
}

/** What the server says; several things that come together go in one message. */
export interface WorkOutput {
  readonly started?: { readonly leaseSec: number };
  readonly jobs: readonly ClaimedJob[];
  /** Ids of the jobs whose completions were stored. */
  readonly completed: readonly string[];
  readonly outcomes: readonly JobOutcome[];
  readonly stopped: readonly (Leased & { readonly reason: StopReason })[];
  readonly drain: boolean;
}

export interface WorkStreamDeps {
  readonly claimer: Claimer;
  readonly desk: Desk;
  readonly watcher: Watcher;
  readonly log: Log;
  /** Aborts when the server is about to stop. */
  readonly stopping: AbortSignal;
}

const waitMs = 60_000;
const maxOutcomes = 1000;
/**
 * Characters of payload after which a message ends. They take up to three bytes each, and the last payload may have 1 MiB: that
 * stays below the 4 MiB that gRPC clients accept.
 */
const maxPayload = 512 * 1024;

/**
 * One worker's stream. The worker holds at most `capacity` jobs: a place is taken when a job is sent and free again when
 * its report is committed. What cannot be sent yet is gathered, so that a slow reader costs one bounded message, never a
 * growing queue: jobs are bounded by the capacity, answers by the reports read, and no more reports are read while
 * too many answers wait.
 */
export async function* serveWorker(
  inputs: AsyncIterable<WorkInput>,
  origin: Origin,
  signal: AbortSignal,
  deps: WorkStreamDeps,
): AsyncIterable<WorkOutput> {
  const { claimer, desk, watcher, log, stopping } = deps;
  /** Lease tokens, by job id, of the jobs that the worker got on this stream and has not reported. */
  const held = new Map<string, string>();
  /**
   * Of those whose report is not committed yet: they have their places still, but may end by this very report, which is nothing
   * to tell the worker to stop for.
   */
  const reported = new Map<string, string>();
  /** Of those that it brought along from an earlier stream, for which it has set aside places by itself. */
  const brought = new Map<string, string>();
  const outbox = createOutbox();
  const over = new AbortController();
  let start: WorkStart | undefined;
  let capacity = 0;
  let claiming = false;
  /** Ends the present wait for jobs; those that come too late for it go back. */
  let waiting: AbortController | undefined;
  let reporting = 0;

  function room(): number {
    return capacity - held.size - reported.size;
  }

  /** A few places are left to wait for the others that reports under way are about to free: one claim costs what many do. */
  function wantsMore(): boolean {
    return room() > 0 && (reported.size === 0 || room() * 4 >= capacity);
  }

  async function claimMore(): Promise<void> {
    if (claiming || start === undefined) return;
    claiming = true;
    try {
      while (!over.signal.aborted && !stopping.aborted && wantsMore()) {
        const request: ClaimRequest = { ...start, max: room(), waitMs, origin };
        waiting = new AbortController();
        const jobs = await claimer.claim(request, waiting.signal);
        for (const { id, leaseToken } of jobs) held.set(id, leaseToken);
        outbox.jobs(jobs);
      }
    } catch (error) {
      outbox.fail(error);
    } finally {
      claiming = false;
    }
  }

  function lost({ id, leaseToken }: Leased, reason: StopReason): void {
    held.delete(id);
    brought.delete(id);
    outbox.stopped({ id, leaseToken, reason });
    void claimMore();
  }
  const unwatch = [watcher.hold({ held, lost }), watcher.hold({ held: brought, lost })];

  function drop({ id, leaseToken }: Leased): void {
    if (held.get(id) === leaseToken) held.delete(id);
    if (reported.get(id) === leaseToken) reported.delete(id);
    if (brought.get(id) === leaseToken) brought.delete(id);
  }

  function beginReport({ id, leaseToken }: Leased): void {
    if (brought.get(id) === leaseToken) brought.delete(id);
    if (held.get(id) !== leaseToken) return;
    held.delete(id);
    reported.set(id, leaseToken);
  }

  function refuse(report: Leased, error: unknown): void {
    const { id, leaseToken } = report;
    const refused = asAppError(error, log, origin);
    const stillHeld = !endsLease(refused) && reported.get(id) === leaseToken;
    drop(report);
    if (stillHeld) held.set(id, leaseToken);
    outbox.outcome({ id, leaseToken, error: refused });
  }

  /** Reports, drops the jobs from what the worker holds, answers. */
  async function settleAll(reports: readonly CompletedInput[]): Promise<void> {
    reporting += 1;
    reports.forEach(beginReport);
    const outcomes = await desk.completeAll(reports, origin);
    reports.forEach((report, index) => {
      const refused = outcomes[index];
      if (refused instanceof Error) return refuse(report, refused);
      drop(report);
      outbox.completed(report.id);
    });
    reporting -= 1;
    outbox.wake();
    void claimMore();
  }

  /** The same for one. */
  async function settle(report: Leased, run: () => Promise<JobStatus>): Promise<void> {
    const { id, leaseToken } = report;
    reporting += 1;
    beginReport(report);
    try {
      const status = await run();
      drop(report);
      outbox.outcome({ id, leaseToken, status });
    } catch (error) {
      refuse(report, error);
    } finally {
      reporting -= 1;
      outbox.wake();
    }
    void claimMore();
  }

  async function renew(report: HeldInput): Promise<void> {
    const { id, leaseToken } = report;
    reporting += 1;
    try {
      const renewal = await desk.held(report);
      if ('canceled' in renewal) {
        drop(report);
        outbox.stopped({ id, leaseToken, reason: 'canceled' });
        void claimMore();
      } else {
        if (held.get(id) !== leaseToken && reported.get(id) !== leaseToken) brought.set(id, leaseToken);
        outbox.outcome({ id, leaseToken, status: 'running', leaseExpiresAt: renewal.leaseExpiresAt });
      }
    } catch (error) {
      const refused = asAppError(error, log, origin);
      if (endsLease(refused)) drop(report);
      outbox.outcome({ id, leaseToken, error: refused });
      void claimMore();
    } finally {
      reporting -= 1;
      outbox.wake();
    }
  }

  async function read(): Promise<void> {
    for await (const input of inputs) {
      if ('start' in input) {
        if (start !== undefined) throw new AppError('invalid_request', 'start: comes once, as the first message');
        start = input.start;
        capacity = start.capacity;
        log.info('worker_connected', {
          corr_id: origin.correlationId,
          worker_id: start.workerId,
          kinds: start.kinds,
          capacity,
        });
        outbox.started(start.leaseSec);
      } else {
        if (start === undefined) throw new AppError('invalid_request', 'start: must be the first message');
        if (input.completed.length > 0) void settleAll(input.completed);
        for (const report of input.failed) void settle(report, () => desk.fail(report, origin).then(statusOf));
        for (const report of input.released)
          void settle(report, () => desk.release(report, origin).then(() => 'queued'));
        for (const report of input.held) void renew(report);
        const fewer = input.capacity !== undefined && input.capacity < capacity;
        capacity = input.capacity ?? capacity;
        // It may wait for more than it wants now.
        if (fewer) waiting?.abort();
        await outbox.room();
      }
      void claimMore();
    }
  }

  const drain = (): void => {
    waiting?.abort();
    outbox.drain();
  };
  stopping.addEventListener('abort', drain, { once: true });
  if (stopping.aborted) drain();
  over.signal.addEventListener('abort', () => waiting?.abort());
  const gone = (): void => {
    over.abort();
    outbox.wake();
  };
  signal.addEventListener('abort', gone, { once: true });

  /** How the worker's side came to its end; undefined while it has not. */
  let ended: 'cleanly' | 'broken' | undefined;
  const reading = read()
    .then(
      () => (ended = 'cleanly'),
      (error: unknown) => {
        ended = 'broken';
        outbox.fail(error);
      },
    )
    .finally(() => {
      over.abort();
      outbox.wake();
    });

  try {
    for (;;) {
      const message = await outbox.take(() => signal.aborted || (ended !== undefined && reporting === 0));
      if (message === undefined) break;
      yield message;
    }
    // A worker that is no longer let in may go on talking; nobody listens.
    if (!signal.aborted) await reading;
  } finally {
    stopping.removeEventListener('abort', drain);
    signal.removeEventListener('abort', gone);
    over.abort();
    for (const end of unwatch) end();
    const left = [...held].map(([id, leaseToken]) => ({ id, leaseToken }));
    // A worker that ended its side is done with them. One whose connection broke, or that was told to leave because the
    // server stops, may come back while its leases run.
    if (ended === 'cleanly' && !signal.aborted && !stopping.aborted) {
      await Promise.allSettled(left.map((lease) => desk.release(lease, origin)));
    }
    if (start !== undefined)
      log.info('worker_disconnected', { corr_id: origin.correlationId, worker_id: start.workerId, held: left.length });
  }
}

/** Whether a refused report says that the job is the worker's no more; after any other it can be reported again. */
function endsLease({ kind }: AppError): boolean {
  return kind === 'not_found' || kind === 'lease_lost' || kind === 'invalid_state';
}

function asAppError(error: unknown, log: Log, { correlationId }: Origin): AppError {
  if (error instanceof AppError) return error;
  log.error('report_failed', { corr_id: correlationId, error });
  return new AppError('internal_error', 'The report was not stored; the log says why.', { cause: error });
}

/** What waits to be sent, as one message that grows. */
function createOutbox() {
  let started: { leaseSec: number } | undefined;
  let jobs: ClaimedJob[] = [];
  let completed: string[] = [];
  let outcomes: JobOutcome[] = [];
  let stopped: (Leased & { reason: StopReason })[] = [];
  let drain = false;
  let failure: { error: unknown } | undefined;
  let wakeTaker: (() => void) | undefined;
  let wakeReader: (() => void) | undefined;

  const wake = (): void => wakeTaker?.();
  const isEmpty = (): boolean =>
    started === undefined &&
    !drain &&
    jobs.length === 0 &&
    completed.length === 0 &&
    outcomes.length === 0 &&
    stopped.length === 0;

  return {
    wake,
    started(leaseSec: number) {
      started = { leaseSec };
      wake();
    },
    jobs(claimed: readonly ClaimedJob[]) {
      jobs.push(...claimed);
      wake();
    },
    completed(id: string) {
      completed.push(id);
      wake();
    },
    outcome(outcome: JobOutcome) {
      outcomes.push(outcome);
      wake();
    },
    stopped(stop: Leased & { reason: StopReason }) {
      stopped.push(stop);
      wake();
    },
    drain() {
      drain = true;
      wake();
    },
    fail(error: unknown) {
      failure ??= { error };
      wake();
    },
    /** Resolves when few enough answers wait. */
    async room(): Promise<void> {
      while (outcomes.length + completed.length > maxOutcomes)
        await new Promise<void>((resolve) => (wakeReader = resolve));
    },
    /** Resolves with what there is, or undefined once nothing is left and `done` says that nothing will come. */
    async take(done: () => boolean): Promise<WorkOutput | undefined> {
      while (isEmpty()) {
        if (failure !== undefined) throw failure.error;
        if (done()) return undefined;
        await new Promise<void>((resolve) => (wakeTaker = resolve));
        wakeTaker = undefined;
      }
      // Callbacks of this turn may add to it.
      await new Promise(setImmediate);
      const fitting = fittingCount(jobs);
      const message = {
        ...(started && { started }),
        jobs: fitting === jobs.length ? jobs : jobs.slice(0, fitting),
        completed,
        outcomes,
        stopped,
        drain,
      };
      started = undefined;
      jobs = fitting === jobs.length ? [] : jobs.slice(fitting);
      completed = [];
      outcomes = [];
      stopped = [];
      drain = false;
      wakeReader?.();
      return message;
    },
  };
}

/** How many of the jobs go in one message; at least one. */
function fittingCount(jobs: readonly ClaimedJob[]): number {
  let size = 0;
  let count = 0;
  while (count < jobs.length && size < maxPayload) size += jobs[count++]?.payload.text.length ?? 0;
  return count;
}
