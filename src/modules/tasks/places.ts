import { AppError } from '../../errors.js';
import { checkNoCycle, type Lineage, type Reach, type Step, tooManyBlocked } from './blockers.js';
import type { Node } from './store.js';
import type { PlacedTask } from './store-create.js';
import { checkParentKind, limits, type NewTask, noSuchRepo, noSuchTask } from './tasks.js';
import { isOpen } from './transitions.js';

/** What there is of others before any of the new tasks. */
export interface Facts {
  readonly repos: ReadonlySet<string>;
  readonly nodes: ReadonlyMap<string, Node>;
  /** How many tasks each blocks; those that block any. */
  readonly blocks: ReadonlyMap<string, number>;
  /** Of all that are to block tasks with a parent. */
  readonly reach: Reach;
}

type Asked = NewTask & { readonly id: string };

/** Where each of these tasks would stand, or why it cannot be: as if they came one after the other. */
export function placeAll(asked: readonly Asked[], facts: Facts): readonly (PlacedTask | Error)[] {
  const steps: Step[] = [...facts.reach.steps];
  const blocks = new Map(facts.blocks);
  const soFar = { ...facts, blocks, reach: { steps, reached: facts.reach.reached } };
  return asked.map((each) => {
    try {
      const placed = place(each, soFar);
      for (const blockerId of placed.blockedBy) {
        blocks.set(blockerId, (blocks.get(blockerId) ?? 0) + 1);
        steps.push(...stepsThrough(placed, blockerId));
      }
      return placed;
    } catch (error) {
      if (error instanceof AppError) return error;
      throw error;
    }
  });
}

/** Nobody waits for the task itself, being new; who waits for an ancestor waits for what it waits for. */
function stepsThrough({ parentId, grandId }: Lineage, to: string): readonly Step[] {
  return [parentId, grandId].filter((from) => from !== undefined).map((from) => ({ from, to }));
}

function place(asked: Asked, { repos, nodes, blocks, reach }: Facts): PlacedTask {
  if (!repos.has(asked.repoId)) throw noSuchRepo(asked.repoId);
  const parent = parentOf(asked, nodes);
  const own = {
    ...asked,
    grandId: parent?.parentId,
    milestoneId: asked.kind === 'Milestone' ? asked.id : parent?.milestoneId,
    depth: parent === undefined ? 0 : parent.depth + 1,
    status: 'Pending' as const,
    blockersAbove: parent === undefined ? 0 : parent.ownBlockers + parent.blockersAbove,
    cancelledAbove: parent?.cancelledAbove ?? 0,
    archived: false,
    starting: false,
  };
  let ownBlockers = 0;
  for (const [index, id] of asked.blockedBy.entries()) {
    const field = `blocked_by[${index}]`;
    const blocker = nodes.get(id);
    if (blocker?.repoId !== asked.repoId) throw noSuchTask(field, id);
    if ((blocks.get(id) ?? 0) >= limits.blockers) throw tooManyBlocked(field, id);
    if (parent !== undefined) checkNoCycle(reach, field, own, id);
    if (blocker.status !== 'Completed') ownBlockers += 1;
  }
  return { ...own, ownBlockers };
}

function parentOf({ parentId, kind, repoId }: Asked, nodes: ReadonlyMap<string, Node>): Node | undefined {
  if (parentId === undefined) return undefined;
  const parent = nodes.get(parentId);
  if (parent?.repoId !== repoId) throw noSuchTask('parent_id', parentId);
  checkParentKind(kind, parent.kind);
  if (isOpen(parent.status)) return parent;
  throw new AppError('invalid_state', `parent_id: ${parentId} is ${parent.status}, and gets no more children.`, {
    details: { field: 'parent_id', status: parent.status },
  });
}
