import { ReviewService } from '../../../gen/muster/v1/reviews_pb.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { originOf } from '../events/index.js';
import type { CommentInput, ReviewComment } from './comments.js';
import type { DiffInput, ListInput } from './reader.js';
import type { Review } from './reviews.js';
import type { ApproveInput, ChangesInput, Reviewer, Reviews } from './service.js';

interface ById {
  readonly id: string;
}

/** ReviewService on the wire. */
export function createReviewRpc(reviews: Reviews): Service {
  return service(ReviewService, {
    getReview: async ({ id }: ById) => answered(await reviews.get(id)),
    getActiveReview: async ({ id }: ById) => ({ review: await reviews.active(id) }),
    listReviews: (input: ListInput) => reviews.list(input),
    getReviewDiff: async (input: DiffInput, call: Call) => ({ diff: await reviews.diff(input, call.signal) }),
    addComment: (input: CommentInput & ById, call: Call) =>
      keeping(call, said, (keep) => reviews.comment(input, reviewerOf(call), keep)),
    listComments: (input: ListInput) => reviews.comments(input),
    resolveComment: ({ id }: ById, call: Call) =>
      keeping(call, said, (keep) => reviews.resolve(id, reviewerOf(call), keep)),
    approveReview: (input: ApproveInput, call: Call) =>
      keeping(call, answered, (keep) => reviews.approve(input, reviewerOf(call), keep)),
    requestChanges: (input: ChangesInput, call: Call) =>
      keeping(call, answered, (keep) => reviews.requestChanges(input, reviewerOf(call), keep)),
  });
}

function reviewerOf(call: Call): Reviewer {
  return { principal: call.principal, origin: originOf(call), signal: call.signal };
}

function answered(review: Review) {
  return { review };
}

function said(comment: ReviewComment) {
  return { comment };
}
