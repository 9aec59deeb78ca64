import type { WorkRequest, WorkStart, WorkUpdate } from '../../gen/muster/v1/jobs_pb.js';
import type { HeldJob, Report } from './held-job.js';

// Messages are written out here: `create` would look at every field of every job.

export function startRequest(start: Omit<WorkStart, '$typeName'>): WorkRequest {
  return {
    $typeName: 'muster.v1.WorkRequest',
    message: { case: 'start', value: { $typeName: 'muster.v1.WorkStart', ...start } },
  };
}

export function updateRequest(update: WorkUpdate): WorkRequest {
  return { $typeName: 'muster.v1.WorkRequest', message: { case: 'update', value: update } };
}

export function emptyUpdate(): WorkUpdate {
  return { $typeName: 'muster.v1.WorkUpdate', completed: [], failed: [], held: [], released: [] };
}

/** Answers the characters of JSON that it took. */
export function addReport(update: WorkUpdate, { job: { id }, leaseToken }: HeldJob, report: Report): number {
  switch (report.kind) {
    case 'completed': {
      const resultJson = report.result;
      update.completed.push({ $typeName: 'muster.v1.CompletedJob', id, leaseToken, resultJson });
      return resultJson.length;
    }
    case 'failed': {
      const { code, message, retryable } = report.failure;
      const error = { $typeName: 'muster.v1.JobError' as const, code, message };
      update.failed.push({ $typeName: 'muster.v1.FailedJob', id, leaseToken, error, retryable });
      return message.length;
    }
    case 'released':
      update.released.push({ $typeName: 'muster.v1.ReleasedJob', id, leaseToken });
      return 0;
  }
}

/** Answers the characters of JSON that it took. */
export function addHeartbeat(update: WorkUpdate, { job: { id }, leaseToken, progress }: HeldJob): number {
  update.held.push({ $typeName: 'muster.v1.HeldJob', id, leaseToken, progressJson: progress ?? '' });
  return progress?.length ?? 0;
}
