import { randomUUID } from 'node:crypto';
import { AppError } from '../../errors.js';
import type { Db } from '../../platform/db/db.js';
import { createLoop } from '../../platform/loop.js';
import type { Log } from '../../platform/log.js';
import { within } from '../../platform/within.js';
import type { ClaimedJob, OwnQueue } from '../jobs/index.js';
import { findLive } from './store-runs.js';
import type { Starter } from './starter.js';

export interface RunnerDeps {
  readonly db: Db;
  readonly log: Log;
  readonly queue: OwnQueue;
  readonly starter: Starter;
  /** How many gates this server runs at a time; 0: none. */
  readonly concurrency: number;
  readonly pollMs: number;
  /** Aborts when the server is about to stop: no more is taken then. */
  readonly stopping: AbortSignal;
}

/** Runs gates that wait, on this server. */
export interface Runner {
  start(): void;
  /** Ends what runs and gives it back, for another server or the next start. */
  stop(): Promise<void>;
}

/** A run of a command in our hands. */
interface Running {
  readonly job: ClaimedJob;
  readonly over: AbortController;
  done: Promise<void>;
  /** Which start of the command it is; undefined until it is known. */
  run: number | undefined;
  renewedAt: number;
}

const watchMs = 1_000;
/** For so many looks a run stays ours without a sign of life; it is renewed after a quarter of them. */
const leaseLooks = 15;
const retryMs = 1_000;
/** A program has 5 s to end when it is told to. */
const stopMs = 20_000;

export function createRunner({ db, log, queue, starter, concurrency, pollMs, stopping }: RunnerDeps): Runner {
  const workerId = `gates-${randomUUID()}`;
  const lookMs = Math.min(pollMs, watchMs);
  const leaseSec = Math.max(2, Math.ceil((leaseLooks * lookMs) / 1000));
  const running = new Set<Running>();
  let ending = new AbortController();
  let claiming: Promise<void> | undefined;
  let wake = (): void => undefined;

  function begin(job: ClaimedJob): void {
    const over = new AbortController();
    const mine: Running = { job, over, run: undefined, renewedAt: performance.now(), done: Promise.resolve() };
    running.add(mine);
    if (ending.signal.aborted) over.abort();
    mine.done = carryOut(mine).finally(() => {
      running.delete(mine);
      wake();
    });
  }

  async function carryOut(mine: Running): Promise<void> {
    const { job, over } = mine;
    try {
      const isOver = await starter.run(job, { signal: over.signal, onBegun: (run) => (mine.run = run) });
      await (isOver ? queue.complete(job) : queue.release(job));
    } catch (error) {
      // Its lease runs out, and the job comes again.
      if (!isLostLease(error)) log.error('gate_run_failed', { job_id: job.id, error });
    }
  }

  async function claimOn(signal: AbortSignal): Promise<void> {
    // Claims are answered at once when the server is about to stop.
    while (!signal.aborted && !stopping.aborted) {
      const max = concurrency - running.size;
      if (max <= 0) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      try {
        const jobs = await queue.claim({ workerId, max, leaseSec }, signal);
        jobs.forEach(begin);
      } catch (error) {
        log.warn('gates_not_claimed', { error });
        await within(retryMs, new Promise<void>((resolve) => (wake = resolve)));
      }
    }
  }

  /** Ends what has been cancelled or lost, and keeps the rest ours. */
  const watch = createLoop({
    name: 'gates',
    log,
    intervalMs: lookMs,
    run: async () => {
      const begun = [...running].filter(({ run }) => run !== undefined);
      if (begun.length > 0) {
        const live = await findLive(
          db,
          begun.map(({ job }) => job.id),
        );
        for (const { job, run, over: cancelled } of begun) if (live.get(job.id) !== run) cancelled.abort();
      }
      await Promise.all([...running].map(renew));
    },
  });

  async function renew(mine: Running): Promise<void> {
    const now = performance.now();
    if (now - mine.renewedAt < (leaseSec * 1000) / 4) return;
    mine.renewedAt = now;
    try {
      await queue.heartbeat(mine.job);
    } catch (error) {
      if (isLostLease(error)) mine.over.abort();
      else log.warn('gate_not_renewed', { job_id: mine.job.id, error });
    }
  }

  return {
    start() {
      if (concurrency === 0) return;
      ending = new AbortController();
      watch.start();
      claiming = claimOn(ending.signal);
    },
    async stop() {
      ending.abort();
      wake();
      for (const each of running) each.over.abort();
      const ended = Promise.all([claiming, ...[...running].map(({ done }) => done)]);
      if (!(await within(stopMs, ended))) log.warn('gates_left_behind', { count: running.size });
      await watch.stop();
    },
  };
}

function isLostLease(error: unknown): boolean {
  return error instanceof AppError && error.kind === 'lease_lost';
}
