import type { Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import type { Json } from '../../platform/json.js';
import { type Appended, type Origin, systemOrigin } from '../events/index.js';
import type { Claimer } from './claimer.js';
import { type ClaimedJob, jsonText, limits, type NewJob } from './jobs.js';
import type { Renewal, Reports } from './reports.js';
import { insertJobs, type Leased } from './store.js';

/** A job of the server's own. */
export interface OwnJob {
  /** By `OwnQueue.newId`. */
  readonly id: string;
  readonly payload: Json;
  /** Undefined: at once. */
  readonly runAt: Date | undefined;
}

/**
 * A queue for the server's own work. A job says that something is to be done; what has been done stands with what it is for, so that one
 * that comes twice does no harm. Jobs are given out for as long as they are not completed.
 */
export interface OwnQueue {
  newId(): string;
  /** In the transaction that makes what they are for. */
  add(tx: Tx, jobs: readonly OwnJob[], origin: Origin, now: Date): Promise<void>;
  /** Waits for jobs; none after a minute, and when `signal` aborts. */
  claim(
    input: { readonly workerId: string; readonly max: number; readonly leaseSec: number },
    signal: AbortSignal,
  ): Promise<readonly ClaimedJob[]>;
  /** These reject with `lease_lost` when it is somebody else's by now. */
  heartbeat(lease: Leased): Promise<Renewal>;
  complete(lease: Leased): Promise<void>;
  /** Gives it back, to be run again at once. */
  release(lease: Leased): Promise<void>;
}

export interface OwnQueueDeps {
  readonly claimer: Claimer;
  readonly reports: Reports;
  readonly newId: NewId;
  /** Called after the commit. */
  readonly onAdded: (jobs: readonly Pick<NewJob, 'kind' | 'state'>[]) => void;
  readonly appended: Appended;
}

const waitMs = 60_000;
/** A lost lease says nothing of the work, which may be given up by whoever does it. */
const maxAttempts = 100;
const normal = 2;

export function createOwnQueue(kind: string, { claimer, reports, newId, onAdded, appended }: OwnQueueDeps): OwnQueue {
  return {
    newId: () => newId('job'),
    async add(tx, jobs, origin, now) {
      if (jobs.length === 0) return;
      const added = jobs.map(({ id, payload, runAt = now }) => ({
        id,
        origin,
        kind,
        state: runAt.getTime() > now.getTime() ? ('scheduled' as const) : ('queued' as const),
        payload: jsonText('payload', payload, limits.payloadBytes),
        priority: normal,
        runAt,
        maxAttempts,
        timeoutSec: undefined,
        idempotencyKey: undefined,
        requestHash: undefined,
      }));
      await insertJobs(tx, added, now);
      tx.afterCommit(() => {
        appended('JobQueued', added.length);
        onAdded(added);
      });
    },
    claim: (input, signal) => claimer.claim({ ...input, kinds: [kind], waitMs, origin: systemOrigin }, signal),
    heartbeat: ({ id, leaseToken }) => reports.heartbeat({ id, leaseToken, progress: undefined }),
    complete: ({ id, leaseToken }) => reports.complete({ id, leaseToken, result: undefined, origin: systemOrigin }),
    release: ({ id, leaseToken }) => reports.release({ id, leaseToken, origin: systemOrigin }),
  };
}
