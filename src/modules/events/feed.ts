import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import type { Log } from '../../platform/log.js';
import { createLoop } from '../../platform/loop.js';
import { type Event, type Filter, fits, isUnfiltered, noFilter } from './events.js';
import { expired, tooSlow } from './refusals.js';
import { readEvents, readExtent } from './store.js';

/** Announced when events have been numbered. */
export const numberedTopic = 'events_numbered';

/** Consecutive events that go together; the same object for all who get the same. */
export interface Batch {
  readonly events: readonly Event[];
  /** Of a batch without events: all up to this seq has been read for its reader, who misses nothing by going on after it. */
  readonly readUpTo?: number | undefined;
}

/**
 * Reads each new event once for all subscribers of this server and keeps the latest ones at hand. A subscriber has no queue,
 * but a place in the ledger: one who is slower than the others falls behind by himself and reads from the database what is no
 * longer at hand, so that he costs no memory and nobody else's time.
 */
export interface Feed {
  /**
   * Every event after `after` that fits, in order, for as long as the signal lets it; and now and then, where none fits, how far it has
   * been read. Without that a reader whom nothing is told would keep the place at which it began, until what comes after that has
   * expired. The caller has checked that `after` is in the ledger. Throws `unavailable` when the reader took longer than `stallMs` over a
   * batch, `invalid_request` when it is so slow that what comes next has expired.
   */
  follow(after: number, filter: Filter, signal: AbortSignal): AsyncIterable<Batch>;
  /** How many are following now. */
  readonly followers: number;
  start(): void;
  stop(): Promise<void>;
}

export interface FeedDeps {
  readonly db: Db;
  readonly wakeups: Wakeups;
  readonly log: Log;
  readonly pollMs: number;
  /** In milliseconds. */
  readonly stallMs: number;
  /** How long a reader may go without being told its place, in milliseconds; 15 s by default. */
  readonly placeMs?: number;
  /** Milliseconds that only count up; performance.now() by default. */
  readonly now?: () => number;
}

/** Most events that are read at a time; for one who reads what is no longer at hand, also by the characters of their payloads. */
const page = 1000;
const firstPage = 100;
const pageSize = 256 * 1024;
/** A reader is told its place when so much has gone by that does not fit. */
const placeEveryMs = 15_000;
const placeEveryEvents = 1000;
/** What is kept at hand: so many events, of so many characters of payload. */
const keptEvents = 10_000;
const keptSize = 8 * 1024 * 1024;

/** A batch, and the seq up to which all has been told with it. */
interface Told {
  readonly batch: Batch;
  readonly upTo: number;
}

interface Kept extends Batch {
  readonly first: number;
  readonly last: number;
  readonly size: number;
}

export function createFeed(deps: FeedDeps): Feed {
  const { db, wakeups, log, pollMs, stallMs, placeMs = placeEveryMs, now = () => performance.now() } = deps;
  let kept: Kept[] = [];
  let keptCount = 0;
  let keptChars = 0;
  /** The last event that was read. All after `from` are at hand. */
  let head = 0;
  let from = 0;
  const waiting = new Set<() => void>();
  let followers = 0;
  let tailLimit = firstPage;

  function keep(events: readonly Event[]): void {
    const first = events[0]?.seq ?? 0;
    const last = events.at(-1)?.seq ?? 0;
    const size = sizeOf(events);
    kept.push({ events, first, last, size });
    keptCount += events.length;
    keptChars += size;
    head = last;
    let dropped = 0;
    while (kept.length - dropped > 1 && (keptCount > keptEvents || keptChars > keptSize)) {
      const oldest = kept[dropped++];
      if (oldest === undefined) break;
      keptCount -= oldest.events.length;
      keptChars -= oldest.size;
      from = oldest.last;
    }
    if (dropped > 0) kept = kept.slice(dropped);
  }

  const tail = createLoop({
    name: 'event_feed',
    log,
    intervalMs: pollMs,
    run: async () => {
      if (followers === 0) return undefined;
      const limit = tailLimit;
      const { events } = await readEvents(db, { after: head, before: farthest, limit, from: 'oldest' }, noFilter);
      if (events.length === 0) return undefined;
      const next = events[0]?.seq;
      // Expired before this server came to read them, after it had been stopped for long.
      if (next !== head + 1) {
        kept = [];
        keptCount = keptChars = 0;
        from = (next ?? 1) - 1;
      }
      for (const part of parts(events)) keep(part);
      tailLimit = fittingCount(events);
      wakeAll();
      return events.length === limit ? 0 : undefined;
    },
  });
  const unlisten = wakeups.on(numberedTopic, () => followers > 0 && tail.wake());

  /** The first one to follow after a while without anybody, during which nothing was read. */
  async function awake(): Promise<void> {
    const { head: present } = await readExtent(db);
    if (present <= head) return;
    kept = [];
    keptCount = keptChars = 0;
    head = from = present;
    wakeAll();
  }

  function wakeAll(): void {
    const all = [...waiting];
    waiting.clear();
    for (const wake of all) wake();
  }

  /** The first batch at hand with events after `cursor`, without those that are not. */
  function nextAtHand(cursor: number): Batch | undefined {
    let low = 0;
    let high = kept.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((kept[middle]?.last ?? 0) > cursor) high = middle;
      else low = middle + 1;
    }
    const batch = kept[low];
    if (batch === undefined || batch.first > cursor) return batch;
    return { events: batch.events.slice(cursor - batch.first + 1) };
  }

  function readPage(after: number, upTo: number, limit: number, filter: Filter): ReturnType<typeof readEvents> {
    const reading = readEvents(db, { after, before: upTo + 1, limit, from: 'oldest' }, filter);
    // It is waited for later, and perhaps by nobody.
    reading.catch(() => undefined);
    return reading;
  }

  /**
   * What is no longer at hand, page by page. While one is being told, the next is being read. A reader that takes nothing holds two
   * of them, so their size is bounded, by what the events of the one before had.
   */
  async function* replay(after: number, filter: Filter): AsyncIterable<Told> {
    let cursor = after;
    let upTo = head;
    let limit = firstPage;
    let coming = readPage(cursor, upTo, limit, filter);
    for (let more = true; more;) {
      const { events, oldest } = await coming;
      if (oldest > cursor + 1) throw expired('after', cursor, oldest);
      cursor = events.length < limit ? upTo : (events.at(-1)?.seq ?? upTo);
      more = cursor < from;
      if (more) {
        upTo = head;
        limit = fittingCount(events);
        coming = readPage(cursor, upTo, limit, filter);
      }
      for (const part of parts(events)) yield { batch: { events: part }, upTo: part.at(-1)?.seq ?? cursor };
      // What did not fit the filter has been told, too.
      yield { batch: { events: [] }, upTo: cursor };
    }
  }

  /** One batch after the other, so that a reader that takes nothing holds on to no more than one. */
  function* present(after: number, filter: Filter): Iterable<Told> {
    const all = isUnfiltered(filter);
    let cursor = after;
    while (cursor >= from) {
      const batch = nextAtHand(cursor);
      if (batch === undefined) return;
      cursor = batch.events.at(-1)?.seq ?? cursor;
      const fitting = all ? seen(batch, filter) : { events: batch.events.filter((event) => fits(event, filter)) };
      yield { batch: fitting, upTo: cursor };
    }
  }

  async function* follow(after: number, filter: Filter, signal: AbortSignal): AsyncIterable<Batch> {
    let cursor = after;
    /** What the reader knows of its place, and since when. */
    let told = after;
    let toldAt = now();
    let wake: () => void = () => undefined;
    const leave = (): void => wake();

    function untilPlaceMs(): number {
      if (cursor === told) return Infinity;
      return cursor - told >= placeEveryEvents ? 0 : Math.max(0, toldAt + placeMs - now());
    }

    async function wakened(ms: number): Promise<void> {
      const woken = new Promise<void>((resolve) => waiting.add((wake = resolve)));
      const timer = ms === Infinity ? undefined : setTimeout(wake, ms);
      await woken;
      clearTimeout(timer);
      waiting.delete(wake);
    }

    function* tell(batch: Batch): Iterable<Batch> {
      const handedOver = now();
      yield batch;
      told = batch.readUpTo ?? batch.events.at(-1)?.seq ?? told;
      toldAt = now();
      if (toldAt - handedOver > stallMs) throw tooSlow(cursor);
    }

    signal.addEventListener('abort', leave, { once: true });
    followers += 1;
    try {
      if (followers === 1) await awake();
      while (!signal.aborted) {
        if (cursor >= head) {
          const waitMs = untilPlaceMs();
          if (waitMs === 0) yield* tell({ events: [], readUpTo: cursor });
          else await wakened(waitMs);
          continue;
        }
        for await (const { batch, upTo } of cursor < from ? replay(cursor, filter) : present(cursor, filter)) {
          cursor = upTo;
          if (batch.events.length > 0) yield* tell(batch);
          else if (untilPlaceMs() === 0) yield* tell({ events: [], readUpTo: cursor });
          if (signal.aborted) return;
        }
      }
    } finally {
      followers -= 1;
      waiting.delete(wake);
      signal.removeEventListener('abort', leave);
    }
  }

  return {
    follow,
    get followers() {
      return followers;
    },
    start: () => tail.start(),
    async stop() {
      unlisten();
      await tail.stop();
    },
  };
}

const publicParts = new WeakMap<Batch, Batch>();

/** What may be seen of a batch: the same object for all readers who may see the same, so that it is encoded once for them. */
function seen(batch: Batch, { audit }: Filter): Batch {
  if (audit) return batch;
  let part = publicParts.get(batch);
  if (part === undefined) {
    const events = batch.events.filter(({ restricted }) => !restricted);
    publicParts.set(batch, (part = events.length === batch.events.length ? batch : { events }));
  }
  return part;
}

/** Beyond every event there will be. */
export const farthest = Number.MAX_SAFE_INTEGER;

function sizeOf(events: readonly Event[]): number {
  return events.reduce((sum, { payload }) => sum + payload.text.length, 0);
}

/** Splits them so that each part but for a single large event is a page at the most: a part is a message, and clients limit those. */
function parts(events: readonly Event[]): readonly (readonly Event[])[] {
  if (sizeOf(events) <= pageSize) return events.length === 0 ? [] : [events];
  const all: Event[][] = [];
  let size = Infinity;
  for (const event of events) {
    size += event.payload.text.length;
    if (size > pageSize) {
      all.push([]);
      size = event.payload.text.length;
    }
    all.at(-1)?.push(event);
  }
  return all;
}

/** How many events like these make a page. */
function fittingCount(events: readonly Event[]): number {
  const size = sizeOf(events);
  return size === 0 ? page : Math.max(1, Math.min(page, Math.floor((pageSize * events.length) / size)));
}
