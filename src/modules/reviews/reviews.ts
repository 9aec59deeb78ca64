import { AppError } from '../../errors.js';
import { isId } from '../../platform/ids.js';

export type ReviewStatus =
  'GatesPending' | 'GatesEscalated' | 'AgentPending' | 'HumanPending' | 'Approved' | 'ChangesRequested';

/** Of what a task was submitted with. Approved and ChangesRequested are final; a task has at most one that is neither. */
export interface Review {
  readonly id: string;
  readonly taskId: string;
  readonly status: ReviewStatus;
  /** Where the task began. */
  readonly baseCommit: string;
  readonly headCommit: string;
  /** Undefined for reviews from before it was kept. */
  readonly headTree: string | undefined;
  /** What whoever requested changes has to say of the whole. */
  readonly summary: string | undefined;
  readonly submittedAt: Date;
  readonly gatesCompletedAt: Date | undefined;
  readonly agentCompletedAt: Date | undefined;
  readonly humanCompletedAt: Date | undefined;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** How a review ends. */
export type Verdict = 'Approved' | 'ChangesRequested';

/** What is reviewed. */
export interface Submission {
  readonly baseCommit: string;
  readonly headCommit: string;
  readonly headTree: string;
}

/** A review as it is opened, with gates to wait for or without. */
export function newReview(
  id: string,
  taskId: string,
  submission: Submission,
  { gated, now }: { readonly gated: boolean; readonly now: Date },
): Review {
  return {
    id,
    taskId,
    status: gated ? 'GatesPending' : 'AgentPending',
    ...submission,
    summary: undefined,
    submittedAt: now,
    gatesCompletedAt: gated ? undefined : now,
    agentCompletedAt: undefined,
    humanCompletedAt: undefined,
    createdAt: now,
    updatedAt: now,
  };
}

/** The same review of another commit, or with its gates to be run again: it begins from its first phase. */
export function begunAnew(
  review: Review,
  submission: Pick<Submission, 'headCommit' | 'headTree'>,
  { gated, now }: { readonly gated: boolean; readonly now: Date },
): Review {
  return {
    ...review,
    headCommit: submission.headCommit,
    headTree: submission.headTree,
    status: gated ? 'GatesPending' : 'AgentPending',
    gatesCompletedAt: gated ? undefined : now,
    agentCompletedAt: undefined,
    updatedAt: now,
  };
}

export function isReviewId(text: string): boolean {
  return isId('rev', text);
}

/** For an id in a path. */
export function reviewNotFound(id: string): AppError {
  return new AppError('not_found', `There is no review ${id.length <= 100 ? id : `${id.slice(0, 100)}…`}.`);
}
