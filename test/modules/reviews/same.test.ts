import type { DescMessage, Message } from '@bufbuild/protobuf';
import { beforeAll, expect, test } from 'vitest';
import { restShape } from '../../../src/cli/job-json.js';
import {
  createMusterClient,
  DiffSchema,
  DiffSide,
  errorFactsOf,
  type MusterClient,
  ReviewCommentSchema,
  ReviewSchema,
} from '../../../src/client/index.js';
import { useGitRepos } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { createReviewsClient, type ReviewsClient } from '../../support/reviews-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { registerRepo } from '../../support/tasks-client.js';

/** REST and RPC answer the same, nulls included. */
const app = sharedTestApp();
const repos = useGitRepos();
let reviews: ReviewsClient;
const clients: MusterClient[] = [];

beforeAll(() => {
  const { url } = app.current;
  reviews = createReviewsClient(url);
  clients.push(createMusterClient({ url }), createMusterClient({ url, protocol: 'grpc' }));
  return () => clients.forEach((client) => client.close());
});

function shape(desc: DescMessage, message: Message | undefined): unknown {
  return message && restShape(desc, message);
}

test('what is read, changed and refused', async () => {
  const repo_id = await registerRepo(app.current.url, repos.repo());
  for (const client of clients) {
    const { id: taskId } = await reviews.tasks.create({ repo_id });
    await reviews.tasks.start(taskId);
    const first = await reviews.submit(taskId, { f: 'one\n' });
    const on = { id: first.id, filePath: 'f', side: DiffSide.LEFT, body: 'é' };
    const { comment } = await client.reviews.addComment(on);
    const { comment: lines } = await client.reviews.addComment({ ...on, side: DiffSide.RIGHT, lineStart: 1 });
    expect([comment, lines].map((each) => shape(ReviewCommentSchema, each))).toEqual(await reviews.comments(first.id));
    const { comment: resolved } = await client.reviews.resolveComment({ id: comment?.id ?? '' });
    expect(shape(ReviewCommentSchema, resolved)).toEqual(await reviews.resolve(comment?.id ?? ''));
    const remark = { filePath: 'f', side: DiffSide.RIGHT, body: 'b' };
    const { review } = await client.reviews.requestChanges({ id: first.id, comments: [remark], summary: 's' });
    expect(shape(ReviewSchema, review)).toEqual(await reviews.get(first.id));
    expect((await client.reviews.getActiveReview({ id: taskId })).review).toBeUndefined();
    expect(await reviews.active(taskId)).toBeNull();

    const second = await reviews.submit(taskId, { f: 'two\n' });
    const { diff } = await client.reviews.getReviewDiff({ id: second.id, since: first.id });
    expect(shape(DiffSchema, diff)).toEqual(await reviews.diff(second.id, `?since=${first.id}`));
    const page = await client.reviews.listReviews({ id: taskId, limit: 1 });
    expect(page.reviews.map((each) => shape(ReviewSchema, each))).toEqual(await reviews.list(taskId, '?limit=1'));
    const next = await client.reviews.listReviews({ id: taskId, cursor: page.nextCursor ?? '' });
    expect(next.reviews.map(({ id }) => id)).toEqual([second.id]);
    const facts = await client.reviews
      .approveReview({ id: second.id, headCommit: first.head_commit })
      .catch((error: unknown) => errorFactsOf(error as Error));
    const { error, message, details } = await refusal(reviews.approve(second.id, { head_commit: first.head_commit }));
    expect(facts).toMatchObject({ word: error, message, details });
    expect(error).toBe('stale');
    const { review: moved } = await client.reviews.approveReview({ id: second.id });
    expect(shape(ReviewSchema, moved)).toEqual(await reviews.active(taskId));
    const { review: active } = await client.reviews.getActiveReview({ id: taskId });
    expect(shape(ReviewSchema, active)).toEqual((await reviews.tasks.get(taskId)).review);
  }
});
