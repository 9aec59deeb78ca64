import type { Principal } from '../../platform/auth/principal.js';
import type { Db, Queries, Statement } from '../../platform/db/db.js';

const insert: Statement = {
  name: 'tickets_insert',
  text: `WITH expired AS (
      DELETE FROM tickets WHERE expires_at <= $4
    )
    INSERT INTO tickets (hash, principal, expires_at) VALUES ($1, $2, $3)`,
};

/** Also clears away those whose time is over. */
export async function insertTicket(
  on: Queries,
  hash: Buffer,
  principal: Principal,
  { expiresAt, now }: { readonly expiresAt: Date; readonly now: Date },
): Promise<void> {
  await on.query(insert, [hash, JSON.stringify(principal), expiresAt.toISOString(), now.toISOString()]);
}

const take: Statement = {
  name: 'tickets_take',
  text: 'DELETE FROM tickets WHERE hash = $1 RETURNING principal, expires_at > $2 AS valid',
};

/** Uses a ticket up and answers whose it is. Undefined when there is none, or its time is over. */
export async function takeTicket(db: Db, hash: Buffer, now: Date): Promise<Principal | undefined> {
  const [row] = await db.query<{ principal: string; valid: boolean }>(take, [hash, now.toISOString()]);
  if (row?.valid !== true) return undefined;
  const { until, ...principal } = JSON.parse(row.principal) as Omit<Principal, 'until'> & { readonly until?: string };
  return { ...principal, until: until === undefined ? undefined : new Date(until) };
}
