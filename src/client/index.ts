/**
 * What the npm package exports: typed clients for every service, and a worker that runs a handler per job.
 *
 *     const muster = createMusterClient({ url: 'http://127.0.0.1:8080' });
 *     await muster.jobs.createJob({ kind: 'build' });
 */
export { createMusterClient, defaultUrl, type MusterClient, type MusterClientOptions } from './client.js';
export { type ErrorFacts, errorFactsOf } from './error-facts.js';
export { followJob, isFinal } from './follow.js';
export { followGates, type GateNews } from './follow-gates.js';
export { idempotencyKey } from './idempotency-key.js';
export { type EventFilter, followEvents, type FollowEventsOptions, headOf } from './follow-events.js';
export type { WorkerEvent, WorkerLog } from './held-job.js';
export { type Failure, JobFailure, JobStopped, type StopReason, type WorkerJob } from './job.js';
export { ledgerEventOf } from './ledger-event.js';
export {
  emptyLedgerState,
  type JobRow,
  type LedgerEvent,
  LedgerGap,
  type LedgerState,
  type LedgerStateOptions,
  reduceEvent,
  reduceEvents,
} from './reduce-events.js';
export type { GateResultRow, GateRow } from './reduce-gates.js';
export type { HelpRow } from './reduce-help.js';
export type { LearningRow } from './reduce-learnings.js';
export type { RepoRow } from './reduce-repos.js';
export type { CommentRow, ReviewRow } from './reduce-reviews.js';
export { isEffectivelyBlocked, type TaskRow } from './reduce-tasks.js';
export type { JobContext, JobHandler } from './slots.js';
export { createWorker, type StopOptions, type Worker, type WorkerOptions } from './worker.js';
export { jsonOf, valueOf } from '../platform/rpc/codec.js';
export type { FollowOptions } from './reconnecting.js';
export type { Json } from '../platform/json.js';
export * from '../../gen/muster/v1/errors_pb.js';
export * from '../../gen/muster/v1/events_pb.js';
export * from '../../gen/muster/v1/gates_pb.js';
export * from '../../gen/muster/v1/help_pb.js';
export * from '../../gen/muster/v1/help_service_pb.js';
export * from '../../gen/muster/v1/jobs_pb.js';
export * from '../../gen/muster/v1/learnings_pb.js';
export * from '../../gen/muster/v1/repos_pb.js';
export * from '../../gen/muster/v1/reviews_pb.js';
export * from '../../gen/muster/v1/tasks_pb.js';
export * from '../../gen/muster/v1/vcs_pb.js';
export * from '../../gen/muster/v1/tokens_pb.js';
