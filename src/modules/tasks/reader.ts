import type { Queries } from '../../platform/db/db.js';
import { findEffective, type Gate, type Lineage } from '../gates/index.js';
import { findOpenHelp, type HelpRequest } from '../help/index.js';
import { findLearnings, type Inherited } from '../learnings/index.js';
import { findOpenReviews, type Review } from '../reviews/index.js';
import { type Context, findInContext, type TaskInContext } from './store.js';
import { findVcsRows, type TaskVcs, vcsOf } from './store-vcs.js';
import type { Task } from './tasks.js';

/** A task with all that its doer has to know. */
export interface TaskWithContext {
  readonly task: Task;
  readonly context: Context;
  readonly learnings: Inherited;
  /** All that it has to pass, as its repository's file was at the last look. */
  readonly gates: readonly Gate[];
  readonly vcs: TaskVcs | undefined;
  /** The one that is open. */
  readonly review: Review | undefined;
  /** The one that is open. */
  readonly helpRequest: HelpRequest | undefined;
}

/** Those that there are. */
export async function findFull(on: Queries, ids: readonly string[]): Promise<readonly TaskWithContext[]> {
  const found = await findInContext(on, ids);
  const learned = await findInherited(on, found);
  const gates = await findEffective(on, found.map(lineage));
  const reviews = await findOpenReviews(on, ids);
  const rows = await findVcsRows(on, ids);
  // No other task has one.
  const waiting = found.flatMap(({ task }) => (task.status === 'AwaitingHuman' ? [task.id] : []));
  const asked = waiting.length === 0 ? undefined : await findOpenHelp(on, waiting);
  return found.map(({ above: _above, ...each }, index) => ({
    ...each,
    gates: gates[index] ?? [],
    learnings: learned(each.task.id),
    vcs: vcsOf(rows.get(each.task.id)),
    review: reviews.get(each.task.id),
    helpRequest: asked?.get(each.task.id),
  }));
}

function lineage({ task: { id, repoId }, above }: TaskInContext): Lineage {
  return { repoId, taskIds: [above.milestoneId, above.parentId, id].filter((each) => each !== undefined) };
}

/** In one query for all of them, since many have the same parents. */
async function findInherited(on: Queries, found: readonly TaskInContext[]): Promise<(id: string) => Inherited> {
  const aboveOf = new Map(found.map(({ task, above }) => [task.id, above]));
  const all = found.flatMap(({ task, above }) => [task.id, above.parentId, above.milestoneId]);
  const byTask = await findLearnings(on, [...new Set(all.filter((id) => id !== undefined))]);
  const of = (id: string | undefined) => (id === undefined ? undefined : byTask.get(id)) ?? [];
  return (id) => {
    const above = aboveOf.get(id);
    return { own: of(id), parent: of(above?.parentId), milestone: of(above?.milestoneId) };
  };
}
