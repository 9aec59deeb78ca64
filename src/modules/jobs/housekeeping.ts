import type { Clock } from '../../platform/clock.js';
import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import type { Log } from '../../platform/log.js';
import { createLoop } from '../../platform/loop.js';
import { type Appended, systemOrigin } from '../events/index.js';
import { queuedTopic } from './claimer.js';
import { afterLostLease, afterTimeout } from './jobs.js';
import { settleFailures } from './store-report.js';
import { deleteFinishedJobs, lockOverdueJobs, nextDueAt, promoteDueJobs } from './store-time.js';
import { changedTopic, stoppedTopic } from './watcher.js';

export interface HousekeepingDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly wakeups: Wakeups;
  readonly log: Log;
  readonly random: () => number;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
  readonly pollMs: number;
  /** How long finished jobs are kept; undefined: for ever. */
  readonly retentionMs: number | undefined;
}

/** What the passing of time does to jobs. Every server runs it; rows that another is at are skipped. */
export interface Housekeeping {
  /** Looks for scheduled jobs anew: one has been added that may be due sooner than the next known one. */
  scheduleChanged(): void;
  start(): void;
  stop(): Promise<void>;
}

const batch = 500;
const claimsAtOnce = 200;
const retentionPage = 2000;
const retentionEveryMs = 60_000;

export function createHousekeeping(deps: HousekeepingDeps): Housekeeping {
  const { db, clock, wakeups, log, random, appended, pollMs, retentionMs } = deps;

  const promotion = createLoop({
    name: 'due_jobs',
    log,
    intervalMs: pollMs,
    run: async () => {
      const kinds = await promoteDueJobs(db, clock.now(), batch);
      for (const kind of new Set(kinds)) wakeups.notify(queuedTopic(kind));
      if (kinds.length === batch) return 0;
      const due = await nextDueAt(db);
      // A little late rather than a little early, when there would be nothing to do yet.
      return due === undefined ? undefined : due.getTime() - clock.now().getTime() + 1;
    },
  });

  const overdue = createLoop({
    name: 'overdue_jobs',
    log,
    intervalMs: pollMs,
    run: async () => {
      const { outcomes, more } = await db.transaction(async (tx) => {
        const now = clock.now();
        const due = await lockOverdueJobs(tx, now, claimsAtOnce);
        const settled = due.overdue.map((row) => {
          const attempted = { attempts: row.attempts, maxAttempts: row.max_attempts };
          const after =
            row.timed_out && !row.lease_lost && row.timeout_sec !== null
              ? afterTimeout({ ...attempted, timeoutSec: row.timeout_sec }, now, random())
              : afterLostLease(attempted, now);
          return { id: row.id, kind: row.kind, origin: systemOrigin, ...after };
        });
        if (settled.length > 0) await settleFailures(tx, settled, now);
        return { outcomes: settled, more: due.more };
      });
      for (const { id, kind, state, error } of outcomes) {
        log.warn('job_attempt_lost', { job_id: id, kind, state, reason: error.code });
        if (state === 'queued') wakeups.notify(queuedTopic(kind));
        if (state === 'scheduled') promotion.wake();
      }
      if (outcomes.length > 0) {
        const lost = outcomes.filter(({ state }) => state === 'error').length;
        if (lost > 0) appended('JobFailed', lost);
        if (lost < outcomes.length) appended('JobRetrying', outcomes.length - lost);
        wakeups.notify(stoppedTopic);
        wakeups.notify(changedTopic);
      }
      return more ? 0 : undefined;
    },
  });

  /** Where the last look for finished jobs ended. */
  let lookedAt = '';
  const retention = createLoop({
    name: 'job_retention',
    log,
    intervalMs: retentionEveryMs,
    run: async () => {
      if (retentionMs === undefined) return undefined;
      const before = new Date(clock.now().getTime() - retentionMs);
      const { deleted, last } = await deleteFinishedJobs(db, lookedAt, before, retentionPage);
      if (deleted > 0) log.info('jobs_expired', { count: deleted });
      lookedAt = last ?? '';
      return last === undefined ? undefined : 0;
    },
  });

  const loops = [promotion, overdue, retention];
  return {
    scheduleChanged: () => promotion.wake(),
    start: () => loops.forEach((loop) => loop.start()),
    stop: async () => {
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
}
