import { AppError, invalidField } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import type { Log } from '../../platform/log.js';
import { createLoop } from '../../platform/loop.js';
import { pageLimit } from '../../platform/paging.js';
import { type Appended, type Event, type FilterInput, filterOf } from './events.js';
import { expired, yetToCome } from './refusals.js';
import { type Batch, createFeed, farthest } from './feed.js';
import { createSequencer } from './sequencer.js';
import { expireEvents, type Extent, readEvents, readExtent, readLag } from './store.js';

export interface EventsDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly wakeups: Wakeups;
  readonly log: Log;
  /** Aborts when the server is about to stop. */
  readonly stopping: AbortSignal;
  readonly pollMs: number;
  /** How long a reader may take over what it is told, in milliseconds. */
  readonly stallMs: number;
  /** How long events are kept; undefined: for ever. */
  readonly retentionMs: number | undefined;
  /** How many of the newest are kept; undefined: all. */
  readonly retentionCount: number | undefined;
  /** Counts what this server appends. */
  readonly onAppended?: Appended | undefined;
}

type Optional<T> = T | null | undefined;

export type PageInput = FilterInput & {
  readonly after?: Optional<number>;
  readonly before?: Optional<number>;
  readonly limit?: Optional<number>;
};
export type SubscribeInput = FilterInput & { readonly after?: Optional<number> };

/** The ledger. Everything rejects with AppErrors that name the field at fault. */
export interface Events {
  /** Call after a commit with events in it. */
  readonly appended: Appended;
  /**
   * Newest first, up to what was committed before the call. Rejects as `replay` does. `audit`: whether the audit trail may be seen, here
   * and below.
   */
  list(input: PageInput, audit: boolean): Promise<readonly Event[]>;
  /**
   * Oldest first, up to what was committed before the call. Rejects with `invalid_request` when events after `after`, or all before
   * `before`, have expired, and when `after` is yet to come. Before the oldest that is kept there is just no more.
   */
  replay(input: PageInput, audit: boolean): Promise<readonly Event[]>;
  /** The first batch has no events, tells where it begins and comes at once: nothing that comes after it is missed. */
  subscribe(input: SubscribeInput, audit: boolean, signal: AbortSignal): AsyncIterable<Batch>;
  /** For how long the oldest event without a number has been waiting, in seconds; 0 when there is none. */
  lagSeconds(): Promise<number>;
  start(): void;
  stop(): Promise<void>;
}

const pageSizes = { usual: 100, most: 1000 };
const retentionPage = 1000;
const retentionEveryMs = 10_000;

export function createEvents(deps: EventsDeps): Events {
  const { db, clock, wakeups, log, stopping, pollMs, stallMs, retentionMs, retentionCount, onAppended } = deps;
  const feed = createFeed({ db, wakeups, log, pollMs, stallMs });
  const sequencer = createSequencer({ db, wakeups, log, pollMs, hurried: () => feed.followers > 0 });

  const retention = createLoop({
    name: 'event_retention',
    log,
    intervalMs: retentionEveryMs,
    run: async () => {
      if (retentionMs === undefined && retentionCount === undefined) return undefined;
      const since = retentionMs === undefined ? undefined : new Date(clock.now().getTime() - retentionMs);
      const count = await expireEvents(db, { since, newest: retentionCount }, retentionPage);
      if (count > 0) log.info('events_expired', { count });
      return count === retentionPage ? 0 : undefined;
    },
  });

  async function readPage(input: PageInput, from: 'oldest' | 'newest', audit: boolean): Promise<readonly Event[]> {
    const range = { ...pageOf(input), after: input.after ?? 0, from };
    const filter = filterOf(input, audit);
    await sequencer.flush();
    const { events, ...kept } = await readEvents(db, range, filter);
    if (isGiven(input.after)) checkAfter(input.after, kept);
    if (isGiven(input.before)) checkBefore(input.before, kept);
    return events;
  }

  return {
    appended(type, count) {
      onAppended?.(type, count);
      sequencer.appended();
    },
    async list(input, audit) {
      return readPage(input, 'newest', audit);
    },
    async replay(input, audit) {
      return readPage(input, 'oldest', audit);
    },
    async *subscribe(input, audit, signal) {
      checkSeq('after', input.after);
      const filter = filterOf(input, audit);
      await sequencer.flush();
      const { head, oldest } = await readExtent(db);
      const after = input.after ?? head;
      checkAfter(after, { head, oldest });
      yield { events: [], readUpTo: after };
      const over = new AbortController();
      const stop = (): void => over.abort();
      signal.addEventListener('abort', stop, { once: true });
      stopping.addEventListener('abort', stop, { once: true });
      try {
        if (!signal.aborted && !stopping.aborted) yield* feed.follow(after, filter, over.signal);
      } finally {
        signal.removeEventListener('abort', stop);
        stopping.removeEventListener('abort', stop);
      }
      if (stopping.aborted) {
        throw new AppError('unavailable', 'The server is stopping; go on after the last event that you have seen.');
      }
    },
    lagSeconds: () => readLag(db),
    start() {
      sequencer.start();
      feed.start();
      retention.start();
    },
    async stop() {
      await Promise.all([sequencer.stop(), feed.stop(), retention.stop()]);
    },
  };
}

function isGiven(number: Optional<number>): number is number {
  return number !== undefined && number !== null;
}

/** Throws where somebody who has read up to `after` would miss something without knowing it. */
function checkAfter(after: number, { head, oldest }: Extent): void {
  if (oldest > after + 1) throw expired('after', after, oldest);
  if (after > head) throw yetToCome(after, head);
}

/** The same for somebody who reads backwards. One who has read all that is kept is at its end. */
function checkBefore(before: number, { oldest }: Extent): void {
  if (before > 1 && before < oldest) throw expired('before', before, oldest);
}

function checkSeq(field: string, seq: Optional<number>): void {
  if (isGiven(seq) && seq < 0) throw invalidField(field, 'must be 0 or more');
}

function pageOf({ after, before, limit }: PageInput): { readonly before: number; readonly limit: number } {
  checkSeq('after', after);
  checkSeq('before', before);
  return { before: before ?? farthest, limit: pageLimit(limit, pageSizes) };
}
