export { createJobRpc } from './rpc.js';
export { createJobs, type Jobs, type JobsDeps } from './service.js';
