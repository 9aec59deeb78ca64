import type { Queries, Tx } from '../../platform/db/db.js';
import type { Change } from '../events/index.js';
import type { Lineage } from '../gates/index.js';

/** What reviews ask of a task. */
export interface ReviewedTask {
  readonly id: string;
  readonly repoId: string;
  readonly status: string;
}

/** A task whose review is open, with all that hands gates down to it. */
export interface GatedTask extends ReviewedTask {
  readonly lineage: Lineage;
}

/** Tasks, as far as reviews move them. The module of tasks has them: it knows reviews, and not the other way round. */
export interface ReviewedTasks {
  find(on: Queries, id: string): Promise<GatedTask | undefined>;
  /** The same, with the tasks of its repository locked until the transaction ends; to be called before anything else is read. */
  lock(tx: Tx, id: string): Promise<GatedTask | undefined>;
  /** Completes a task as every other way does, its review with it. Answers what is to be recorded. Rejects with `children_open`. */
  complete(tx: Tx, id: string, now: Date): Promise<readonly Change[]>;
  /** Puts a submitted task back to InProgress. Answers what is to be recorded. */
  reopen(tx: Tx, id: string, now: Date): Promise<readonly Change[]>;
  /** Says where a task's branch has moved to. Answers what is to be recorded. */
  moveHead(tx: Tx, id: string, headCommit: string, now: Date): Promise<readonly Change[]>;
}
