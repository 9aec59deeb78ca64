import { AppError } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import { numberCursor } from '../../platform/cursor.js';
import type { Db, Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import type { Log } from '../../platform/log.js';
import type { Loop } from '../../platform/loop.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import type { Change, Origin } from '../events/index.js';
import { createDeadlines } from './deadlines.js';
import { requestedChange, respondedChange, resumedChange } from './endings.js';
import {
  alreadyAsked,
  type AskInput,
  checkAnswer,
  type FromStatus,
  helpNotFound,
  type HelpRequest,
  isHelpId,
  notAnswered,
  notPending,
  questionOf,
} from './help.js';
import {
  findOpenRequests,
  findRequest,
  insertRequest,
  type Listed,
  listRequests,
  resolveRequest,
  respondTo,
} from './store.js';

/** A task as far as help goes. */
export interface Asking {
  readonly id: string;
  readonly repoId: string;
  readonly status: string;
}

/** What is asked of tasks. They know of help and not the other way round, so that it is handed in. */
export interface HelpTasks<T extends Asking, Task> {
  /** Makes a change of a task, with its repository locked. Rejects with `not_found`. */
  change(
    id: string,
    origin: Origin,
    keep: Keep<Task> | undefined,
    work: (tx: Tx, task: T, now: Date) => Promise<readonly Change[]>,
  ): Promise<Task>;
  /** The same for a change that comes to something else. */
  changeOf<R>(
    id: string,
    origin: Origin,
    keep: Keep<R> | undefined,
    work: (tx: Tx, task: T, now: Date) => Promise<{ readonly changes: readonly Change[]; readonly result: R }>,
  ): Promise<R>;
  /** The status that it goes back to when it is made to wait. Throws `invalid_state` when it cannot be. */
  askedIn(task: T): FromStatus;
  wait(tx: Tx, task: T, now: Date): Promise<readonly Change[]>;
  /** Throws `invalid_state` when it does not wait. */
  resume(tx: Tx, task: T, to: FromStatus, now: Date): Promise<readonly Change[]>;
  /** Rejects with `not_found`. */
  get(id: string): Promise<{ readonly helpRequest: HelpRequest | undefined }>;
  /** An error for a task's id in a body. */
  noSuchTask(id: string): Error;
}

export interface HelpDeps<T extends Asking, Task> {
  readonly db: Db;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  readonly tasks: HelpTasks<T, Task>;
  readonly pollMs: number;
}

type Optional<T> = T | null | undefined;

const paging = createPaging(numberCursor('help'), (listed: Listed) => listed.n);

export interface RespondInput {
  readonly id: string;
  readonly response?: Optional<string>;
  readonly chosenOption?: Optional<number>;
}

export interface ListInput extends PageInput {
  readonly taskId: string;
}

/** The use cases of help. Everything rejects with AppErrors that name the field at fault. */
export interface Help<Task> {
  /** Rejects with `conflict` while another request of the task is open. */
  ask(input: AskInput, origin: Origin, keep?: Keep<HelpRequest>): Promise<HelpRequest>;
  /** Rejects with `invalid_state` unless it is Pending. */
  respond(input: RespondInput, origin: Origin, keep?: Keep<HelpRequest>): Promise<HelpRequest>;
  /** Rejects with `invalid_state` unless it was answered. */
  resume(taskId: string, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  /** The one that is open. */
  active(taskId: string): Promise<HelpRequest | undefined>;
  /** Newest first. */
  list(
    input: ListInput,
  ): Promise<{ readonly helpRequests: readonly HelpRequest[]; readonly nextCursor: string | undefined }>;
  /** Answers what nobody has answered in time. */
  readonly background: Pick<Loop, 'start' | 'stop'>;
}

export function createHelp<T extends Asking, Task>(deps: HelpDeps<T, Task>): Help<Task> {
  const { db, newId, tasks } = deps;
  const deadlines = createDeadlines(deps);

  return {
    async ask(input, origin, keep) {
      const { taskId, deadline, ...question } = questionOf(input);
      const asked = await tasks
        .changeOf(taskId, origin, keep, async (tx, task, now) => {
          const open = (await findOpenRequests(tx, [task.id])).get(task.id);
          if (open !== undefined) throw alreadyAsked(open);
          const request = await insertRequest(tx, {
            ...question,
            id: newId('help'),
            taskId: task.id,
            fromStatus: tasks.askedIn(task),
            createdAt: now,
            deadlineAt: deadline && new Date(now.getTime() + deadline.sec * 1000),
            defaultResponse: deadline?.answer.response,
            defaultOption: deadline?.answer.chosenOption,
          });
          const changes = [requestedChange(request, task.repoId), ...(await tasks.wait(tx, task, now))];
          return { changes, result: request };
        })
        .catch((error: unknown) => {
          throw error instanceof AppError && error.kind === 'not_found' ? tasks.noSuchTask(taskId) : error;
        });
      if (deadline !== undefined) deadlines.wake();
      return asked;
    },
    async respond({ id, response, chosenOption }, origin, keep) {
      const known = isHelpId(id) ? await findRequest(db, id) : undefined;
      if (known === undefined) throw helpNotFound(id);
      const answer = checkAnswer({ response, option: chosenOption }, known.suggestedOptions);
      return tasks.changeOf(known.taskId, origin, keep, async (tx, { repoId }, now) => {
        const request = await findRequest(tx, id);
        if (request === undefined) throw helpNotFound(id);
        if (request.status !== 'Pending') throw notPending(request);
        const responded = await respondTo(tx, id, { ...answer, byDefault: false }, now);
        return { changes: [respondedChange(responded, repoId)], result: responded };
      });
    },
    resume: (taskId, origin, keep) =>
      tasks.change(taskId, origin, keep, async (tx, task, now) => {
        const open = (await findOpenRequests(tx, [task.id])).get(task.id);
        // Without one it does not wait, so that it is refused for that.
        if (open === undefined) return tasks.resume(tx, task, 'InProgress', now);
        if (open.status === 'Pending') throw notAnswered(open);
        const resolved = await resolveRequest(tx, open.id, now);
        return [resumedChange(resolved, task.repoId), ...(await tasks.resume(tx, task, open.fromStatus, now))];
      }),
    active: async (taskId) => (await tasks.get(taskId)).helpRequest,
    async list(input) {
      const page = paging(input);
      await tasks.get(input.taskId);
      const { rows, nextCursor } = page.of(await listRequests(db, input.taskId, page.place, page.count));
      return { helpRequests: rows.map(({ request }) => request), nextCursor };
    },
    background: deadlines,
  };
}
