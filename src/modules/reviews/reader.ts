import { AppError, invalidField } from '../../errors.js';
import { idCursor } from '../../platform/cursor.js';
import type { Db } from '../../platform/db/db.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import { isGiven } from '../../platform/text.js';
import { getRepo } from '../repos/index.js';
import type { Diff, TaskRepo, Vcs } from '../vcs/index.js';
import { fileOf, linesInHunks, nameOn, noSuchLines, type Remark, type ReviewComment } from './comments.js';
import type { ReviewedTask, ReviewedTasks } from './reviewed-tasks.js';
import { isReviewId, type Review, reviewNotFound } from './reviews.js';
import { findOpenReviews, findReview, listReviews } from './store.js';
import { listComments } from './store-comments.js';

export interface ReaderDeps {
  readonly db: Db;
  readonly tasks: ReviewedTasks;
  readonly vcs: Pick<Vcs, 'diff' | 'lines'>;
}

type Optional<T> = T | null | undefined;

const reviewPaging = createPaging(idCursor('rev'), (review: Review) => review.id);
const commentPaging = createPaging(idCursor('cmt'), (comment: ReviewComment) => comment.id);

export interface ListInput extends PageInput {
  readonly id: string;
}

export interface DiffInput {
  readonly id: string;
  readonly since?: Optional<string>;
}

/** A diff between two commits. */
export interface ReviewDiff extends Diff {
  readonly base: string;
  readonly head: string;
}

/** What there is of reviews, read. Everything rejects with AppErrors that name the field at fault. */
export interface Reader {
  get(id: string): Promise<Review>;
  /** The one of the task that is open. */
  active(taskId: string): Promise<Review | undefined>;
  /** Of a task, oldest first. */
  list(input: ListInput): Promise<{ readonly reviews: readonly Review[]; readonly nextCursor: string | undefined }>;
  /** From where the task began, or from where it was at an earlier review, to what is reviewed. */
  diff(input: DiffInput, signal: AbortSignal): Promise<ReviewDiff>;
  /** Of a review, oldest first. */
  comments(
    input: ListInput,
  ): Promise<{ readonly comments: readonly ReviewComment[]; readonly nextCursor: string | undefined }>;
}

export interface ReaderInside extends Reader {
  /** The repository of a review's task. */
  repoOf(review: Review): Promise<TaskRepo>;
  /** Throws unless each is on something that the review's diff has. `at` tells where in the request a remark is. */
  checkPlaces(
    review: Review,
    remarks: readonly Remark[],
    at: (index: number) => string,
    signal: AbortSignal,
  ): Promise<void>;
}

export function createReader({ db, tasks, vcs }: ReaderDeps): ReaderInside {
  async function get(id: string): Promise<Review> {
    const review = isReviewId(id) ? await findReview(db, id) : undefined;
    if (review === undefined) throw reviewNotFound(id);
    return review;
  }

  async function taskAt(id: string): Promise<ReviewedTask> {
    const task = await tasks.find(db, id);
    if (task === undefined) throw new AppError('not_found', `There is no task ${id.slice(0, 100)}.`);
    return task;
  }

  async function repoOf({ id, taskId }: Review): Promise<TaskRepo> {
    const task = await tasks.find(db, taskId);
    const repo = task && (await getRepo(db, task.repoId));
    // Deleted meanwhile, its review with it.
    if (repo === undefined) throw reviewNotFound(id);
    return repo;
  }

  async function earlier(review: Review, since: string): Promise<Review> {
    const other = isReviewId(since) ? await findReview(db, since) : undefined;
    if (other?.taskId !== review.taskId) throw invalidField('since', `is no review of ${review.taskId}`);
    if (other.id >= review.id) throw invalidField('since', 'must be an earlier review');
    return other;
  }

  async function between(review: Review, baseCommit: string, signal: AbortSignal): Promise<ReviewDiff> {
    const { taskId, headCommit } = review;
    const diff = await vcs.diff({ repo: await repoOf(review), taskId, baseCommit, headCommit, signal });
    return { ...diff, base: baseCommit, head: headCommit };
  }

  async function checkPlace(review: Review, diff: Diff, remark: Remark, at: string, signal: AbortSignal) {
    const file = fileOf(diff, remark, at);
    const { lines, side } = remark;
    if (lines === undefined || lines.end <= linesInHunks(file, side)) return;
    const path = nameOn(file, side);
    const commit = side === 'Left' ? review.baseCommit : review.headCommit;
    const isCounted = path !== undefined && !file.binary;
    const count = isCounted ? await vcs.lines({ repo: await repoOf(review), commit, path, signal }) : 0;
    if (lines.end > count) throw noSuchLines(file, remark, count, at);
  }

  return {
    get,
    active: async (taskId) => (await findOpenReviews(db, [(await taskAt(taskId)).id])).get(taskId),
    async list(input) {
      const page = reviewPaging(input);
      const { id: taskId } = await taskAt(input.id);
      const { rows: reviews, nextCursor } = page.of(await listReviews(db, taskId, page.place, page.count));
      return { reviews, nextCursor };
    },
    async diff({ id, since }, signal) {
      const review = await get(id);
      const from = isGiven(since) ? (await earlier(review, since)).headCommit : review.baseCommit;
      return between(review, from, signal);
    },
    async comments(input) {
      const page = commentPaging(input);
      const review = await get(input.id);
      const { rows: comments, nextCursor } = page.of(await listComments(db, review.id, page.place, page.count));
      return { comments, nextCursor };
    },
    repoOf,
    async checkPlaces(review, remarks, at, signal) {
      if (remarks.length === 0) return;
      const diff = await between(review, review.baseCommit, signal);
      for (const [index, remark] of remarks.entries()) await checkPlace(review, diff, remark, at(index), signal);
    },
  };
}
