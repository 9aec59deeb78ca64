import { type Job, JobStatus } from '../../gen/muster/v1/jobs_pb.js';
import type { MusterClient } from './client.js';
import { errorFactsOf } from './error-facts.js';
import { createConditions } from './waiting.js';

export interface FollowOptions {
  readonly signal?: AbortSignal | undefined;
  /** The connection was lost and will be tried again. */
  readonly onLost?: ((error: unknown, retryInMs: number) => void) | undefined;
}

const firstRetryMs = 100;
const maxRetryMs = 5_000;

/**
 * A job's present state, then each change, up to and including the final one. A connection that is lost on the way is
 * made anew, for ever; what has been told is not told again. Throws as a call does when the first connection fails, or when
 * the server refuses.
 */
export async function* followJob(client: MusterClient, id: string, options: FollowOptions = {}): AsyncIterable<Job> {
  const { signal, onLost } = options;
  const conditions = createConditions();
  let last = '';
  for (let failures = 0, reached = false; ; failures += 1) {
    try {
      for await (const { job } of client.jobs.watchJob({ id }, signal === undefined ? {} : { signal })) {
        if (job === undefined) continue;
        reached = true;
        failures = 0;
        const seen = JSON.stringify(job, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
        if (seen !== last) yield job;
        last = seen;
        if (isFinal(job.status)) return;
      }
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

export function isFinal(status: JobStatus): boolean {
  return status === JobStatus.DONE || status === JobStatus.ERROR || status === JobStatus.CANCELED;
}
