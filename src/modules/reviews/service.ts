import { AppError, invalidField } from '../../errors.js';
import type { Principal } from '../../platform/auth/principal.js';
import type { Clock } from '../../platform/clock.js';
import type { Queries, Tx } from '../../platform/db/db.js';
import { isObjectId } from '../../platform/git/index.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import { isId, type NewId } from '../../platform/ids.js';
import type { Log } from '../../platform/log.js';
import { type Appended, appendEvents, type Change, type Origin } from '../events/index.js';
import type { GateFiles, GateRounds } from '../gates/index.js';
import type { Submitted, Vcs } from '../vcs/index.js';
import { addedChange, phaseChange, resolvedChange } from './changes.js';
import { type CommentInput, limits, type Remark, remarkOf, type ReviewComment, summaryOf } from './comments.js';
import {
  checkEscalated,
  checkMayComment,
  checkNotOwnWork,
  checkNotWaiting,
  checkSeen,
  type Decision,
  movedOn,
  phaseFor,
} from './phases.js';
import { createReader, type Reader, type ReaderDeps } from './reader.js';
import type { GatedTask } from './reviewed-tasks.js';
import { type Review, reviewNotFound } from './reviews.js';
import { beginAnew } from './rounds.js';
import { findReview, isDoer, savePhase } from './store.js';
import { findComment, insertComment, resolveComment } from './store-comments.js';

export interface ReviewsDeps extends ReaderDeps {
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
  readonly vcs: Pick<Vcs, 'diff' | 'lines' | 'head' | 'adopt'>;
  readonly rounds: GateRounds;
  readonly files: Pick<GateFiles, 'commitOf' | 'read' | 'apply'>;
}

type Optional<T> = T | null | undefined;

/** Who makes a call, and until when. */
export interface Reviewer {
  readonly principal: Pick<Principal, 'kind' | 'id' | 'boundTo'>;
  readonly origin: Origin;
  readonly signal: AbortSignal;
}

export interface ApproveInput {
  readonly id: string;
  readonly headCommit?: Optional<string>;
}

export interface ChangesInput {
  readonly id: string;
  readonly comments: readonly CommentInput[];
  readonly summary?: Optional<string>;
}

/** The use cases of reviews. Everything rejects with AppErrors that name the field or the rule at fault; nothing is changed then. */
export interface Reviews extends Reader {
  comment(
    input: CommentInput & { readonly id: string },
    by: Reviewer,
    keep?: Keep<ReviewComment>,
  ): Promise<ReviewComment>;
  /** A comment that is resolved already stays as it is. */
  resolve(id: string, by: Reviewer, keep?: Keep<ReviewComment>): Promise<ReviewComment>;
  /** Rejects with `children_open`, and with `stale` when the branch has moved since: then the review has begun anew with where it is. */
  approve(input: ApproveInput, by: Reviewer, keep?: Keep<Review>): Promise<Review>;
  requestChanges(input: ChangesInput, by: Reviewer, keep?: Keep<Review>): Promise<Review>;
  /** Has all gates of an escalated review run again, attempts and all. */
  rerun(id: string, by: Reviewer, keep?: Keep<void>): Promise<void>;
}

/** A review with its task, as they are while the repository is locked. */
interface Present {
  readonly review: Review;
  readonly task: GatedTask;
}

/** What a change has come to. */
interface Made<T> {
  readonly result: T;
  readonly changes: readonly Change[];
  /** Why the caller is refused nevertheless. */
  readonly refusal?: AppError | undefined;
}

export function createReviews(deps: ReviewsDeps): Reviews {
  const { db, clock, newId, log, appended, tasks, vcs, rounds, files } = deps;
  const { repoOf, checkPlaces, ...reader } = createReader(deps);

  async function checkDuties(on: Queries, taskId: string, { principal }: Reviewer): Promise<void> {
    checkNotOwnWork(principal, taskId, await isDoer(on, taskId, principal.id));
  }

  /** Makes a change of a review with no other change of its repository under way. */
  async function change<T>(
    { id, taskId }: Pick<Review, 'id' | 'taskId'>,
    by: Reviewer,
    keep: Keep<T> | undefined,
    make: (tx: Tx, present: Present, now: Date) => Promise<Made<T>>,
  ): Promise<T> {
    const { result, changes, refusal } = await db.transaction(async (tx) => {
      const task = await tasks.lock(tx, taskId);
      const review = await findReview(tx, id);
      if (task === undefined || review === undefined) throw reviewNotFound(id);
      await checkDuties(tx, taskId, by);
      const now = clock.now();
      const made = await make(tx, { review, task }, now);
      await appendEvents(tx, by.origin, now, made.changes);
      if (made.refusal === undefined) await keep?.(tx, made.result);
      return made;
    });
    for (const { type } of changes) {
      appended(type, 1);
      log.info('review_changed', { corr_id: by.origin.correlationId, type, review_id: id, task_id: taskId });
    }
    if (refusal !== undefined) throw refusal;
    return result;
  }

  /** Has a review begin anew with where its branch is. */
  async function begin(
    tx: Tx,
    { review, task }: Present,
    submission: Pick<Submitted, 'headCommit' | 'headTree'>,
    { anew, origin, now }: { readonly anew: boolean; readonly origin: Origin; readonly now: Date },
  ): Promise<Made<Review>> {
    const isMoved = submission.headCommit !== review.headCommit;
    const moved = isMoved ? await tasks.moveHead(tx, task.id, submission.headCommit, now) : [];
    const begun = await beginAnew(tx, rounds, { review, task, submission, anew }, origin, now);
    return { result: begun.review, changes: [...moved, ...begun.changes] };
  }

  /** What can be said before git is asked; it is asked again when the repository is locked. */
  async function checkDecision(review: Review, by: Reviewer, decision: Decision): Promise<void> {
    await checkDuties(db, review.taskId, by);
    phaseFor(review, by.principal.kind, decision);
  }

  async function addAll(
    tx: Tx,
    { review, task }: Present,
    remarks: readonly Remark[],
    by: Reviewer,
    now: Date,
  ): Promise<readonly ReviewComment[]> {
    const comments = remarks.map(({ filePath, side, body, lines }): ReviewComment => ({
      id: newId('cmt'),
      reviewId: review.id,
      taskId: task.id,
      author: by.principal.kind === 'agent' ? 'Agent' : 'Human',
      filePath,
      lineStart: lines?.start,
      lineEnd: lines?.end,
      side,
      body,
      createdAt: now,
      resolvedAt: undefined,
    }));
    for (const comment of comments) await insertComment(tx, comment);
    return comments;
  }

  async function reread(tx: Tx, id: string): Promise<Review> {
    const review = await findReview(tx, id);
    if (review === undefined) throw reviewNotFound(id);
    return review;
  }

  return {
    ...reader,
    async comment({ id, ...input }, by, keep) {
      const remark = remarkOf(input);
      const before = await reader.get(id);
      await checkDuties(db, before.taskId, by);
      checkMayComment(before, by.principal.kind);
      await checkPlaces(before, [remark], () => '', by.signal);
      return change<ReviewComment>(before, by, keep, async (tx, present, now) => {
        checkMayComment(present.review, by.principal.kind);
        const [comment] = await addAll(tx, present, [remark], by, now);
        if (comment === undefined) throw new Error('no comment was made');
        return { result: comment, changes: [addedChange(comment, present.task.repoId)] };
      });
    },
    async resolve(id, by, keep) {
      const before = isId('cmt', id) ? await findComment(db, id) : undefined;
      if (before === undefined) throw commentNotFound(id);
      const { reviewId, taskId } = before;
      return change<ReviewComment>({ id: reviewId, taskId }, by, keep, async (tx, { task }, now) => {
        const resolved = await resolveComment(tx, id, now);
        if (resolved !== undefined) return { result: resolved, changes: [resolvedChange(resolved, task.repoId)] };
        const known = await findComment(tx, id);
        if (known === undefined) throw commentNotFound(id);
        return { result: known, changes: [] };
      });
    },
    async approve({ id, headCommit }, by, keep) {
      const seen = commitOf(headCommit);
      const before = await reader.get(id);
      await checkDecision(before, by, 'approve');
      const ref = { repo: await repoOf(before), taskId: before.taskId };
      const branchHead = await vcs.head(ref);
      const isThere = branchHead === before.headCommit;
      const there = isThere ? undefined : await vcs.adopt(ref);
      const isGone = !isThere && there === undefined;
      return change<Review>(before, by, keep, async (tx, present, now) => {
        const { review, task } = present;
        const { approved, completed } = phaseFor(review, by.principal.kind, 'approve');
        checkNotWaiting(review, task.status, 'Approved');
        if (isGone) throw movedOn(review, undefined);
        if (there !== undefined && there.headCommit !== review.headCommit) {
          const refusal = movedOn(review, there.headCommit);
          return { ...(await begin(tx, present, there, { anew: false, origin: by.origin, now })), refusal };
        }
        // Without a word, what was there when the call came.
        checkSeen(review, seen ?? before.headCommit);
        if (approved === 'Approved') {
          const changes = await tasks.complete(tx, task.id, now);
          return { result: await reread(tx, id), changes };
        }
        const moved: Review = { ...review, status: approved, [completed]: now, updatedAt: now };
        await savePhase(tx, moved);
        return { result: moved, changes: [phaseChange('ReviewPhaseChanged', moved, task.repoId)] };
      });
    },
    async requestChanges({ id, comments, summary }, by, keep) {
      if (comments.length > limits.comments) throw invalidField('comments', `may be ${limits.comments} at most`);
      const remarks = comments.map((comment, index) => remarkOf(comment, nameOf(index)));
      const said = summaryOf(summary);
      const before = await reader.get(id);
      await checkDecision(before, by, 'request-changes');
      await checkPlaces(before, remarks, nameOf, by.signal);
      return change<Review>(before, by, keep, async (tx, present, now) => {
        const { review, task } = present;
        const { completed } = phaseFor(review, by.principal.kind, 'request-changes');
        checkNotWaiting(review, task.status, 'ChangesRequested');
        const added = await addAll(tx, present, remarks, by, now);
        const closed: Review = {
          ...review,
          status: 'ChangesRequested',
          [completed]: now,
          summary: said,
          updatedAt: now,
        };
        await savePhase(tx, closed);
        const changes = [
          ...added.map((comment) => addedChange(comment, task.repoId)),
          phaseChange('ChangesRequested', closed, task.repoId),
          ...(await tasks.reopen(tx, task.id, now)),
        ];
        return { result: closed, changes };
      });
    },
    async rerun(id, by, keep) {
      const before = await reader.get(id);
      checkEscalated(before);
      const ref = { repo: await repoOf(before), taskId: before.taskId };
      const file = await files.read(ref.repo, await files.commitOf(db, ref.repo.id), by.signal);
      const submission = await vcs.adopt(ref);
      if (submission === undefined) throw movedOn(before, undefined);
      await change<void>(before, by, keep, async (tx, present, now) => {
        checkEscalated(present.review);
        checkNotWaiting(present.review, present.task.status, 'GatesPending');
        await files.apply(tx, present.task.repoId, file, now);
        const { changes } = await begin(tx, present, submission, { anew: true, origin: by.origin, now });
        return { result: undefined, changes };
      });
    },
  };
}

function nameOf(index: number): string {
  return `comments[${index}].`;
}

/** The commit that a reviewer says they have seen. */
function commitOf(text: Optional<string>): string | undefined {
  if (text === undefined || text === null || text === '') return undefined;
  if (!isObjectId(text)) throw invalidField('head_commit', 'is no commit in full');
  return text;
}

function commentNotFound(id: string): AppError {
  return new AppError('not_found', `There is no comment ${id.slice(0, 100)}.`);
}
