import type { Tx } from '../../platform/db/db.js';
import type { Change, EventType } from '../events/index.js';
import type { HelpRequest } from './help.js';
import { cancelRequests } from './store.js';

/** What the ledger tells of requests: enough to make the rows anew from nothing else (`src/client/reduce-help.ts`). */
function about(
  type: EventType & `Help${string}`,
  { id, taskId, status }: HelpRequest,
  repoId: string | undefined,
  payload: Change['payload'],
): Change {
  return { type, taskId, repoId, payload: { help_id: id, status, ...payload } };
}

export function requestedChange(request: HelpRequest, repoId: string): Change {
  return about('HelpRequested', request, repoId, {
    from_status: request.fromStatus,
    category: request.category,
    reason: request.reason,
    suggested_options: request.suggestedOptions,
    created_at: request.createdAt,
    deadline_at: request.deadlineAt ?? null,
    default_response: request.defaultResponse ?? null,
    default_option: request.defaultOption ?? null,
  });
}

export function respondedChange(request: HelpRequest, repoId: string): Change {
  return about('HelpResponded', request, repoId, {
    response: request.response,
    chosen_option: request.chosenOption ?? null,
    responded_at: request.respondedAt,
    answered_by_default: request.answeredByDefault,
  });
}

export function resumedChange(request: HelpRequest, repoId: string): Change {
  return about('HelpResumed', request, repoId, { resumed_at: request.resumedAt });
}

/**
 * Cancels what is open of these tasks, of one repository, in the transaction that moves them on by another way than being resumed. Answers
 * what is to be recorded.
 */
export async function endHelp(
  tx: Tx,
  tasks: readonly { readonly id: string; readonly repoId: string }[],
): Promise<readonly Change[]> {
  const repoOf = new Map(tasks.map(({ id, repoId }) => [id, repoId]));
  const ended = await cancelRequests(tx, [...repoOf.keys()]);
  return ended.map((request) => about('HelpCancelled', request, repoOf.get(request.taskId), {}));
}
