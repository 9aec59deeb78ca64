import { hostname } from 'node:os';
import type { WorkRequest, WorkResponse } from '../../gen/muster/v1/jobs_pb.js';
import { AppError } from '../errors.js';
import { createMusterClient, type MusterClient } from './client.js';
import { errorFactsOf } from './error-facts.js';
import type { HeldJob, WorkerLog } from './held-job.js';
import { createHoldings } from './holdings.js';
import type { StopReason } from './job.js';
import { keepConnected } from './keep-connected.js';
import { createLeaseWatch } from './lease-watch.js';
import { emptyUpdate, startRequest, updateRequest } from './messages.js';
import { createOutgoing, type Outgoing } from './outgoing.js';
import { createSlots, type JobHandler } from './slots.js';
import { createConditions } from './waiting.js';

export interface WorkerOptions {
  /** Whose server to work for; or else `url` and `token`. */
  readonly client?: MusterClient | undefined;
  readonly url?: string | undefined;
  readonly token?: string | undefined;
  /** Names the worker in the server's log; default host name and process id. */
  readonly workerId?: string | undefined;
  /** 1 to 50 kinds of jobs. */
  readonly kinds: readonly string[];
  /** How many handlers may run at a time; default 1. */
  readonly concurrency?: number | undefined;
  /**
   * How many jobs to hold ready besides those that run; default 0. Makes short jobs much faster. A job's own
   * timeout runs from its claim, so it has to allow for the wait.
   */
  readonly prefetch?: number | undefined;
  /** How long a job stays this worker's without a sign of life, in seconds; default 60. */
  readonly leaseSec?: number | undefined;
  readonly handler: JobHandler;
  readonly log?: WorkerLog | undefined;
}

export interface StopOptions {
  /** How long running jobs may take to end, in milliseconds; default 30,000. Then they are told to end at once. */
  readonly graceMs?: number | undefined;
}

export interface Worker {
  /** Begins to take jobs. While the server cannot be reached it tries again, for ever. */
  start(): void;
  /**
   * Takes no more jobs, gives back those that have not begun, lets the others end, tells what they ended with. Those
   * that do not end in time are told to by their signal and reported as failed, to be run again, with `worker_stopped`.
   * May be called again with less time to give.
   */
  stop(options?: StopOptions): Promise<void>;
  /** Resolves when the worker has stopped; rejects when the server refuses it for good, as for a wrong token. */
  readonly finished: Promise<void>;
}

const maxCapacity = 5000;
const defaultGraceMs = 30_000;
/** How long handlers that were told to end may take. */
const interruptMs = 15_000;
/** How long the last reports may take to be stored. */
const reportMs = 10_000;
const endMs = 5_000;
const storeRetryMs = 1000;
const refusals: ReadonlySet<string> = new Set(['unauthorized', 'forbidden', 'invalid_request', 'method_not_allowed']);

/**
 * Runs a handler for each job of some kinds, over one stream to the server.
 *
 * @throws AppError `invalid_request` naming the option that is wrong.
 */
export function createWorker(options: WorkerOptions): Worker {
  const { kinds, concurrency = 1, prefetch = 0, leaseSec = 60, workerId = defaultWorkerId(), handler, log } = options;
  checkRoom(concurrency, prefetch);
  const client = options.client ?? createMusterClient({ url: options.url, token: options.token });
  const conditions = createConditions();
  const holdings = createHoldings({ log, onLost: (held) => giveUp(held, 'lease_lost') });
  const slots = createSlots({
    concurrency,
    prefetch,
    handler,
    log,
    onEnd(held, report) {
      holdings.report(held, report);
      changed();
    },
    onProgress(held) {
      holdings.renew(held);
      changed();
    },
    onStrayEnd: changed,
  });
  const leases = createLeaseWatch({
    holdings,
    leaseMs: () => leaseMs,
    onDue: changed,
    onEnded: (held) => giveUp(held, 'lease_lost'),
  });
  let leaseMs = leaseSec * 1000;
  let outgoing: Outgoing | undefined;
  let toldCapacity = 0;
  let draining = false;
  let stopping = false;
  let storeTimer: NodeJS.Timeout | undefined;
  const graceOver = new AbortController();
  /** Aborts when no connection is wanted any more. */
  const over = new AbortController();
  let working: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;
  let settle = { resolve: (): void => undefined, reject: (_error: unknown): void => undefined };
  const finished = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  finished.catch(() => undefined);

  function changed(): void {
    outgoing?.wake();
    conditions.changed();
  }

  /** What the server may send on this connection: it does not know of jobs from before, nor of handlers that linger. */
  function capacity(): number {
    if (stopping || draining) return 0;
    return Math.max(0, concurrency + prefetch - holdings.foreign - slots.strays);
  }

  function nextMessage(): WorkRequest | undefined {
    let update = holdings.update();
    const now = capacity();
    if (now !== toldCapacity) {
      update ??= emptyUpdate();
      update.capacity = toldCapacity = now;
    }
    return update && updateRequest(update);
  }

  function giveUp(held: HeldJob, reason: StopReason): void {
    const ms = held.phase === 'waiting' ? 0 : performance.now() - held.startedAt;
    holdings.drop(held);
    slots.giveUp(held, reason);
    log?.({ type: 'job_stopped', job: held.job, reason, ms });
  }

  function giveBack(jobs: readonly HeldJob[]): void {
    for (const held of jobs) holdings.report(held, { kind: 'released' });
  }

  function receive({ started, stopped: stops, completed, outcomes, jobs, drain }: WorkResponse): void {
    if (started !== undefined) {
      leaseMs = started.leaseSec * 1000;
      log?.({ type: 'connected' });
    }
    for (const { id, leaseToken, reason } of stops) {
      const held = holdings.find(id, leaseToken);
      if (held !== undefined) giveUp(held, reason === 'canceled' || reason === 'timeout' ? reason : 'lease_lost');
    }
    for (const id of completed) holdings.completed(id);
    for (const outcome of outcomes) holdings.answer(outcome, leaseMs);
    if (holdings.unstored > 0) storeTimer ??= setTimeout(tellAgain, storeRetryMs);
    if (jobs.length > 0) {
      slots.add(holdings.hold(jobs, leaseMs));
      leases.watch();
    }
    if (drain && !draining) {
      draining = true;
      log?.({ type: 'draining' });
    }
    // Jobs that were on their way when there was still room for them.
    giveBack(draining || stopping ? slots.close() : slots.takeSurplus());
    changed();
  }

  function tellAgain(): void {
    storeTimer = undefined;
    holdings.retry();
    changed();
  }

  /** One connection, until it ends: resolves when either side ended it, rejects when it broke. */
  async function connect(): Promise<void> {
    holdings.reconnect();
    draining = false;
    toldCapacity = capacity();
    const start = startRequest({ workerId, kinds: [...kinds], capacity: toldCapacity, leaseSec });
    const mine = (outgoing = createOutgoing(start, nextMessage));
    try {
      if (!stopping) slots.open();
      for await (const response of client.jobs.work(mine.messages, { signal: over.signal })) {
        receive(response);
        // A server that stops leaves us the leases of what still runs; otherwise the end of our side would give it back.
        if (draining && holdings.settled) mine.end();
      }
    } catch (error) {
      if (!over.signal.aborted) throw error;
    } finally {
      mine.end();
      outgoing = undefined;
      conditions.changed();
    }
  }

  function clearUp(): void {
    leases.stop();
    clearTimeout(storeTimer);
    if (options.client === undefined) client.close();
  }

  async function end(): Promise<void> {
    await conditions.until(() => slots.busy === 0, Infinity, graceOver.signal);
    slots.interrupt();
    await conditions.until(() => slots.busy === 0, interruptMs);
    slots.abandon();
    await conditions.until(() => holdings.size === 0, reportMs);
    outgoing?.end();
    await conditions.until(() => outgoing === undefined, endMs);
    over.abort();
    changed();
    await working?.catch(() => undefined);
    clearUp();
    settle.resolve();
  }

  return {
    finished,
    start() {
      if (working !== undefined || stopping) return;
      working = keepConnected({
        connect,
        conditions,
        enough: () => over.signal.aborted || (stopping && holdings.size === 0),
        isFinal: (error) => refusals.has(errorFactsOf(error).word),
        onLost: (error, retryInMs) => log?.({ type: 'disconnected', error, retryInMs }),
      }).catch((error: unknown) => {
        slots.close();
        for (const held of holdings.all()) giveUp(held, 'worker_stopped');
        clearUp();
        settle.reject(error);
      });
    },
    async stop({ graceMs = defaultGraceMs } = {}) {
      stopping = true;
      giveBack(slots.close());
      const grace = setTimeout(() => graceOver.abort(), Math.min(graceMs, 2 ** 31 - 1));
      changed();
      try {
        await (stopped ??= end());
      } finally {
        clearTimeout(grace);
      }
    },
  };
}

function defaultWorkerId(): string {
  const host = hostname().replaceAll(/[^A-Za-z0-9_.:/-]/g, '_');
  return `${host.slice(0, 100)}-${process.pid}`;
}

function checkRoom(concurrency: number, prefetch: number): void {
  const check = (name: string, value: number, min: number): void => {
    if (Number.isInteger(value) && value >= min && value <= maxCapacity) return;
    throw new AppError('invalid_request', `${name}: must be between ${min} and ${maxCapacity}`);
  };
  check('concurrency', concurrency, 1);
  check('prefetch', prefetch, 0);
  check('concurrency + prefetch', concurrency + prefetch, 1);
}
