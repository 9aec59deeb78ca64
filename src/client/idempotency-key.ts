import type { CallOptions } from '@connectrpc/connect';

/**
 * Options of a call that makes it safe to repeat: however often the same request is sent under the same key within 24 hours, it is carried
 * out once, and every call gets the answer of the first. 1 to 255 printable ASCII characters, best a random UUID.
 *
 *     await muster.jobs.createJob({ kind: 'build' }, idempotencyKey(key));
 */
export function idempotencyKey(key: string): CallOptions {
  return { headers: { 'Idempotency-Key': key } };
}
