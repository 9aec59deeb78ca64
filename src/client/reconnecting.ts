import { type CallOptions, Code, ConnectError } from '@connectrpc/connect';
import { errorFactsOf } from './error-facts.js';
import { createConditions } from './waiting.js';

export interface FollowOptions {
  readonly signal?: AbortSignal | undefined;
  /** The connection was lost and will be tried again. */
  readonly onLost?: ((error: unknown, retryInMs: number) => void) | undefined;
}

export interface ReconnectingOptions extends FollowOptions {
  /** The server has answered already, so that even the first connection is tried again. */
  readonly reached?: boolean | undefined;
}

const firstRetryMs = 100;
const maxRetryMs = 5_000;

/**
 * The messages of a stream that has no end of its own. One that is lost on the way is asked for anew by `connect`, for ever,
 * later and later while none holds. Throws as a call does when the server has never been reached, when it refuses, and when
 * the signal aborts.
 */
export async function* reconnecting<T>(
  connect: (options: CallOptions) => AsyncIterable<T>,
  { signal, onLost, reached: reachedBefore = false }: ReconnectingOptions,
): AsyncIterable<T> {
  const conditions = createConditions();
  for (let failures = 0, reached = reachedBefore; ; failures += 1) {
    try {
      for await (const message of connect(signal === undefined ? {} : { signal })) {
        reached = true;
        failures = 0;
        yield message;
      }
      throw new ConnectError('the server has ended the stream', Code.Unavailable);
    } catch (error) {
      const { word, unreachable } = errorFactsOf(error);
      // A server that is about to stop says `unavailable` too.
      if (!reached || signal?.aborted === true || (!unreachable && word !== 'unavailable')) throw error;
      const retryInMs = Math.min(maxRetryMs, firstRetryMs * 2 ** failures) * (0.5 + Math.random() / 2);
      onLost?.(error, retryInMs);
      await conditions.until(() => false, retryInMs, signal);
    }
  }
}
