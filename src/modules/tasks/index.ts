export { createReviewedTasks } from './completion.js';
export { createTaskRpc, createVcsRpc } from './rpc.js';
export { createTasks, type Tasks, type TasksDeps } from './service.js';
export { createWorktrees, type Worktrees } from './worktrees.js';
