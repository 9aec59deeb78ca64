import type { Item, Problem, Source } from './source-plan.js';

export type Kind = 'Milestone' | 'Task' | 'Subtask';

/** A task of the repository that an earlier import has made. */
export interface Imported {
  readonly id: string;
  readonly kind: Kind;
  readonly status: string;
  readonly parentId: string | undefined;
}

/** What is to be made, each behind all that it needs: its parent and its blockers. */
export interface ImportPlan {
  readonly source: Source;
  readonly tasks: readonly PlannedTask[];
  readonly problems: readonly Problem[];
  readonly counts: Counts;
}

export interface PlannedTask {
  readonly item: Item;
  readonly kind: Kind;
  readonly description: string;
  readonly context: string;
  /** The record whose task is its parent. */
  readonly parent: string | undefined;
  /** The task that is its parent, when that is there already and no record of this plan. */
  readonly parentId: string | undefined;
  /** The records for whose tasks it waits. */
  readonly blockers: readonly string[];
  /** The task that it is already; then nothing is made. */
  readonly imported: Imported | undefined;
  /** What it is to be set to when all is there. */
  readonly close: 'Completed' | 'Cancelled' | undefined;
}

export interface Counts {
  readonly create: number;
  readonly imported: number;
  readonly close: number;
  /** Closed ones, which are not asked for. */
  readonly closed: number;
  /** What is nothing to do, such as deleted issues. */
  readonly gone: number;
  readonly bad: number;
  /** Dependencies on what is done, of which nothing is left. */
  readonly released: number;
}

export type Report = (severity: Problem['severity'], item: Item, field: string | undefined, message: string) => void;
