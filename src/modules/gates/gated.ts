import type { Queries, Tx } from '../../platform/db/db.js';
import type { Change } from '../events/index.js';
import type { TaskRepo } from '../vcs/index.js';
import type { Lineage, Scope } from './gates.js';

/** Tasks and reviews, as far as gates have to do with them. Both know of gates, and not the other way round, so that these are handed in. */
export interface GatedTasks {
  /** Undefined when there is no such task. */
  lineage(on: Queries, taskId: string): Promise<Lineage | undefined>;
  /** Locks all tasks of a repository until the transaction ends; to be called before anything else is read. */
  lock(tx: Tx, repoId: string): Promise<void>;
  /** The ids of all reviews that are open of what is below a scope. */
  openReviews(tx: Tx, scope: Scope): Promise<readonly string[]>;
}

export interface GatedReviews {
  exists(on: Queries, reviewId: string): Promise<boolean>;
  /** Moves the review of a task on when its gates have all ended. The repository is locked. Answers what is to be recorded. */
  judge(tx: Tx, taskId: string, now: Date): Promise<readonly Change[]>;
}

/** How a task's work tree compares with what was submitted. */
export interface Compared {
  /** Where the branch is; undefined when there is none. */
  readonly branchHead: string | undefined;
  /** Some of the paths that are not as they were submitted. */
  readonly changed: readonly string[];
  readonly changedCount: number;
}

/** What gates need of git. */
export interface GateVcs {
  /** Where the task's work tree is, or would be. */
  worktree(task: { readonly repo: TaskRepo; readonly taskId: string }): Promise<string>;
  compare(input: {
    readonly repo: TaskRepo;
    readonly taskId: string;
    readonly headCommit: string;
    readonly headTree: string;
    readonly signal?: AbortSignal | undefined;
  }): Promise<Compared>;
  /** A file as the default branch has it; undefined when that has no commit yet, or is gone. */
  readDefault(input: {
    readonly repo: TaskRepo;
    readonly path: string;
    readonly maxBytes: number;
    /** The commit of which it is known already, so that it need not be read. */
    readonly known?: string | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<{ readonly commit: string; readonly text: string | undefined } | undefined>;
}
