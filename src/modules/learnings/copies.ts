import type { Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import type { Change, EventType } from '../events/index.js';
import type { Learning } from './learnings.js';
import { findLacking, insertLearnings } from './store.js';

/** A task and the one above it, of one repository, which is locked. */
export interface Step {
  readonly from: string;
  readonly to: string;
  readonly repoId: string;
}

/**
 * Gives a task what one below it has learned, but what it has already: each learning comes but once, whichever way it takes and however often.
 * For the transaction in which the lower one is completed. Answers what is to be recorded.
 */
export async function copyLearnings(
  tx: Tx,
  newId: NewId,
  { from, to, repoId }: Step,
  now: Date,
): Promise<readonly Change[]> {
  const copies = (await findLacking(tx, from, to)).map((learning) => ({
    ...learning,
    id: newId('lrn'),
    taskId: to,
    sourceTaskId: learning.sourceTaskId ?? from,
    createdAt: now,
  }));
  if (copies.length === 0) return [];
  await insertLearnings(tx, to, copies, now);
  return copies.map((copy) => learningChange('LearningBubbled', copy, repoId));
}

/** What the ledger tells of a learning: enough to make the row anew from nothing else (`src/client/reduce-learnings.ts`). */
export function learningChange(
  type: EventType & `Learning${string}`,
  { id, taskId, content, sourceTaskId, createdAt }: Learning,
  repoId: string,
): Change {
  const payload = { learning_id: id, content, source_task_id: sourceTaskId ?? null, created_at: createdAt };
  return { type, taskId, repoId, payload };
}
