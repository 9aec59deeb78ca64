import type { Clock } from '../../platform/clock.js';
import { type Db, joinTransaction, type Queries } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import { createWriter } from '../../platform/db/writer.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { Appended, EventType, Origin } from '../events/index.js';
import { queuedTopic } from './claimer.js';
import { afterFailure, type AfterFailure, type JobError, type JobState, refusal } from './jobs.js';
import { findLeases, type Leased } from './store.js';
import { completeJobs, lockRunning, releaseJobs, renewLeases, settleFailures } from './store-report.js';
import { changedTopic } from './watcher.js';

/** A result of undefined is null. */
export type Completion = Leased & { readonly result: string | undefined; readonly origin: Origin };
export type Failure = Leased & { readonly error: JobError; readonly retryable: boolean; readonly origin: Origin };
export type Release = Leased & { readonly origin: Origin };
export type Heartbeat = Leased & { readonly progress: string | undefined };
/** What a heartbeat learns: the new end of the lease, or that the job was canceled under it. */
export type Renewal = { readonly leaseExpiresAt: Date } | { readonly canceled: true };

/**
 * What workers report on the jobs they hold. Reports of many workers share one statement and one commit; each is judged by
 * itself and answered after the commit. Each rejects with `not_found`, `lease_lost` or `invalid_state`. One with a `keep` has a
 * transaction of its own.
 */
export interface Reports {
  complete(report: Completion, keep?: Keep<void>): Promise<void>;
  /** Many at once: answers what became of each, in order, and never rejects. */
  completeAll(reports: readonly Completion[]): Promise<readonly (void | Error)[]>;
  /** Answers the state the job is in now: scheduled (another attempt) or error. */
  fail(report: Failure, keep?: Keep<JobState>): Promise<JobState>;
  heartbeat(report: Heartbeat, keep?: Keep<Renewal>): Promise<Renewal>;
  release(report: Release): Promise<void>;
}

export interface ReportsDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly wakeups: Wakeups;
  readonly random: () => number;
  /** Called when jobs wait for a later attempt. */
  readonly onScheduled: () => void;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
}

export function createReports({ db, clock, wakeups, random, onScheduled, appended }: ReportsDeps): Reports {
  function changed(type: EventType, count: number): void {
    appended(type, count);
    wakeups.notify(changedTopic);
  }

  /** Judges the reports that found no running job under their lease. */
  async function judge<O>(
    on: Queries,
    missed: readonly Leased[],
    to: JobState,
    repeat: O,
  ): Promise<(report: Leased) => O | Error> {
    const found = await findLeases(on, [...new Set(missed.map(({ id }) => id))]);
    return (report) => refusal(report.id, found.get(report.id), report.leaseToken, to) ?? repeat;
  }

  const completions = createWriter<Completion, void>(db, {
    maxItems: 1000,
    maxInFlight: 2,
    weigh: ({ result }) => result?.length ?? 0,
    maxWeight: 4 * 1024 * 1024,
    run: async (reports, on) => {
      const done = await completeJobs(on, sortedById(reports), clock.now());
      const committed = (): void => void (done.size > 0 && changed('JobDone', done.size));
      if (done.size === reports.length) return { outputs: reports.map(() => undefined), committed };
      const missed = reports.filter((report) => !done.has(report));
      const verdict = await judge<void>(on, missed, 'done', undefined);
      return { outputs: reports.map((report) => (done.has(report) ? undefined : verdict(report))), committed };
    },
  });

  const failures = createWriter<Failure, JobState>(db, {
    maxItems: 500,
    maxInFlight: 1,
    run: async (reports, on) => {
      const outcomes = await joinTransaction(on, async (tx) => {
        // A repetition in the same batch is left out: it gets the answer to the first.
        const byLease = new Map(reports.toReversed().map((report) => [keyOf(report), report]));
        const now = clock.now();
        const settled = (await lockRunning(tx, sortedById([...byLease.values()]))).flatMap((row) => {
          const leased = { id: row.id, leaseToken: row.lease_token };
          const report = byLease.get(keyOf(leased));
          if (report === undefined) return [];
          const attempted = { attempts: row.attempts, maxAttempts: row.max_attempts };
          return [
            {
              ...leased,
              origin: report.origin,
              ...afterFailure(attempted, report.error, report.retryable, now, random()),
            },
          ];
        });
        if (settled.length > 0) await settleFailures(tx, settled, now);
        return new Map<string, AfterFailure>(settled.map((outcome) => [keyOf(outcome), outcome]));
      });
      const missed = reports.filter((report) => !outcomes.has(keyOf(report)));
      const verdict = missed.length > 0 ? await judge<JobState>(on, missed, 'error', 'error') : undefined;
      const outputs = reports.map((report) => outcomes.get(keyOf(report))?.state ?? verdict?.(report) ?? 'error');
      const committed = (): void => {
        const ended = [...outcomes.values()].filter(({ state }) => state === 'error').length;
        if (ended > 0) changed('JobFailed', ended);
        if (ended < outcomes.size) changed('JobRetrying', outcomes.size - ended);
        if ([...outcomes.values()].some(({ state }) => state === 'scheduled')) onScheduled();
      };
      return { outputs, committed };
    },
  });

  const heartbeats = createWriter<Heartbeat, Renewal>(db, {
    maxItems: 500,
    maxInFlight: 1,
    run: async (reports, on) => {
      const renewed = await renewLeases(on, sortedById(reports), clock.now());
      const isRenewed = ({ id, leaseToken }: Leased): boolean => renewed.get(id)?.leaseToken === leaseToken;
      const missed = reports.filter((report) => !isRenewed(report));
      const verdict = missed.length > 0 ? await judge<Renewal>(on, missed, 'canceled', { canceled: true }) : undefined;
      const outputs = reports.map((report): Renewal | Error => {
        const lease = isRenewed(report) ? renewed.get(report.id) : undefined;
        return lease === undefined
          ? (verdict?.(report) ?? { canceled: true })
          : { leaseExpiresAt: lease.leaseExpiresAt };
      });
      const committed = (): void => {
        if (reports.some(({ id, progress }) => progress !== undefined && renewed.has(id))) wakeups.notify(changedTopic);
      };
      return { outputs, committed };
    },
  });

  const releases = createWriter<Release, void>(db, {
    maxItems: 500,
    maxInFlight: 1,
    run: async (reports, on) => {
      const released = await releaseJobs(on, sortedById(reports), clock.now());
      const tokens = new Map(released.map(({ id, token }) => [id, token]));
      const isReleased = ({ id, leaseToken }: Leased): boolean => tokens.get(id) === leaseToken;
      const missed = reports.filter((report) => !isReleased(report));
      const verdict = missed.length > 0 ? await judge<void>(on, missed, 'queued', undefined) : undefined;
      const committed = (): void => {
        for (const kind of new Set(released.map((row) => row.kind))) wakeups.notify(queuedTopic(kind));
        if (released.length > 0) changed('JobQueued', released.length);
      };
      return { outputs: reports.map((report) => (isReleased(report) ? undefined : verdict?.(report))), committed };
    },
  });

  return {
    complete: completions.submit,
    completeAll: completions.submitAll,
    fail: failures.submit,
    heartbeat: heartbeats.submit,
    release: (report) => releases.submit(report),
  };
}

/** One job can be reported on under several leases at a time: by its worker, and by one who lost it. */
function keyOf({ id, leaseToken }: Leased): string {
  return `${id} ${leaseToken}`;
}

/** In one order everywhere, so that two statements that meet wait for each other instead of deadlocking. */
function sortedById<R extends Leased>(reports: readonly R[]): R[] {
  return [...reports].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}
