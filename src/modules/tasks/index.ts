export { createTaskRpc } from './rpc.js';
export { createTasks, type Tasks, type TasksDeps } from './service.js';
export { createVcsRpc } from './vcs-rpc.js';
export { createWorktrees, type Worktrees } from './worktrees.js';
