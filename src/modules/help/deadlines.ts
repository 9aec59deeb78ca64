import { AppError } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Db } from '../../platform/db/db.js';
import type { Log } from '../../platform/log.js';
import { createLoop, type Loop } from '../../platform/loop.js';
import { systemOrigin } from '../events/index.js';
import { respondedChange, resumedChange } from './endings.js';
import type { Asking, HelpTasks } from './service.js';
import { findDue, findOpenRequests, nextDeadline, resolveRequest, respondTo } from './store.js';

export interface DeadlinesDeps<T extends Asking, Task> {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  readonly tasks: Pick<HelpTasks<T, Task>, 'change' | 'resume'>;
  readonly pollMs: number;
}

const batch = 50;

/**
 * Answers requests by their defaults when their deadlines have passed, and lets their tasks go on. Every server runs it; what one of them
 * has answered is no longer Pending for the others. A deadline is a row and no timer, so that it outlives its server.
 */
export function createDeadlines<T extends Asking, Task>(deps: DeadlinesDeps<T, Task>): Loop {
  const { db, clock, log, tasks, pollMs } = deps;

  async function answer(taskId: string): Promise<void> {
    await tasks.change(taskId, systemOrigin, undefined, async (tx, task, now) => {
      const request = (await findOpenRequests(tx, [task.id])).get(task.id);
      // Somebody may have answered in the meantime, or asked something else.
      if (request?.status !== 'Pending' || request.deadlineAt === undefined || request.deadlineAt > now) return [];
      const { id, defaultResponse: response = '', defaultOption: chosenOption, fromStatus } = request;
      const responded = await respondTo(tx, id, { response, chosenOption, byDefault: true }, now);
      const resolved = await resolveRequest(tx, id, now);
      const changes = [respondedChange(responded, task.repoId), resumedChange(resolved, task.repoId)];
      return [...changes, ...(await tasks.resume(tx, task, fromStatus, now))];
    });
  }

  return createLoop({
    name: 'help_deadlines',
    log,
    intervalMs: pollMs,
    run: async () => {
      const due = await findDue(db, clock.now(), batch);
      let failed = false;
      for (const taskId of due) {
        await answer(taskId).catch((error: unknown) => {
          // It was deleted in the meantime.
          if (error instanceof AppError && error.kind === 'not_found') return;
          // The others need not wait for this one.
          failed = true;
          log.error('help_deadline_failed', { task_id: taskId, error });
        });
      }
      if (failed) return undefined;
      if (due.length === batch) return 0;
      const next = await nextDeadline(db);
      // A little late rather than a little early, when there would be nothing to do yet.
      return next === undefined ? undefined : Math.max(1, next.getTime() - clock.now().getTime() + 1);
    },
  });
}
