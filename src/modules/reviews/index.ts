export type { GatedTask, ReviewedTask, ReviewedTasks } from './reviewed-tasks.js';
export { isReviewId, type Review } from './reviews.js';
export { endReviews, judgeGates, openReview } from './rounds.js';
export { createReviewRpc } from './rpc.js';
export { createReviews, type Reviews, type ReviewsDeps } from './service.js';
export { findOpenOfRepo, findOpenReviews, findReview, insertDoer } from './store.js';
