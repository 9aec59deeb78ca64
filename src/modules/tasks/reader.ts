import type { Queries } from '../../platform/db/db.js';
import { findOpenReviews, type Review } from '../reviews/index.js';
import { type Context, findInContext } from './store.js';
import { findVcsRows, type TaskVcs, vcsOf } from './store-vcs.js';
import type { Task } from './tasks.js';

/** A task with all that its doer has to know. */
export interface TaskWithContext {
  readonly task: Task;
  readonly context: Context;
  readonly vcs: TaskVcs | undefined;
  /** The one that is open. */
  readonly review: Review | undefined;
}

/** Those that there are. */
export async function findFull(on: Queries, ids: readonly string[]): Promise<readonly TaskWithContext[]> {
  const found = await findInContext(on, ids);
  const reviews = await findOpenReviews(on, ids);
  const rows = await findVcsRows(on, ids);
  return found.map((each) => ({
    ...each,
    vcs: vcsOf(rows.get(each.task.id)),
    review: reviews.get(each.task.id),
  }));
}
