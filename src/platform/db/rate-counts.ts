import type { Db, Statement } from './db.js';

/** Somebody's calls in the window that ends then. */
export interface Calls {
  readonly subject: string;
  readonly until: Date;
  readonly count: number;
}

const add: Statement = {
  name: 'rate_counts_add',
  text: `INSERT INTO rate_counts AS r (subject, until, count)
    SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[])
    ON CONFLICT (subject, until) DO UPDATE SET count = r.count + excluded.count
    RETURNING subject, until, count`,
};

/** Adds to the counts, each subject and window once, and answers what they come to. */
export async function addCalls(db: Db, calls: readonly Calls[]): Promise<Calls[]> {
  return db.query<Calls>(add, [
    calls.map(({ subject }) => subject),
    calls.map(({ until }) => until.toISOString()),
    calls.map(({ count }) => count),
  ]);
}

const forget: Statement = { name: 'rate_counts_forget', text: 'DELETE FROM rate_counts WHERE until <= $1' };

/** Drops the windows that have ended. */
export async function forgetWindows(db: Db, now: Date): Promise<void> {
  await db.query(forget, [now.toISOString()]);
}
