import { type HeldJob, type Report, type WorkerLog } from './held-job.js';
import { failureOf, JobStopped, type StopReason, type WorkerJob } from './job.js';
import { sentJson } from './sent-json.js';

export interface JobContext {
  /** Aborts with a JobStopped when the job was canceled or timed out, its lease is lost, or the worker has to stop. */
  readonly signal: AbortSignal;
  /**
   * Tells how far the job is: any JSON up to 64 KiB. The lease is renewed without it. May be called as often as wanted;
   * what comes faster than the server answers is told by its latest value.
   *
   * @throws AppError `invalid_request` when it is no JSON.
   */
  readonly heartbeat: (progress?: unknown) => void;
}

/** Runs one job. What it answers, any JSON up to 1 MiB, becomes the result; `undefined` becomes null. */
export type JobHandler = (job: WorkerJob, context: JobContext) => unknown;

export interface SlotsOptions {
  readonly concurrency: number;
  /** How many jobs may wait besides. */
  readonly prefetch: number;
  readonly handler: JobHandler;
  readonly log: WorkerLog | undefined;
  /** A handler has ended whose job is still this worker's. */
  readonly onEnd: (held: HeldJob, report: Report) => void;
  readonly onProgress: (held: HeldJob) => void;
  /** A handler has ended whose job was given up before. */
  readonly onStrayEnd: () => void;
}

/** Runs handlers, at most `concurrency` at a time. */
export interface Slots {
  add(jobs: readonly HeldJob[]): void;
  /** Jobs that wait though there is no room for them; they are not begun. */
  takeSurplus(): HeldJob[];
  /** The job is this worker's no more; its handler is told by its signal, and what it answers is of no interest. */
  giveUp(held: HeldJob, reason: StopReason): void;
  /** Tells the handlers to end at once. Their jobs stay this worker's until they have. */
  interrupt(): void;
  /** Begins no more jobs until `open`, and answers those that have not begun. */
  close(): HeldJob[];
  open(): void;
  /** Reports the jobs of handlers that would not end. */
  abandon(): void;
  /** Handlers that have not ended, those of given-up jobs included. */
  readonly busy: number;
  /** Handlers that have not ended though their job was given up. */
  readonly strays: number;
}

export function createSlots(options: SlotsOptions): Slots {
  const { concurrency, prefetch, handler, log, onEnd, onProgress, onStrayEnd } = options;
  let waiting: HeldJob[] = [];
  /** Where in `waiting` the next one is. */
  let next = 0;
  const running = new Set<HeldJob>();
  let strays = 0;
  let closed = false;
  let filling = false;

  /** A loop and not a recursion: handlers that end at once would pile up calls. */
  function fill(): void {
    if (filling || closed) return;
    filling = true;
    while (running.size < concurrency && next < waiting.length) {
      const held = waiting[next];
      next += 1;
      if (held?.phase === 'waiting') begin(held);
    }
    if (next >= waiting.length) {
      waiting = [];
      next = 0;
    }
    filling = false;
  }

  function begin(held: HeldJob): void {
    running.add(held);
    held.phase = 'running';
    held.startedAt = performance.now();
    log?.({ type: 'job_started', job: held.job });
    let result: unknown;
    try {
      result = handler(held.job, new Context(held, onProgress));
    } catch (error) {
      end(held, failed(held, error));
      return;
    }
    if (isPromise(result)) {
      result.then(
        (value: unknown) => end(held, completed(value)),
        (error: unknown) => end(held, failed(held, error)),
      );
    } else {
      end(held, completed(result));
    }
  }

  function end(held: HeldJob, report: Report): void {
    running.delete(held);
    if (held.phase === 'running') {
      held.endedAt = performance.now();
      onEnd(held, report);
    } else {
      strays -= 1;
      onStrayEnd();
    }
    fill();
  }

  return {
    add(jobs) {
      for (const held of jobs) waiting.push(held);
      fill();
    },
    takeSurplus() {
      const room = Math.max(0, concurrency + prefetch - running.size);
      if (waiting.length - next <= room) return [];
      const left = waiting.slice(next).filter(({ phase }) => phase === 'waiting');
      waiting = left.slice(0, room);
      next = 0;
      return left.slice(room);
    },
    giveUp(held, reason) {
      held.phase = 'over';
      if (!running.has(held)) return;
      strays += 1;
      held.endedAt = performance.now();
      abort(held, reason);
    },
    interrupt() {
      for (const held of running) if (held.phase === 'running') abort(held, 'worker_stopped');
    },
    close() {
      closed = true;
      const left = waiting.slice(next).filter(({ phase }) => phase === 'waiting');
      waiting = [];
      next = 0;
      return left;
    },
    open() {
      closed = false;
      fill();
    },
    abandon() {
      for (const held of [...running]) {
        if (held.phase !== 'running') continue;
        held.endedAt = performance.now();
        onEnd(held, failed(held, undefined));
        strays += 1;
      }
    },
    get busy() {
      return running.size;
    },
    get strays() {
      return strays;
    },
  };
}

function abort(held: HeldJob, reason: StopReason): void {
  held.controller ??= new AbortController();
  held.controller.abort(new JobStopped(reason));
}

/** Whatever a handler throws after it was told to end, that is why. */
function failed(held: HeldJob, thrown: unknown): Report {
  const { aborted, reason } = held.controller?.signal ?? { aborted: false, reason: undefined };
  const failure =
    aborted && reason instanceof JobStopped
      ? { code: reason.reason, message: reason.message, retryable: true }
      : failureOf(thrown);
  return { kind: 'failed', failure };
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** A result that cannot be sent is the job's fault: another attempt would give the same. */
function completed(value: unknown): Report {
  try {
    return { kind: 'completed', result: sentJson(value) };
  } catch (error) {
    const { message } = failureOf(error);
    return { kind: 'failed', failure: { code: 'invalid_result', message: `result: ${message}`, retryable: false } };
  }
}

/** Its parts are made when they are first looked at, since most jobs never do. */
class Context implements JobContext {
  readonly #held: HeldJob;
  readonly #onProgress: (held: HeldJob) => void;

  constructor(held: HeldJob, onProgress: (held: HeldJob) => void) {
    this.#held = held;
    this.#onProgress = onProgress;
  }

  get signal(): AbortSignal {
    const held = this.#held;
    held.controller ??= new AbortController();
    return held.controller.signal;
  }

  get heartbeat(): (progress?: unknown) => void {
    return (progress) => {
      const held = this.#held;
      if (held.phase !== 'running') return;
      held.progress = sentJson(progress);
      this.#onProgress(held);
    };
  }
}
