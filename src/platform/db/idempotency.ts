import type { Db, Statement, Tx } from './db.js';

/**
 * The SQL of idempotency keys (migrations/0005-idempotency.ts). What only says who works on a key is committed without waiting for
 * the disk: the transaction that decides the call comes later in the log, so it is never there without the claim; and a claim that is
 * lost in a crash of Postgres lets its holder write nothing.
 */
const quickly = `quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))`;

/** A key in somebody's hands. */
export interface Claim {
  readonly id: Buffer;
  readonly claim: string;
}

export interface NewClaim extends Claim {
  readonly requestHash: Buffer;
  readonly until: Date;
}

/** ON CONFLICT alone would wait for whoever is just writing to a row that is there. */
const take: Statement = {
  name: 'idempotency_take',
  text: `WITH ${quickly}, free AS MATERIALIZED (
      SELECT id FROM idempotency_keys WHERE id = $1 AND claimed_until < $5
        AND (created_at <= $6 OR (answer IS NULL AND request_hash = $2))
      FOR UPDATE SKIP LOCKED
    ), taken AS (
      UPDATE idempotency_keys k SET request_hash = $2, claim = $3, claimed_until = $4, created_at = $5, answer = NULL
      FROM free, quick WHERE k.id = free.id RETURNING k.id
    ), added AS (
      INSERT INTO idempotency_keys (id, request_hash, claim, claimed_until, created_at)
      SELECT $1, $2, $3, $4, $5 FROM quick WHERE NOT EXISTS (SELECT FROM idempotency_keys WHERE id = $1)
      ON CONFLICT (id) DO NOTHING RETURNING id
    )
    SELECT id FROM taken UNION ALL SELECT id FROM added`,
};

/**
 * Claims a key that is new, or was first used at `expired` or before, or whose claim for the same request has lapsed without an answer.
 * Answers whether it did. Waits for nobody: a key whose answer is just being written is not free, however long that takes.
 */
export async function takeKey(db: Db, claim: NewClaim, now: Date, expired: Date): Promise<boolean> {
  const rows = await db.query(take, [
    claim.id,
    claim.requestHash,
    claim.claim,
    claim.until.toISOString(),
    now.toISOString(),
    expired.toISOString(),
  ]);
  return rows.length > 0;
}

const find: Statement = {
  name: 'idempotency_find',
  text: `SELECT claim, request_hash = $2 AS same, CASE WHEN request_hash = $2 THEN answer END AS answer
    FROM idempotency_keys WHERE id = $1`,
};

export interface KeyRow {
  readonly claim: string;
  /** Whether it stands for this very request. */
  readonly same: boolean;
  /** Null as long as there is none, and for another request. */
  readonly answer: Buffer | null;
}

export async function findKey(db: Db, id: Buffer, requestHash: Buffer): Promise<KeyRow | undefined> {
  const [row] = await db.query<KeyRow>(find, [id, requestHash]);
  return row;
}

const keep: Statement = {
  name: 'idempotency_keep',
  text: `UPDATE idempotency_keys SET answer = $3 WHERE id = $1 AND claim = $2 AND answer IS NULL RETURNING true`,
};

/** Writes the answer in the transaction that decides the call. False when the key is no longer in these hands: then roll back. */
export async function keepAnswer(tx: Tx, { id, claim }: Claim, answer: Buffer): Promise<boolean> {
  return (await tx.query(keep, [id, claim, answer])).length > 0;
}

const settle: Statement = {
  name: 'idempotency_settle',
  text: `WITH ${quickly}
    UPDATE idempotency_keys SET answer = $3 FROM quick WHERE id = $1 AND claim = $2 AND answer IS NULL RETURNING true`,
};

/** Writes the answer of a call that changed nothing. False when there is one already, or the key is in other hands. */
export async function settleAnswer(db: Db, { id, claim }: Claim, answer: Buffer): Promise<boolean> {
  return (await db.query(settle, [id, claim, answer])).length > 0;
}

const release: Statement = {
  name: 'idempotency_release',
  text: `WITH ${quickly}
    DELETE FROM idempotency_keys USING quick WHERE id = $1 AND claim = $2 AND answer IS NULL RETURNING true`,
};

/**
 * Forgets a key whose call failed. False when it has its answer already, or is in other hands. A transaction that is just writing
 * the answer is waited for.
 */
export async function releaseKey(db: Db, { id, claim }: Claim): Promise<boolean> {
  return (await db.query(release, [id, claim])).length > 0;
}

const renew: Statement = {
  name: 'idempotency_renew',
  text: `WITH ${quickly}, held AS (
      SELECT k.id FROM idempotency_keys k JOIN unnest($1::bytea[], $2::uuid[]) AS t (id, claim)
        ON k.id = t.id AND k.claim = t.claim
      WHERE k.answer IS NULL ORDER BY k.id FOR UPDATE OF k SKIP LOCKED
    )
    UPDATE idempotency_keys k SET claimed_until = $3 FROM held, quick WHERE k.id = held.id`,
};

/** Those whose answer is just being written need it no more, and are not waited for. */
export async function renewClaims(db: Db, claims: readonly Claim[], until: Date): Promise<void> {
  await db.query(renew, [claims.map(({ id }) => id), claims.map(({ claim }) => claim), until.toISOString()]);
}

const expire: Statement = {
  name: 'idempotency_expire',
  text: `WITH ${quickly}
    DELETE FROM idempotency_keys USING quick WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM idempotency_keys WHERE created_at <= $1 AND claimed_until < $2
      ORDER BY created_at LIMIT $3 FOR UPDATE SKIP LOCKED
    )) RETURNING true`,
};

/** Deletes up to `limit` keys that were first used at `expired` or before. Answers how many. */
export async function deleteExpiredKeys(db: Db, expired: Date, now: Date, limit: number): Promise<number> {
  return (await db.query(expire, [expired.toISOString(), now.toISOString(), limit])).length;
}
