export const reviewStatuses = [
  'GatesPending',
  'GatesEscalated',
  'AgentPending',
  'HumanPending',
  'Approved',
  'ChangesRequested',
] as const;
export type ReviewStatus = (typeof reviewStatuses)[number];

/** Of what a task was submitted with. Approved and ChangesRequested are final; a task has at most one that is neither. */
export interface Review {
  readonly id: string;
  readonly taskId: string;
  readonly status: ReviewStatus;
  readonly headCommit: string;
  readonly submittedAt: Date;
  readonly gatesCompletedAt: Date | undefined;
  readonly agentCompletedAt: Date | undefined;
  readonly humanCompletedAt: Date | undefined;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** How a review ends. */
export type Verdict = 'Approved' | 'ChangesRequested';

/** A review as it is opened. There are no gates to wait for. */
export function newReview(id: string, taskId: string, headCommit: string, now: Date): Review {
  return {
    id,
    taskId,
    status: 'AgentPending',
    headCommit,
    submittedAt: now,
    gatesCompletedAt: now,
    agentCompletedAt: undefined,
    humanCompletedAt: undefined,
    createdAt: now,
    updatedAt: now,
  };
}
