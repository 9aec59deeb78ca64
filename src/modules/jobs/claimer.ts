import type { AppError } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import { createLoop, type Loop } from '../../platform/loop.js';
import type { Log } from '../../platform/log.js';
import { within } from '../../platform/within.js';
import type { Appended, Origin } from '../events/index.js';
import type { ClaimedJob } from './jobs.js';
import { claimJobs, type Demand } from './store-claim.js';
import { releaseJobs } from './store-report.js';

export interface ClaimRequest extends Demand {
  /** Sorted, without repetitions. */
  readonly kinds: readonly string[];
  /** How long to wait for a first job; 0: not at all. */
  readonly waitMs: number;
}

/**
 * Claims jobs for all workers of this server. Workers that want the same kinds are served by one statement, so that they
 * do not contend for the head of the queue; servers among each other skip the rows that the other is just taking. A claim with a
 * `keep` has a transaction of its own, after the others.
 */
export interface Claimer {
  /**
   * Answers as soon as there is a job, or [] after the wait. What was claimed for a caller who has gone is put back, unless it is
   * kept for the caller to ask again.
   */
  claim(request: ClaimRequest, signal: AbortSignal, keep?: Keep<ClaimedJob[]>): Promise<ClaimedJob[]>;
  start(): void;
  /** Resolves when what was claimed for those who have gone is back. */
  stop(): Promise<void>;
}

export interface ClaimerDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly wakeups: Wakeups;
  readonly log: Log;
  /** Aborts when the server is about to stop: every wait ends then, and later claims answer [] at once. */
  readonly stopping: AbortSignal;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
  /** How often waiting workers look for jobs that nobody told them of, in milliseconds. */
  readonly pollMs: number;
}

/** The topic on which jobs of a kind are announced. */
export const queuedTopic = (kind: string): string => `queued:${kind}`;

const maxPerStatement = 1000;
const stopMs = 3000;

interface Waiter {
  readonly request: ClaimRequest;
  readonly signal: AbortSignal;
  readonly keep: Keep<ClaimedJob[]> | undefined;
  readonly answer: (jobs: ClaimedJob[]) => void;
  readonly fail: (error: unknown) => void;
}

interface Line {
  readonly kinds: readonly string[];
  readonly waiters: Set<Waiter>;
  readonly unlisten: () => void;
  running: boolean;
  again: boolean;
}

export function createClaimer({ db, clock, wakeups, log, stopping, appended, pollMs }: ClaimerDeps): Claimer {
  const lines = new Map<string, Line>();

  // Once for all waits: a signal made by AbortSignal.any() for each of them would never be freed by Node 20.
  stopping.addEventListener('abort', () => {
    for (const line of lines.values()) for (const waiter of [...line.waiters]) waiter.answer([]);
  });

  /** Statements under way. */
  const busy = new Set<Promise<void>>();
  function track(work: Promise<void>): void {
    busy.add(work);
    void work.finally(() => busy.delete(work));
  }

  function lineOf(kinds: readonly string[]): Line {
    const key = kinds.join(' ');
    let line = lines.get(key);
    if (line === undefined) {
      const made: Line = {
        kinds,
        waiters: new Set(),
        running: false,
        again: false,
        unlisten: () => stops.forEach((stop) => stop()),
      };
      const stops = kinds.map((kind) => wakeups.on(queuedTopic(kind), () => serve(made)));
      lines.set(key, (line = made));
    }
    return line;
  }

  function serve(line: Line): void {
    if (line.running) line.again = true;
    else if (line.waiters.size > 0) track(run(line));
  }

  async function run(line: Line): Promise<void> {
    line.running = true;
    do {
      line.again = false;
      // After the callbacks of this turn: workers that become free together ask together.
      await new Promise(setImmediate);
      await claimForAll(line);
    } while (line.again && line.waiters.size > 0);
    line.running = false;
    if (line.waiters.size === 0) {
      line.unlisten();
      lines.delete(line.kinds.join(' '));
    }
  }

  async function claimForAll(line: Line): Promise<void> {
    const waiters = [...line.waiters];
    const together = waiters.filter(({ keep }) => keep === undefined);
    let more = together.length === 0 || (await claimFor(line, together));
    for (const waiter of waiters) {
      if (waiter.keep === undefined) continue;
      // Where the one before found nothing, this one would not either.
      if (more) more = await claimFor(line, [waiter]);
      else deliver(line, waiter, [], false);
    }
  }

  /** For waiters who share a statement, or a single one who keeps the answer. Answers whether there may be more. */
  async function claimFor(line: Line, waiters: readonly Waiter[]): Promise<boolean> {
    const asked: Waiter[] = [];
    const demands: Demand[] = [];
    let room = maxPerStatement;
    for (const waiter of waiters) {
      if (room === 0) break;
      const max = Math.min(waiter.request.max, room);
      room -= max;
      asked.push(waiter);
      demands.push({ ...waiter.request, max });
    }
    try {
      const { claimed, met, stale } = await claim(line.kinds, demands, waiters[0]?.keep);
      const count = claimed.reduce((sum, jobs) => sum + jobs.length, 0);
      if (count > 0) appended('JobStarted', count);
      asked.forEach((waiter, index) => deliver(line, waiter, claimed[index] ?? [], stale));
      // All that was asked for was there, so there may be more for the others.
      if (met || stale) line.again = true;
      if (line.kinds.length > 1 && line.again) announceOthers(line.kinds);
      return met || stale;
    } catch (error) {
      for (const waiter of asked) {
        line.waiters.delete(waiter);
        waiter.fail(error);
      }
      return true;
    }
  }

  function claim(kinds: readonly string[], demands: readonly Demand[], keep: Keep<ClaimedJob[]> | undefined) {
    if (keep === undefined) return claimJobs(db, kinds, demands, clock.now());
    return db.transaction(async (tx) => {
      const claims = await claimJobs(tx, kinds, demands, clock.now());
      const [jobs = []] = claims.claimed;
      if (jobs.length > 0) await keep(tx, jobs);
      return claims;
    });
  }

  /** A claim of several kinds locks more rows for a moment than it takes; a server that skipped them looks again. */
  function announceOthers(kinds: readonly string[]): void {
    for (const kind of kinds) wakeups.notify(queuedTopic(kind));
  }

  function deliver(line: Line, waiter: Waiter, jobs: ClaimedJob[], askAgain: boolean): void {
    if (!line.waiters.has(waiter)) {
      if (jobs.length > 0 && waiter.keep === undefined) track(giveBack(jobs, waiter.request.origin));
      return;
    }
    if (jobs.length === 0 && (askAgain || waiter.request.waitMs > 0)) return;
    line.waiters.delete(waiter);
    waiter.answer(jobs);
  }

  async function giveBack(jobs: readonly ClaimedJob[], origin: Origin): Promise<void> {
    try {
      const leases = jobs.map(({ id, leaseToken }) => ({ id, leaseToken, origin }));
      const released = await releaseJobs(db, leases, clock.now());
      if (released.length > 0) appended('JobQueued', released.length);
      for (const kind of new Set(released.map((row) => row.kind))) wakeups.notify(queuedTopic(kind));
    } catch (error) {
      // Their leases will run out.
      log.warn('jobs_not_given_back', { corr_id: origin.correlationId, count: jobs.length, error });
    }
  }

  const poll: Loop = createLoop({
    name: 'job_claims',
    log,
    intervalMs: pollMs,
    run: async () => lines.forEach((line) => serve(line)),
  });

  return {
    claim(request, signal, keep) {
      if (stopping.aborted || signal.aborted || request.max === 0) return Promise.resolve([]);
      const line = lineOf(request.kinds);
      return new Promise<ClaimedJob[]>((resolve, reject) => {
        const leave = (): void => settle(() => resolve([]));
        const timer = request.waitMs > 0 ? setTimeout(leave, request.waitMs) : undefined;
        const settle = (answer: () => void): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', leave);
          line.waiters.delete(waiter);
          answer();
        };
        const waiter: Waiter = {
          request,
          signal,
          keep,
          answer: (jobs) => settle(() => resolve(jobs)),
          fail: (error) => settle(() => reject(error as AppError)),
        };
        signal.addEventListener('abort', leave, { once: true });
        line.waiters.add(waiter);
        serve(line);
      });
    },
    start: () => poll.start(),
    async stop() {
      await poll.stop();
      const idle = async (): Promise<void> => {
        while (busy.size > 0) await Promise.all(busy);
      };
      await within(stopMs, idle());
    },
  };
}
