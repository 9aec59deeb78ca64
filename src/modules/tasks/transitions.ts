import { AppError } from '../../errors.js';
import type { Status } from './tasks.js';

/** Where a task can go from a status, by any call but a human's set-status. docs/tasks.md draws it. */
const moves: Readonly<Record<Status, readonly Status[]>> = {
  Pending: ['InProgress', 'AwaitingHuman', 'Completed', 'Cancelled'],
  InProgress: ['InReview', 'AwaitingHuman', 'Completed', 'Cancelled'],
  InReview: ['InProgress', 'AwaitingHuman', 'Completed', 'Cancelled'],
  AwaitingHuman: ['Pending', 'InProgress', 'InReview', 'Completed', 'Cancelled'],
  Completed: [],
  Cancelled: ['Cancelled'],
};

/** Not Completed and not Cancelled. */
export function isOpen(status: Status): boolean {
  return status !== 'Completed' && status !== 'Cancelled';
}

/** From where each call leads on; what has no source here is `invalid_state`. */
const sources = {
  start: { from: ['Pending'], to: 'InProgress', done: 'started' },
  submit: { from: ['InProgress'], to: 'InReview', done: 'submitted' },
  cancel: {
    from: ['Pending', 'InProgress', 'InReview', 'AwaitingHuman', 'Cancelled'],
    to: 'Cancelled',
    done: 'cancelled',
  },
  forceComplete: {
    from: ['Pending', 'InProgress', 'InReview', 'AwaitingHuman'],
    to: 'Completed',
    done: 'completed',
  },
  wait: { from: ['Pending', 'InProgress', 'InReview'], to: 'AwaitingHuman', done: 'made to wait for a human' },
  resume: { from: ['AwaitingHuman'], to: 'InProgress', done: 'resumed' },
} as const satisfies Readonly<
  Record<string, { readonly from: readonly Status[]; readonly to: Status; readonly done: string }>
>;

export type Move = keyof typeof sources;

/** Answers the status that a call leads to. Throws `invalid_state` with `from`, `to` and `allowed` where it leads nowhere. */
export function target<M extends Move>(id: string, from: Status, move: M): (typeof sources)[M]['to'] {
  const { from: allowed, to, done } = sources[move];
  if ((allowed as readonly Status[]).includes(from)) return to;
  throw new AppError('invalid_state', `${id} is ${from} and cannot be ${done}.`, {
    // By another call it may lead there.
    details: { from, to, allowed: moves[from].filter((status) => status !== to) },
  });
}

/** Where a human may set a task to that stands under `parent` and has a review open or not. */
export function checkSetStatus(
  id: string,
  from: Status,
  to: Status,
  at: { readonly parent: Status | undefined; readonly hasOpenReview: boolean },
): void {
  const settable = statusesToSet(at);
  if (from === to || settable.includes(to)) return;
  throw new AppError('invalid_state', `${id} is ${from} and cannot be set to ${to}: ${whyNot(to)}.`, {
    details: { from, to, allowed: settable.filter((status) => status !== from) },
  });
}

function statusesToSet(at: {
  readonly parent: Status | undefined;
  readonly hasOpenReview: boolean;
}): readonly Status[] {
  // A Completed task has no open children, and stays so.
  if (at.parent === 'Completed') return ['Completed', 'Cancelled'];
  return ['Pending', 'InProgress', ...(at.hasOpenReview ? (['InReview'] as const) : []), 'Completed', 'Cancelled'];
}

function whyNot(to: Status): string {
  if (to === 'AwaitingHuman') return 'only a request for help leads there';
  if (to === 'InReview') return 'it has no open review; submit it';
  return 'its parent is Completed';
}
