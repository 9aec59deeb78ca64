import { type Job, JobStatus } from '../../gen/muster/v1/jobs_pb.js';
import type { MusterClient } from './client.js';
import { type FollowOptions, reconnecting } from './reconnecting.js';

/**
 * A job's present state, then each change, up to and including the final one. A connection that is lost on the way is
 * made anew, for ever; what has been told is not told again. Throws as a call does when the first connection fails, or when
 * the server refuses.
 */
export async function* followJob(client: MusterClient, id: string, options: FollowOptions = {}): AsyncIterable<Job> {
  let last = '';
  for await (const { job } of reconnecting((call) => client.jobs.watchJob({ id }, call), options)) {
    if (job === undefined) continue;
    const seen = JSON.stringify(job, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
    if (seen !== last) yield job;
    last = seen;
    if (isFinal(job.status)) return;
  }
}

export function isFinal(status: JobStatus): boolean {
  return status === JobStatus.DONE || status === JobStatus.ERROR || status === JobStatus.CANCELED;
}
