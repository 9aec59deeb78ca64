export { createChanger } from './changer.js';
export { createReviewedTasks, gatedReviews, gatedTasks } from './completion.js';
export { checkOwn } from './guard.js';
export { bubbleIfCompleted, waiting } from './moves.js';
export { createTaskRpc, createVcsRpc } from './rpc.js';
export { createTasks, type Tasks, type TasksDeps } from './service.js';
export { noSuchTask } from './tasks.js';
export { createWorktrees, type Worktrees } from './worktrees.js';
