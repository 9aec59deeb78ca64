export { createJobRpc } from './rpc.js';
export { createJobs, type Jobs, type JobsDeps } from './service.js';
export type { ClaimedJob } from './jobs.js';
export type { OwnJob, OwnQueue } from './own-queue.js';
