export type { Review } from './reviews.js';
export { endReviews, openReview } from './service.js';
export { findOpenReviews } from './store.js';
