import type { Statement, Tx } from '../../platform/db/db.js';
import type { EventType, Origin } from './events.js';

/**
 * The SQL with which a statement of another module records its events in its own transaction: as one more of its common
 * table expressions. The rows that changed come first and their events second, so that events of one row are in the order
 * of its changes: a later change waits for the row, and draws the id of its event when it has it.
 */
export interface Append {
  /** SQL for the type. */
  readonly type: string;
  /** What follows FROM: a row for each job. */
  readonly from: string;
  /** SQL for the time. */
  readonly at: string;
  /** SQL for the number of a row's origin in `originParams().index`; 0 where all rows have the same. */
  readonly origin: string;
  /** The number of the first of the four parameters of `originParams().values`. */
  readonly originsAt: number;
  /** SQL for the job's id. */
  readonly jobId: string;
}

const columns = 'at, type, source, actor_kind, actor_id, correlation_id';

function commonOf({ type, at, origin, originsAt }: Append): string {
  const part = (parameter: number): string => `($${originsAt + parameter}::text[])[${origin} + 1]`;
  return `${at}, ${type}, ${part(0)}, ${part(1)}, ${part(2)}, ${part(3)}`;
}

/** One event, of which all is given: `originAt` is the number of the first of four parameters, the parts of its origin. */
export function appendOne(
  { type, at, originAt, jobId }: Pick<Append, 'type' | 'at' | 'jobId'> & { readonly originAt: number },
  payload: string,
): string {
  const origin = [0, 1, 2, 3].map((part) => `$${originAt + part}`).join(', ');
  return `INSERT INTO events_new (count, ${columns}, job_ids, payload)
    VALUES (1, ${at}, ${type}, ${origin}, ARRAY[${jobId}], ${payload})`;
}

/** An event for each row. `payload` is SQL for JSON: the fields of the job that have changed, as they are now. */
export function appendEach(append: Append, payload: string): string {
  return `INSERT INTO events_new (count, ${columns}, job_ids, payload)
    SELECT 1, ${commonOf(append)}, ARRAY[${append.jobId}], ${payload} FROM ${append.from}`;
}

/** The same where many rows have the same origin: they share a row of the table. `payload` is SQL for text. */
export function appendMany(append: Append, payload: string): string {
  return `INSERT INTO events_new (count, ${columns}, job_ids, payloads)
    SELECT count(*), ${commonOf(append)}, array_agg(${append.jobId}), array_agg(${payload})
    FROM ${append.from} GROUP BY ${groupsOf(append)}`;
}

/** The same where all have the same payload: JSON of a parameter. */
export function appendSame(append: Append, payload: string): string {
  return `INSERT INTO events_new (count, ${columns}, job_ids, payload)
    SELECT count(*), ${commonOf(append)}, array_agg(${append.jobId}), ${payload}
    FROM ${append.from} GROUP BY ${groupsOf(append)}`;
}

function groupsOf({ type, origin }: Append): string {
  return type.startsWith("'") ? origin : `${origin}, ${type}`;
}

/** The origins of a statement's rows: each different one once, as four parameters, and its number for each row. */
export function originParams(origins: readonly Origin[]): {
  readonly index: readonly number[];
  readonly values: readonly (readonly (string | null)[])[];
} {
  const numbers = new Map<Origin, number>();
  const index = origins.map((origin) => {
    let number = numbers.get(origin);
    if (number === undefined) numbers.set(origin, (number = numbers.size));
    return number;
  });
  const distinct = [...numbers.keys()];
  return {
    index,
    values: [
      distinct.map(({ source }) => source),
      distinct.map(({ actor }) => actor.kind),
      distinct.map(({ actor }) => actor.id),
      distinct.map(({ correlationId }) => correlationId ?? null),
    ],
  };
}

/** A change to record: what it is about, and the fields that have changed, as they are now. */
export interface Change {
  readonly type: EventType;
  readonly taskId?: string | undefined;
  readonly reviewId?: string | undefined;
  readonly repoId?: string | undefined;
  readonly sessionId?: string | undefined;
  readonly jobId?: string | undefined;
  readonly payload: { readonly [field: string]: unknown };
  /** For those only who may read the audit trail. */
  readonly restricted?: boolean | undefined;
}

/** A change and who made it. */
export type OriginatedChange = Change & { readonly origin: Origin };

const append: Statement = {
  name: 'events_append',
  text: `INSERT INTO events_new (count, ${columns}, task_id, review_id, repo_id, session_id, job_ids, payload, restricted)
    SELECT 1, $1, c.type, c.source, c.actor_kind, c.actor_id, c.correlation_id, c.task_id, c.review_id, c.repo_id, c.session_id,
      CASE WHEN c.job_id IS NOT NULL THEN ARRAY[c.job_id] END, c.payload::json, c.restricted
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
      $12::text[], $13::boolean[]) WITH ORDINALITY
      AS c (type, source, actor_kind, actor_id, correlation_id, task_id, review_id, repo_id, session_id, job_id, payload, restricted, n)
    ORDER BY c.n`,
};

/**
 * Records changes that do not come by the thousand, in the transaction that makes them and after the rows have been changed.
 * They keep their order.
 */
export function appendEvents(tx: Tx, origin: Origin, at: Date, changes: readonly Change[]): Promise<void> {
  return appendOriginated(
    tx,
    at,
    changes.map((change) => ({ ...change, origin })),
  );
}

/** The same for what several callers have changed. */
export async function appendOriginated(tx: Tx, at: Date, changes: readonly OriginatedChange[]): Promise<void> {
  if (changes.length === 0) return;
  await tx.query(append, [
    at.toISOString(),
    changes.map(({ type }) => type),
    changes.map(({ origin }) => origin.source),
    changes.map(({ origin }) => origin.actor.kind),
    changes.map(({ origin }) => origin.actor.id),
    changes.map(({ origin }) => origin.correlationId ?? null),
    changes.map(({ taskId }) => taskId ?? null),
    changes.map(({ reviewId }) => reviewId ?? null),
    changes.map(({ repoId }) => repoId ?? null),
    changes.map(({ sessionId }) => sessionId ?? null),
    changes.map(({ jobId }) => jobId ?? null),
    changes.map(({ payload }) => JSON.stringify(payload)),
    changes.map(({ restricted }) => restricted === true),
  ]);
}
