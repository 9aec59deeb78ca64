import type { Conditions } from './waiting.js';

export interface KeepConnectedOptions {
  /** One connection, until it ends; rejects when it broke. */
  readonly connect: () => Promise<void>;
  /** True when no connection is needed any more. */
  readonly enough: () => boolean;
  /** An error after which trying again is of no use. */
  readonly isFinal: (error: unknown) => boolean;
  readonly onLost: (error: unknown, retryInMs: number) => void;
  readonly conditions: Conditions;
}

const firstRetryMs = 100;
const maxRetryMs = 10_000;
/** A connection that held for so long was a good one; the next failure is a first one. */
const goodConnectionMs = 10_000;

/**
 * Connects again whenever a connection ends, later and later while none holds, up to 10 s; jitter keeps the workers of a
 * server that restarts from coming back all at once. Rejects with a final error.
 */
export async function keepConnected(options: KeepConnectedOptions): Promise<void> {
  const { connect, enough, isFinal, onLost, conditions } = options;
  for (let failures = 0; ; failures += 1) {
    const began = performance.now();
    let failure: unknown;
    try {
      await connect();
    } catch (error) {
      if (isFinal(error)) throw error;
      failure = error;
    }
    if (enough()) return;
    if (performance.now() - began > goodConnectionMs) failures = 0;
    const retryInMs = Math.min(maxRetryMs, firstRetryMs * 2 ** failures) * (0.5 + Math.random() / 2);
    onLost(failure, retryInMs);
    if (await conditions.until(enough, retryInMs)) return;
  }
}
