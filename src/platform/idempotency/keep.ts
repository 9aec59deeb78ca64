import type { Db, Queries, Tx } from '../db/db.js';

/**
 * Keeps what a write has come to in the transaction that makes it, as its last step: then it is there for whoever asks again under
 * the same Idempotency-Key exactly when the change is. Rejects when somebody else has taken the call over, and the transaction
 * must then be rolled back, as it is when the error is let through.
 */
export type Keep<T> = (tx: Tx, result: T) => Promise<void>;

/**
 * Answers what `write` gives, in the shape of an answer. Hands it what keeps that same answer where the call has a key; a write
 * of one transaction has no more to do than `await keep?.(tx, result)` before it ends, one of several does so in the last of them.
 */
export async function keeping<T, A extends object>(
  call: { readonly keep: Keep<object> | undefined },
  shape: (result: T) => A,
  write: (keep: Keep<T> | undefined) => Promise<T>,
): Promise<A> {
  const { keep } = call;
  return shape(await write(keep && ((tx, result) => keep(tx, shape(result)))));
}

/** Runs a write of one statement: by itself, or in a transaction with what keeps its result. */
export function writeOnce<T>(db: Db, keep: Keep<T> | undefined, write: (on: Queries) => Promise<T>): Promise<T> {
  if (keep === undefined) return write(db);
  return db.transaction(async (tx) => {
    const result = await write(tx);
    await keep(tx, result);
    return result;
  });
}
