export type { ReviewedTask, ReviewedTasks } from './reviewed-tasks.js';
export type { Review } from './reviews.js';
export { endReviews, openReview } from './rounds.js';
export { createReviewRpc } from './rpc.js';
export { createReviews, type Reviews, type ReviewsDeps } from './service.js';
export { findOpenReviews, insertDoer } from './store.js';
