import { numberCursor } from '../../platform/cursor.js';
import type { Db, Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import type { Change, Origin } from '../events/index.js';
import { learningChange } from './copies.js';
import { checkContent, type Inherited, type Learning } from './learnings.js';
import { insertLearnings, type Listed, listAfter } from './store.js';

/** A task as far as learnings go. */
interface Learner {
  readonly id: string;
  readonly repoId: string;
}

/** What is asked of tasks. They know of learnings and not the other way round, so that it is handed in. */
export interface LearningTasks<T extends Learner> {
  /** Makes a change of what belongs to a task, with its repository locked. Rejects with `not_found`. */
  changeOf<R>(
    id: string,
    origin: Origin,
    keep: Keep<R> | undefined,
    work: (tx: Tx, task: T, now: Date) => Promise<{ readonly changes: readonly Change[]; readonly result: R }>,
  ): Promise<R>;
  /** Takes up what a task has learned, where it is Completed. */
  bubbleIfCompleted(tx: Tx, task: T, now: Date): Promise<readonly Change[]>;
  /** Rejects with `not_found`. */
  get(id: string): Promise<{ readonly learnings: Inherited }>;
}

export interface LearningsDeps<T extends Learner> {
  readonly db: Db;
  readonly newId: NewId;
  readonly tasks: LearningTasks<T>;
}

const paging = createPaging(numberCursor('learning'), (listed: Listed) => listed.n);

export interface AddInput {
  readonly taskId: string;
  readonly content: string;
}

export interface ListInput extends PageInput {
  readonly taskId: string;
}

/** The use cases of learnings. Everything rejects with AppErrors that name the field at fault, and with `not_found` for a task. */
export interface Learnings {
  add(input: AddInput, origin: Origin, keep?: Keep<Learning>): Promise<Learning>;
  /** Oldest first. */
  list(input: ListInput): Promise<{ readonly learnings: readonly Learning[]; readonly nextCursor: string | undefined }>;
  inherited(taskId: string): Promise<Inherited>;
}

export function createLearnings<T extends Learner>({ db, newId, tasks }: LearningsDeps<T>): Learnings {
  return {
    async add(input, origin, keep) {
      const content = checkContent(input.content);
      return tasks.changeOf(input.taskId, origin, keep, async (tx, task, now) => {
        const id = newId('lrn');
        const learning: Learning = { id, taskId: task.id, content, sourceTaskId: undefined, createdAt: now };
        await insertLearnings(tx, task.id, [{ ...learning, originId: id }], now);
        const changes = [learningChange('LearningAdded', learning, task.repoId)];
        return { changes: [...changes, ...(await tasks.bubbleIfCompleted(tx, task, now))], result: learning };
      });
    },
    async list(input) {
      const page = paging(input);
      await tasks.get(input.taskId);
      const { rows, nextCursor } = page.of(await listAfter(db, input.taskId, page.place ?? 0, page.count));
      return { learnings: rows.map(({ learning }) => learning), nextCursor };
    },
    inherited: async (taskId) => (await tasks.get(taskId)).learnings,
  };
}
