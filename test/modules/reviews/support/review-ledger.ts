import { expect } from 'vitest';
import { emptyLedgerState, type LedgerEvent, reduceEvents } from '../../../../src/client/index.js';
import type { ReviewsClient } from '../../../support/reviews-client.js';

/** The reducer must make the rows that the server has, of its ledger alone. */
export async function expectReduced(
  reviews: ReviewsClient,
  taskId: string,
  events: readonly LedgerEvent[],
): Promise<void> {
  const state = reduceEvents(emptyLedgerState({ filtered: true }), events);
  const rounds = await reviews.list(taskId, '?limit=500');
  expect([...state.reviews.values()]).toEqual(rounds);
  const comments = (await Promise.all(rounds.map(({ id }) => reviews.comments(id)))).flat();
  expect([...state.comments.values()].sort(byId)).toEqual(comments.sort(byId));
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

/** What in a ledger no rule allows at its place. `doers` are ids of agents that have done the work. */
export function illegal(events: readonly LedgerEvent[], doers: ReadonlySet<string>): readonly string[] {
  const found: string[] = [];
  let open: { id: string | null; status: string } | undefined;
  for (const { seq, type, review_id: id, actor, payload } of events) {
    const note = (why: string): void => void found.push(`${seq} ${type}: ${why}`);
    if (!/^(Review|Comment|Changes)/.test(type)) continue;
    if (type === 'ReviewCreated') {
      if (open !== undefined) note('another one is open');
      open = { id, status: 'AgentPending' };
      continue;
    }
    if (doers.has(actor.id)) note('by one who did the work');
    if (type === 'CommentResolved') continue;
    if (open?.id !== id) note('it is not open');
    if (actor.kind === 'agent' && open?.status !== 'AgentPending') note('by an agent, in the phase of a human');
    if (type === 'ReviewPhaseChanged') {
      if (open?.status !== 'AgentPending') note('twice');
      open = { id, status: String(payload['status']) };
    }
    if (type === 'ReviewApproved' && open?.status !== 'HumanPending') note('before its phase');
    if (type === 'ReviewApproved' || type === 'ChangesRequested') open = undefined;
  }
  return found;
}
