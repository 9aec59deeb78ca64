import { AppError } from '../../errors.js';
import type { Clock } from '../clock.js';
import { createBatcher } from '../db/batcher.js';
import type { Db } from '../db/db.js';
import { addCalls, forgetWindows } from '../db/rate-counts.js';
import type { Log } from '../log.js';
import { createLoop } from '../loop.js';
import { networkOf } from '../net.js';

/** So many calls in each window of time. */
export interface Rate {
  readonly limit: number;
  readonly windowMs: number;
}

/** Whose calls are counted together. */
export interface Subject {
  readonly scope: 'principal' | 'address';
  readonly id: string;
}

/** What is left to somebody after a call. */
export interface Quota {
  readonly limit: number;
  readonly remaining: number;
  /** Seconds until the next window. */
  readonly resetSec: number;
}

/**
 * Counts calls, together with all other servers on the database, in windows that begin and end with the database's clock. Exactly as
 * many as the limit pass in a window, however many come at a time and wherever.
 */
export interface RateLimiter {
  /** Counts a call. Rejects with `rate_limited` beyond the limit; undefined where nothing limits such calls. */
  count(subject: Subject, writes: boolean): Promise<Quota | undefined>;
  /** Counts a call of somebody who was not let in. Rejects as `count`; where only writes are limited, these are as many. */
  countStranger(address: Subject): Promise<void>;
  /** Whether this server knows already that the subject may not read on in the present window. */
  isExhausted(subject: Subject): boolean;
  start(): void;
  stop(): Promise<void>;
}

export interface RateLimiterOptions {
  readonly all: Rate | undefined;
  /** For calls that change something; undefined: they count with all others. */
  readonly writes: Rate | undefined;
}

export interface RateLimiterDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
}

interface Window {
  readonly key: string;
  readonly until: Date;
}

const forgetEveryMs = 60_000;
/** How many subjects are known to be exhausted, at most: the others are asked for in the database. */
const maxExhausted = 10_000;

export function createRateLimiter(options: RateLimiterOptions, { db, clock, log }: RateLimiterDeps): RateLimiter {
  /** Who has nothing left, and until when. */
  const exhausted = new Map<string, number>();

  /** Answers for each call its number in its window. Calls of one subject share a row, and all that come together a statement. */
  const counter = createBatcher<Window, number>({
    maxItems: 1000,
    maxInFlight: 2,
    run: async (windows) => {
      const rows = new Map<string, { readonly subject: string; readonly until: Date; count: number }>();
      const places = windows.map(({ key: subject, until }) => {
        const id = `${until.getTime()} ${subject}`;
        const row = rows.get(id) ?? { subject, until, count: 0 };
        rows.set(id, row);
        row.count += 1;
        return { id, place: row.count };
      });
      // In one order, so that servers do not wait for each other in a circle.
      const sorted = [...rows.keys()].sort().flatMap((id) => rows.get(id) ?? []);
      const counted = await addCalls(db, sorted);
      const totals = new Map(counted.map(({ subject, until, count }) => [`${until.getTime()} ${subject}`, count]));
      return places.map(({ id, place }) => (totals.get(id) ?? 0) - (rows.get(id)?.count ?? 0) + place);
    },
  });

  const loop = createLoop({
    name: 'rate_windows',
    log,
    intervalMs: forgetEveryMs,
    run: async () => {
      const now = clock.now();
      for (const [key, until] of exhausted) if (until <= now.getTime()) exhausted.delete(key);
      await forgetWindows(db, now);
    },
  });

  function isOut(key: string, now: number): boolean {
    const until = exhausted.get(key);
    return until !== undefined && until > now;
  }

  async function countBy(rate: Rate, subject: Subject, apart: boolean): Promise<Quota> {
    const key = keyOf(subject, apart);
    const now = clock.now().getTime();
    const until = (Math.floor(now / rate.windowMs) + 1) * rate.windowMs;
    const resetSec = Math.ceil((until - now) / 1000);
    const number = isOut(key, now) ? Infinity : await counter.submit({ key, until: new Date(until) });
    if (number >= rate.limit && exhausted.size < maxExhausted) exhausted.set(key, until);
    if (number > rate.limit) throw tooMany(rate, resetSec, apart ? `${subject.scope}.writes` : subject.scope);
    return { limit: rate.limit, remaining: rate.limit - number, resetSec };
  }

  return {
    async count(subject, writes) {
      const apart = writes && options.writes !== undefined;
      const rate = apart ? options.writes : options.all;
      return rate && countBy(rate, subject, apart);
    },
    async countStranger(address) {
      const rate = options.all ?? options.writes;
      if (rate !== undefined) await countBy(rate, address, false);
    },
    isExhausted: (subject) => isOut(keyOf(subject, false), clock.now().getTime()),
    start: () => loop.start(),
    stop: () => loop.stop(),
  };
}

function keyOf({ scope, id }: Subject, apart: boolean): string {
  return `${scope}${apart ? '.writes' : ''} ${id}`;
}

function tooMany({ limit, windowMs }: Rate, resetSec: number, scope: string): AppError {
  return new AppError('rate_limited', `The limit is ${limit} in ${windowMs / 1000} s; try again in ${resetSec} s.`, {
    details: { limit, remaining: 0, reset_sec: resetSec, scope },
  });
}

/** An address as what one caller has of them: one of IPv4, the 64 bits of the network of IPv6. */
export function addressSubject(address: string | undefined): Subject {
  return { scope: 'address', id: address === undefined ? 'unknown' : networkOf(address) };
}
