import { AppError, invalidField } from '../../errors.js';
import { isId } from '../../platform/ids.js';
import type { Json } from '../../platform/json.js';
import { jobError, type JobError, type JobState, jsonText, limits } from './jobs.js';
import type { Renewal, Reports } from './reports.js';
import type { Leased } from './store.js';

export type CompleteInput = Leased & { readonly result?: Json | undefined };
export type HeartbeatInput = Leased & { readonly progress?: Json | undefined };
export type FailInput = Leased & {
  readonly error?: Partial<JobError> | null | undefined;
  readonly retryable?: boolean | null | undefined;
};

/** Takes workers' reports as they came in, checks each, and files it. Every way to report comes through here. */
export interface Desk {
  complete(input: CompleteInput): Promise<void>;
  fail(input: FailInput): Promise<JobState>;
  heartbeat(input: HeartbeatInput): Promise<Renewal>;
  release(input: Leased): Promise<void>;
}

export function createDesk(reports: Reports): Desk {
  return {
    async complete(input) {
      const result = jsonText('result', input.result ?? null, limits.payloadBytes);
      await reports.complete({ ...checkLease(input), result });
    },
    async fail(input) {
      const error = jobError(input.error);
      return reports.fail({ ...checkLease(input), error, retryable: input.retryable ?? false });
    },
    async heartbeat(input) {
      const progress =
        input.progress === undefined ? undefined : jsonText('progress', input.progress, limits.progressBytes);
      return reports.heartbeat({ ...checkLease(input), progress });
    },
    release: async (input) => reports.release(checkLease(input)),
  };
}

/** Throws `not_found` for what cannot be a job, as a path that leads nowhere does. */
function checkLease({ id, leaseToken }: Leased): Leased {
  if (!isId('job', id)) throw new AppError('not_found', `There is no job ${id}.`);
  if (leaseToken === '') throw invalidField('lease_token', 'is required');
  if (!/^[A-Za-z0-9-]{1,64}$/.test(leaseToken)) throw invalidField('lease_token', 'is no lease token');
  return { id, leaseToken };
}
