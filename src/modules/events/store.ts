import type { Db, Statement } from '../../platform/db/db.js';
import { JsonText } from '../../platform/json.js';
import type { Event, EventSource, EventType, Filter } from './events.js';

/** The SQL of the ledger; migrations/0002-events.ts tells how it is made. Appending is in `store-append.ts`. */

interface EventRow {
  readonly seq: number;
  readonly at: Date;
  readonly type: EventType;
  readonly source: EventSource;
  readonly actor_kind: string;
  readonly actor_id: string;
  readonly correlation_id: string | null;
  readonly task_id: string | null;
  readonly review_id: string | null;
  readonly repo_id: string | null;
  readonly session_id: string | null;
  readonly job_id: string | null;
  readonly payload: string;
  readonly restricted: boolean;
}

const columns = `e.seq, e.at, e.type, e.source, e.actor_kind, e.actor_id, e.correlation_id, e.task_id, e.review_id,
  e.repo_id, e.session_id, e.job_id, e.payload, e.restricted`;

function eventOf(row: EventRow): Event {
  return {
    id: `evt_${row.seq}`,
    seq: row.seq,
    at: row.at,
    type: row.type,
    source: row.source,
    actor: { kind: row.actor_kind, id: row.actor_id },
    correlationId: row.correlation_id ?? undefined,
    taskId: row.task_id ?? undefined,
    reviewId: row.review_id ?? undefined,
    repoId: row.repo_id ?? undefined,
    sessionId: row.session_id ?? undefined,
    jobId: row.job_id ?? undefined,
    payload: new JsonText(row.payload),
    restricted: row.restricted,
  };
}

const number: Statement = { name: 'events_number', text: 'SELECT number_events($1) AS numbered' };

/**
 * Numbers events that have no number yet: rows of `events_new` until there are `most` events or more. Answers how many; fewer than
 * `most` when there were no others.
 */
export async function numberEvents(db: Db, most: number): Promise<number> {
  const [row] = await db.query<{ numbered: number }>(number, [most]);
  return row?.numbered ?? 0;
}

/** What the ledger has: from `oldest` to `head`, of which `head` is `oldest` - 1 when it is empty. */
export interface Extent {
  readonly head: number;
  readonly oldest: number;
}

const extent: Statement = { name: 'events_extent', text: 'SELECT seq AS head, oldest FROM events_head' };

export async function readExtent(db: Db): Promise<Extent> {
  const [row] = await db.query<Extent>(extent, []);
  if (row === undefined) throw new Error('events_head is empty');
  return row;
}

const conditions = [
  ['types', 'e.type = ANY (?)'],
  ['source', 'e.source = ?'],
  ['taskId', 'e.task_id = ?'],
  ['reviewId', 'e.review_id = ?'],
  ['repoId', 'e.repo_id = ?'],
  ['sessionId', 'e.session_id = ?'],
  ['jobId', 'e.job_id = ?'],
] as const;

export interface Range {
  /** Only later ones. */
  readonly after: number;
  /** Only earlier ones. */
  readonly before: number;
  readonly limit: number;
  /** Which end to begin at. */
  readonly from: 'oldest' | 'newest';
}

/**
 * Reads a page, in the order in which it was asked for. What the ledger has is that of the same moment: when `oldest` is beyond `after` + 1,
 * events after `after` have expired. A statement has a name by its filter, so that each kind is planned once.
 */
export async function readEvents(
  db: Db,
  range: Range,
  filter: Filter,
): Promise<Extent & { readonly events: readonly Event[] }> {
  const values: unknown[] = [range.after, range.before, range.limit];
  let name = `events_read_${range.from}`;
  let where = 'e.seq > $1 AND e.seq < $2';
  if (!filter.audit) {
    name += '_public';
    where += ' AND NOT e.restricted';
  }
  for (const [field, condition] of conditions) {
    const value = filter[field];
    if (value === undefined || (field === 'types' && filter.types.length === 0)) continue;
    values.push(value);
    name += `_${field}`;
    where += ` AND ${condition.replace('?', `$${values.length}`)}`;
  }
  const text = `SELECT h.seq AS head, h.oldest, p.* FROM events_head h LEFT JOIN LATERAL (
      SELECT ${columns} FROM events e WHERE ${where} ORDER BY e.seq ${range.from === 'oldest' ? 'ASC' : 'DESC'} LIMIT $3
    ) p ON true`;
  const rows = await db.query<Extent & (EventRow | { seq: null })>({ name, text }, values);
  return {
    head: rows[0]?.head ?? 0,
    oldest: rows[0]?.oldest ?? 1,
    events: rows.flatMap((row) => (row.seq === null ? [] : eventOf(row))),
  };
}

const expire: Statement = {
  name: 'events_expire',
  text: `WITH fence AS MATERIALIZED (
      SELECT seq, oldest FROM events_head FOR UPDATE
    ), page AS MATERIALIZED (
      SELECT e.seq, e.at FROM events e, fence WHERE e.seq >= fence.oldest AND e.seq < fence.oldest + $3
    ), bound AS MATERIALIZED (
      SELECT fence.oldest AS was, greatest(
        fence.oldest,
        CASE WHEN $1::timestamptz IS NOT NULL THEN
          coalesce((SELECT min(seq) FROM page WHERE at >= $1), (SELECT max(seq) + 1 FROM page)) END,
        CASE WHEN $2::bigint IS NOT NULL THEN least(fence.seq + 1 - $2, fence.oldest + $3) END) AS oldest
      FROM fence
    ), deleted AS (
      DELETE FROM events WHERE seq < (SELECT oldest FROM bound)
    )
    UPDATE events_head h SET oldest = bound.oldest FROM bound WHERE bound.oldest > bound.was
    RETURNING bound.oldest - bound.was AS expired`,
};

export interface Keep {
  /** Events from then on are kept; undefined: all. */
  readonly since: Date | undefined;
  /** As many of the newest are kept; undefined: all. */
  readonly newest: number | undefined;
}

/**
 * Drops the oldest events that need not be kept by either, at most `most` of them, always from the oldest on without a gap.
 * One statement, so that a server that stops never holds up the sequencers. Answers how many.
 */
export async function expireEvents(db: Db, keep: Keep, most: number): Promise<number> {
  const [row] = await db.query<{ expired: number }>(expire, [
    keep.since?.toISOString() ?? null,
    keep.newest ?? null,
    most,
  ]);
  return row?.expired ?? 0;
}

const lag: Statement = {
  name: 'events_lag',
  text: `SELECT coalesce(extract(epoch FROM clock_timestamp() - (SELECT at FROM events_new ORDER BY id LIMIT 1)), 0)::float8
    AS lag`,
};

/** Seconds since the oldest event without a number was made. */
export async function readLag(db: Db): Promise<number> {
  const [row] = await db.query<{ lag: number }>(lag, []);
  return Math.max(0, row?.lag ?? 0);
}
