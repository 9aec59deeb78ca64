export { createTaskRpc } from './rpc.js';
export { createTasks, type Tasks, type TasksDeps } from './service.js';
