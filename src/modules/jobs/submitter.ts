import { AppError } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import { createWriter } from '../../platform/db/writer.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import type { Appended, Origin } from '../events/index.js';
import { queuedTopic } from './claimer.js';
import { type JobStatus, newJob, statusOf, type SubmitInput } from './jobs.js';
import { findByKeys, type IdentifiedJob, insertJobs, type KeyedRow } from './store.js';

export interface Submitted {
  readonly id: string;
  readonly kind: string;
  readonly status: JobStatus;
}

export interface SubmitterDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly wakeups: Wakeups;
  /** Called when jobs wait for their run_at. */
  readonly onScheduled: () => void;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
}

/** Stores new jobs, those of concurrent callers in one statement and one commit. Rejects with what newJob throws, or
 * `conflict` for another request under the same idempotency key. */
export function createSubmitter({ db, clock, newId, wakeups, onScheduled, appended }: SubmitterDeps) {
  const inserts = createWriter<IdentifiedJob, Submitted>(db, {
    maxItems: 500,
    maxInFlight: 2,
    weigh: ({ payload }) => payload.length,
    maxWeight: 4 * 1024 * 1024,
    run: async (jobs, on) => {
      const inserted = await insertJobs(on, jobs, clock.now());
      const keys = jobs.flatMap((job) =>
        inserted.has(job.id) || job.idempotencyKey === undefined ? [] : [job.idempotencyKey],
      );
      const known = new Map<string, KeyedRow>();
      if (keys.length > 0) for (const row of await findByKeys(on, keys)) known.set(row.idempotency_key, row);
      const outputs = jobs.map((job): Submitted | Error => {
        if (inserted.has(job.id)) return { id: job.id, kind: job.kind, status: 'queued' };
        return firstAnswer(job, known.get(job.idempotencyKey ?? ''));
      });
      const committed = (): void => {
        if (inserted.size > 0) appended('JobQueued', inserted.size);
        announce(jobs.filter(({ id }) => inserted.has(id)));
      };
      return { outputs, committed };
    },
  });

  /** Tells who waits for such jobs. */
  function announce(jobs: readonly Pick<IdentifiedJob, 'kind' | 'state'>[]): void {
    const kinds = new Set<string>();
    let scheduled = false;
    for (const job of jobs) {
      if (job.state === 'queued') kinds.add(job.kind);
      else scheduled = true;
    }
    for (const kind of kinds) wakeups.notify(queuedTopic(kind));
    if (scheduled) onScheduled();
  }

  return {
    announce,
    async submit(input: SubmitInput, origin: Origin, keep?: Keep<Submitted>): Promise<Submitted> {
      return inserts.submit(Object.assign(newJob(input, clock.now()), { id: newId('job'), origin }), keep);
    },
  };
}

/** The job that this key made before, as the first answer told it, if it was asked for the same. */
function firstAnswer(job: IdentifiedJob, known: KeyedRow | undefined): Submitted | Error {
  if (known === undefined || job.requestHash === undefined) {
    return new AppError('unavailable', 'The first request under this idempotency key is not finished; try again.');
  }
  if (!job.requestHash.equals(known.request_hash)) {
    return new AppError('conflict', `idempotency_key: another request used it before, for ${known.id}`, {
      details: { field: 'idempotency_key', id: known.id },
    });
  }
  return { id: known.id, kind: known.kind, status: statusOf('queued') };
}
