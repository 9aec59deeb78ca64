import type { Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import type { Change, Origin } from '../events/index.js';
import { endGateRuns, findEffective, type GateRounds, judgeRound, type Lineage } from '../gates/index.js';
import { createdChange, phaseChange } from './changes.js';
import { begunAnew, newReview, type Review, type Submission, type Verdict } from './reviews.js';
import { closeReviews, findOpenReviews, insertReview, savePhase } from './store.js';

/** What tasks do to their reviews, in transactions of theirs. */

/** A task whose reviews change. Its repository goes into the events. */
export interface Reviewed {
  readonly id: string;
  readonly repoId: string;
}

/** Opens a review of a task that has none open, in the transaction that submits it. Answers what is to be recorded. */
export async function openReview(
  tx: Tx,
  { newId, rounds }: { readonly newId: NewId; readonly rounds: GateRounds },
  task: Reviewed & { readonly lineage: Lineage },
  submission: Submission,
  origin: Origin,
  now: Date,
): Promise<readonly Change[]> {
  const [gates = []] = await findEffective(tx, [task.lineage]);
  const review = newReview(newId('rev'), task.id, submission, { gated: gates.length > 0, now });
  await insertReview(tx, review);
  const subject = subjectOf(review, task.repoId, submission.headTree);
  return [createdChange(review, task.repoId), ...(await rounds.start(tx, { subject, gates }, origin, now))];
}

/** Has a review begin from its first phase, of the commit that is given. Answers it, and what is to be recorded. */
export async function beginAnew(
  tx: Tx,
  rounds: GateRounds,
  {
    review,
    task,
    submission,
    anew,
  }: {
    readonly review: Review;
    readonly task: Reviewed & { readonly lineage: Lineage };
    readonly submission: Pick<Submission, 'headCommit' | 'headTree'>;
    /** Whether attempts of gates start again at 1. */
    readonly anew: boolean;
  },
  origin: Origin,
  now: Date,
): Promise<{ readonly review: Review; readonly changes: readonly Change[] }> {
  const [gates = []] = await findEffective(tx, [task.lineage]);
  const begun = begunAnew(review, submission, { gated: gates.length > 0, now });
  await savePhase(tx, begun);
  const subject = subjectOf(begun, task.repoId, submission.headTree);
  const queued = await rounds.start(tx, { subject, gates, anew }, origin, now);
  return { review: begun, changes: [phaseChange('ReviewPhaseChanged', begun, task.repoId), ...queued] };
}

function subjectOf({ id, taskId, headCommit }: Review, repoId: string, headTree: string) {
  return { repoId, taskId, reviewId: id, headCommit, headTree };
}

/** Ends what is open of these tasks, of one repository, in the transaction that moves them on. Answers what is to be recorded. */
export async function endReviews(
  tx: Tx,
  tasks: readonly Reviewed[],
  verdict: Verdict,
  now: Date,
): Promise<readonly Change[]> {
  const closed = await closeReviews(
    tx,
    tasks.map(({ id }) => id),
    verdict,
    now,
  );
  const gated = closed.filter(({ gatesCompletedAt }) => gatesCompletedAt === undefined);
  const ended =
    gated.length === 0
      ? []
      : await endGateRuns(
          tx,
          gated.map(({ taskId }) => taskId),
          now,
        );
  const type = verdict === 'Approved' ? 'ReviewApproved' : 'ChangesRequested';
  const repoOf = new Map(tasks.map(({ id, repoId }) => [id, repoId]));
  return [...ended, ...closed.map((review) => phaseChange(type, review, repoOf.get(review.taskId)))];
}

/**
 * Moves the review of a task on, when all its gates have ended and the task does not wait for a human. `reopen` puts a task back to
 * InProgress. Answers what is to be recorded.
 */
export async function judgeGates(
  tx: Tx,
  task: Reviewed & { readonly status: string },
  reopen: () => Promise<readonly Change[]>,
  now: Date,
): Promise<readonly Change[]> {
  if (task.status !== 'InReview') return [];
  const review = (await findOpenReviews(tx, [task.id])).get(task.id);
  if (review?.status !== 'GatesPending') return [];
  const judged = await judgeRound(tx, review.id);
  if (judged === undefined) return [];
  const { verdict, summary } = judged;
  if (verdict === 'Escalated') {
    const escalated: Review = { ...review, status: 'GatesEscalated', updatedAt: now };
    await savePhase(tx, escalated);
    return [phaseChange('ReviewPhaseChanged', escalated, task.repoId)];
  }
  if (verdict === 'Passed') {
    const passed: Review = { ...review, status: 'AgentPending', gatesCompletedAt: now, updatedAt: now };
    await savePhase(tx, passed);
    return [phaseChange('ReviewPhaseChanged', passed, task.repoId)];
  }
  const closed: Review = { ...review, status: 'ChangesRequested', gatesCompletedAt: now, summary, updatedAt: now };
  await savePhase(tx, closed);
  return [phaseChange('ChangesRequested', closed, task.repoId), ...(await reopen())];
}
