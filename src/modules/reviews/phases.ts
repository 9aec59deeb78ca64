import { AppError } from '../../errors.js';
import type { Review, ReviewStatus } from './reviews.js';

/** What a reviewer decides. */
export type Decision = 'approve' | 'request-changes';

/** Whose turn it is in a phase, and what comes of a decision. docs/reviews.md draws it. */
interface Phase {
  readonly reviewers: readonly string[];
  readonly approved: ReviewStatus;
  /** The field that tells when it ended. */
  readonly completed: 'gatesCompletedAt' | 'agentCompletedAt' | 'humanCompletedAt';
}

/** In all other statuses nobody decides: gates run, or it is final. */
const phases: Readonly<Partial<Record<ReviewStatus, Phase>>> = {
  GatesEscalated: { reviewers: ['human'], approved: 'AgentPending', completed: 'gatesCompletedAt' },
  AgentPending: { reviewers: ['agent', 'human'], approved: 'HumanPending', completed: 'agentCompletedAt' },
  HumanPending: { reviewers: ['human'], approved: 'Approved', completed: 'humanCompletedAt' },
};

/** Answers the phase that a decision ends. Throws `forbidden` naming the rule, and `invalid_state` where nothing can be decided. */
export function phaseFor({ id, status }: Review, role: string, decision: Decision): Phase {
  const phase = phases[status];
  if (phase === undefined) {
    const [done, to] =
      decision === 'approve' ? ['approved', 'Approved'] : ['closed by a request for changes', 'ChangesRequested'];
    throw new AppError('invalid_state', `${id} is ${status} and cannot be ${done}.`, {
      details: { from: status, to, allowed: [] },
    });
  }
  if (!phase.reviewers.includes(role)) throw notYourPhase(id, status);
  return phase;
}

/** Whether a review can still be commented on by such a one. Throws as `phaseFor`. */
export function checkMayComment({ id, status }: Review, role: string): void {
  if (status === 'Approved' || status === 'ChangesRequested') {
    throw new AppError('invalid_state', `${id} is ${status}, and takes no more comments.`, {
      details: { from: status, to: status, allowed: [] },
    });
  }
  if (role === 'agent' && status !== 'AgentPending') throw notYourPhase(id, status);
}

function notYourPhase(id: string, status: ReviewStatus): AppError {
  return new AppError('forbidden', `${id} is ${status}: agents act in the agent's phase only.`, {
    details: { rule: 'agent_phase_only', status },
  });
}

/** Nobody decides while a task waits for an answer. */
export function checkNotWaiting({ id, status }: Review, taskStatus: string, to: ReviewStatus): void {
  if (taskStatus === 'InReview') return;
  throw new AppError(
    'invalid_state',
    `The task of ${id} is ${taskStatus}; the review goes on when it is InReview again.`,
    {
      details: {
        from: status,
        to,
        allowed: [],
        task_status: taskStatus,
      },
    },
  );
}

/** Separation of duties: `forbidden` for an agent that has done the work, or whose token is for it. */
export function checkNotOwnWork(
  principal: { readonly kind: string; readonly boundTo?: string | undefined },
  taskId: string,
  isDoer: boolean,
): void {
  if (principal.kind !== 'agent' || (principal.boundTo !== taskId && !isDoer)) return;
  throw new AppError('forbidden', `Agents never review their own work: ${taskId} is this agent's.`, {
    details: { rule: 'separation_of_duties', task_id: taskId },
  });
}

/** Throws `stale` unless the reviewer has seen what is reviewed. */
export function checkSeen({ id, headCommit }: Review, seen: string | undefined): void {
  if (seen !== undefined && seen !== headCommit) {
    throw new AppError('stale', `head_commit: ${id} is of ${headCommit}, not of ${seen}.`, {
      details: { field: 'head_commit', head_commit: headCommit, seen },
    });
  }
}

/** What was reviewed is not what is there. */
export function movedOn({ id, headCommit }: Review, branchHead: string | undefined): AppError {
  const what =
    branchHead === undefined
      ? 'the branch is gone; request changes, and submit again'
      : `the branch is at ${branchHead} now, which the review has begun anew with`;
  return new AppError('stale', `${id} was of ${headCommit}, but ${what}.`, {
    details: { head_commit: headCommit, branch_head: branchHead ?? null },
  });
}

/** Gates are run again when they have failed too often, and only then. */
export function checkEscalated({ id, status }: Review): void {
  if (status === 'GatesEscalated') return;
  throw new AppError('invalid_state', `${id} is ${status}; gates are run again when they are GatesEscalated.`, {
    details: { from: status, to: 'GatesPending', allowed: [] },
  });
}
