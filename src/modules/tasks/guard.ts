import { AppError } from '../../errors.js';
import type { Principal } from '../../platform/auth/principal.js';
import type { CreateInput } from './tasks.js';

/**
 * What an agent with `tasks.execute` may do with it: the scope says what at all, this says on which task. Humans may do all of it, and nobody
 * else has the scope.
 */

/** Throws `forbidden` when the capabilities are good for another task only. */
export function checkOwn({ kind, boundTo }: Principal, taskId: string): void {
  if (kind !== 'agent' || boundTo === undefined || boundTo === taskId) return;
  throw new AppError('forbidden', `This agent may act on ${boundTo} only.`, { details: { task_id: boundTo } });
}

/** Agents add subtasks, and those under the task they work on. */
export function checkMayCreate(principal: Principal, { kind, parentId }: CreateInput): void {
  // Without a kind it is refused for that.
  if (principal.kind !== 'agent' || kind === undefined || kind === null) return;
  if (kind !== 'Subtask') {
    throw new AppError('forbidden', 'Agents create subtasks only; milestones and tasks are for humans.', {
      details: { kind: 'Subtask' },
    });
  }
  checkOwn(principal, parentId ?? '');
}

/** Throws `forbidden` for an agent that has its task already. */
export function checkMayClaim({ kind, boundTo }: Principal): void {
  if (kind !== 'agent' || boundTo === undefined) return;
  throw new AppError('forbidden', `This agent works on ${boundTo}, and claims no others.`, {
    details: { task_id: boundTo },
  });
}

/** Where a task begins is for humans to say. */
export function checkMayRebase({ kind }: Principal, base: string | null | undefined): void {
  if (kind !== 'agent' || base === undefined || base === null) return;
  throw new AppError('forbidden', 'base: only a human may say where a task begins.', { details: { field: 'base' } });
}
