import { AppError } from '../../errors.js';
import type { Log } from '../../platform/log.js';
import type { Origin } from '../events/index.js';
import type { CompletedInput, Desk, HeldInput } from './desk.js';
import { type JobStatus, statusOf } from './jobs.js';
import type { Leased } from './store.js';
import type { WorkReports } from './work-messages.js';
import type { Outbox } from './work-outbox.js';
import type { Places } from './work-places.js';

export interface ReportingDeps {
  readonly desk: Desk;
  readonly places: Places;
  readonly outbox: Outbox;
  readonly origin: Origin;
  readonly log: Log;
  /** Called when there may be more room for jobs. */
  readonly freed: () => void;
}

/** Files what a worker reports, and answers it. */
export interface Reporting {
  /** Does not wait for any of it. */
  file(reports: WorkReports): void;
  /** Whether there is something that is not answered yet. */
  isBusy(): boolean;
}

export function createReporting({ desk, places, outbox, origin, log, freed }: ReportingDeps): Reporting {
  let reporting = 0;

  function refuse(report: Leased, error: unknown): void {
    const { id, leaseToken } = report;
    const refused = asAppError(error, log, origin);
    if (endsLease(refused)) places.drop(report);
    else places.takeBack(report);
    outbox.outcome({ id, leaseToken, error: refused });
  }

  /** Reports, drops the jobs from what the worker holds, answers. */
  async function settleAll(reports: readonly CompletedInput[]): Promise<void> {
    reporting += 1;
    reports.forEach(places.beginReport);
    const outcomes = await desk.completeAll(reports, origin);
    reports.forEach((report, index) => {
      const refused = outcomes[index];
      if (refused instanceof Error) return refuse(report, refused);
      places.drop(report);
      outbox.completed(report.id);
    });
    reporting -= 1;
    outbox.wake();
    freed();
  }

  /** The same for one. */
  async function settle(report: Leased, run: () => Promise<JobStatus>): Promise<void> {
    const { id, leaseToken } = report;
    reporting += 1;
    places.beginReport(report);
    try {
      const status = await run();
      places.drop(report);
      outbox.outcome({ id, leaseToken, status });
    } catch (error) {
      refuse(report, error);
    } finally {
      reporting -= 1;
      outbox.wake();
    }
    freed();
  }

  async function renew(report: HeldInput): Promise<void> {
    const { id, leaseToken } = report;
    reporting += 1;
    try {
      const renewal = await desk.held(report);
      if ('canceled' in renewal) {
        places.drop(report);
        outbox.stopped({ id, leaseToken, reason: 'canceled' });
        freed();
      } else {
        places.confirm(report);
        outbox.outcome({ id, leaseToken, status: 'running', leaseExpiresAt: renewal.leaseExpiresAt });
      }
    } catch (error) {
      const refused = asAppError(error, log, origin);
      if (endsLease(refused)) places.drop(report);
      outbox.outcome({ id, leaseToken, error: refused });
      freed();
    } finally {
      reporting -= 1;
      outbox.wake();
    }
  }

  return {
    file({ completed, failed, released, held }) {
      if (completed.length > 0) void settleAll(completed);
      for (const report of failed) void settle(report, () => desk.fail(report, origin).then(statusOf));
      for (const report of released) void settle(report, () => desk.release(report, origin).then(() => 'queued'));
      for (const report of held) void renew(report);
    },
    isBusy: () => reporting > 0,
  };
}

/** Whether a refused report says that the job is the worker's no more; after any other it can be reported again. */
function endsLease({ kind }: AppError): boolean {
  return kind === 'not_found' || kind === 'lease_lost' || kind === 'invalid_state';
}

function asAppError(error: unknown, log: Log, { correlationId }: Origin): AppError {
  if (error instanceof AppError) return error;
  log.error('report_failed', { corr_id: correlationId, error });
  return new AppError('internal_error', 'The report was not stored; the log says why.', { cause: error });
}
