import { AppError, invalidField } from '../../errors.js';
import { isId } from '../../platform/ids.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { Json } from '../../platform/json.js';
import type { Origin } from '../events/index.js';
import { checkedJsonText, jobError, type JobError, type JobState, jsonText, limits } from './jobs.js';
import type { Completion, Renewal, Reports } from './reports.js';
import type { Leased } from './store.js';

export type CompleteInput = Leased & { readonly result?: Json | undefined };
/** As a stream tells it: with JSON as text, of which the empty one is null. */
export type CompletedInput = Leased & { readonly resultJson: string };
export type HeartbeatInput = Leased & { readonly progress?: Json | undefined };
/** The same; the empty text says nothing of the progress. */
export type HeldInput = Leased & { readonly progressJson: string };
export type FailInput = Leased & {
  readonly error?: Partial<JobError> | null | undefined;
  readonly retryable?: boolean | null | undefined;
};

/** Takes workers' reports as they came in, checks each, and files it. Every way to report comes through here. */
export interface Desk {
  complete(input: CompleteInput, origin: Origin, keep?: Keep<void>): Promise<void>;
  /** Answers what became of each, in order; never rejects. */
  completeAll(inputs: readonly CompletedInput[], origin: Origin): Promise<readonly (void | Error)[]>;
  fail(input: FailInput, origin: Origin, keep?: Keep<JobState>): Promise<JobState>;
  heartbeat(input: HeartbeatInput, keep?: Keep<Renewal>): Promise<Renewal>;
  held(input: HeldInput): Promise<Renewal>;
  release(input: Leased, origin: Origin): Promise<void>;
}

export function createDesk(reports: Reports): Desk {
  return {
    async complete(input, origin, keep) {
      const { result = null } = input;
      const text = result === null ? undefined : jsonText('result', result, limits.payloadBytes);
      await reports.complete({ ...checkLease(input), origin, result: text }, keep);
    },
    async completeAll(inputs, origin) {
      const outcomes: (void | Error)[] = [];
      const places: number[] = [];
      const completions: Completion[] = [];
      inputs.forEach((input, index) => {
        try {
          const { id, leaseToken } = checkLease(input);
          const result = givenJson('result_json', input.resultJson, limits.payloadBytes);
          places.push(index);
          completions.push({ id, leaseToken, result, origin });
        } catch (error) {
          outcomes[index] = error as Error;
        }
      });
      const stored = await reports.completeAll(completions);
      stored.forEach((outcome, place) => (outcomes[places[place] ?? 0] = outcome));
      return outcomes;
    },
    async fail(input, origin, keep) {
      const error = jobError(input.error);
      return reports.fail({ ...checkLease(input), origin, error, retryable: input.retryable ?? false }, keep);
    },
    async heartbeat(input, keep) {
      const progress =
        input.progress === undefined ? undefined : jsonText('progress', input.progress, limits.progressBytes);
      return reports.heartbeat({ ...checkLease(input), progress }, keep);
    },
    async held(input) {
      const progress = givenJson('progress_json', input.progressJson, limits.progressBytes);
      return reports.heartbeat({ ...checkLease(input), progress });
    },
    release: async (input, origin) => reports.release({ ...checkLease(input), origin }),
  };
}

function givenJson(field: string, text: string, maxBytes: number): string | undefined {
  return text === '' ? undefined : checkedJsonText(field, text, maxBytes);
}

/** Throws `not_found` for what cannot be a job, as a path that leads nowhere does. */
function checkLease({ id, leaseToken }: Leased): Leased {
  if (!isId('job', id)) throw new AppError('not_found', `There is no job ${id}.`);
  if (leaseToken === '') throw invalidField('lease_token', 'is required');
  if (!/^[A-Za-z0-9-]{1,64}$/.test(leaseToken)) throw invalidField('lease_token', 'is no lease token');
  return { id, leaseToken };
}
