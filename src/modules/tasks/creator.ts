import { AppError } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import { type Db, joinTransaction, type Tx } from '../../platform/db/db.js';
import { createWriter } from '../../platform/db/writer.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import { type Appended, appendOriginated, type Origin } from '../events/index.js';
import { lockRepo } from '../repos/index.js';
import { areRelated, cycle, pathAlong } from './blockers.js';
import { createdChange } from './changes.js';
import { addGraphs, findNodes, lockGraphs, type Node } from './store.js';
import { countEdges, findReach, insertEdges } from './store-blockers.js';
import { addOpenChildren } from './store-change.js';
import { insertTasks, type PlacedTask } from './store-create.js';
import {
  checkParentKind,
  type CreateInput,
  limits,
  newTask,
  type NewTask,
  noSuchRepo,
  noSuchTask,
  prefixOf,
  type Task,
} from './tasks.js';
import { isOpen } from './transitions.js';

export interface CreatorDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
}

type Asked = NewTask & { readonly id: string; readonly origin: Origin };

export interface Creator {
  create(input: CreateInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
}

/** Stores new tasks, those of concurrent callers in few statements and one commit. Rejects with what `newTask` throws, and when others do not allow it. */
export function createCreator({ db, clock, newId, appended }: CreatorDeps): Creator {
  const writer = createWriter<Asked, Task>(db, {
    maxItems: 200,
    maxInFlight: 2,
    weigh: ({ description, context }) => description.length + (context?.length ?? 0),
    maxWeight: 4 * 1024 * 1024,
    run: (asked, on) =>
      joinTransaction(on, async (tx) => {
        const now = clock.now();
        const repos = await lockRepos(tx, asked);
        const known = await findNodes(tx, referredTo(asked));
        const placed: (PlacedTask | Error)[] = [];
        for (const each of asked) placed.push(await place(tx, each, repos, known));
        const ok = placed.filter((each): each is PlacedTask => !(each instanceof Error));
        if (ok.length > 0) await store(tx, ok, now);
        const outputs = placed.map((each) => (each instanceof Error ? each : taskOf(each, now)));
        const changes = asked.flatMap((each, index) => {
          const task = outputs[index];
          return task === undefined || task instanceof Error ? [] : [{ ...createdChange(task), origin: each.origin }];
        });
        await appendOriginated(tx, now, changes);
        return { outputs, committed: () => changes.length > 0 && appended('TaskCreated', changes.length) };
      }),
  });

  return {
    async create(input, origin, keep) {
      const asked = newTask(input);
      return writer.submit({ ...asked, id: newId(prefixOf(asked.kind)), origin }, keep);
    },
  };
}

/** Locks the repositories that there are. Answers their ids. */
async function lockRepos(tx: Tx, asked: readonly Asked[]): Promise<ReadonlySet<string>> {
  const wanted = [...new Set(asked.map(({ repoId }) => repoId))];
  const locked = await lockGraphs(tx, wanted);
  const others = wanted.filter((id) => !locked.has(id));
  if (others.length === 0) return locked;
  const there: string[] = [];
  for (const id of others.sort()) if ((await lockRepo(tx, id)) !== undefined) there.push(id);
  await addGraphs(tx, there);
  // Whoever added them just now has committed, and others may have locked them since.
  return lockGraphs(tx, wanted);
}

function referredTo(asked: readonly Asked[]): readonly string[] {
  return [
    ...new Set(
      asked.flatMap(({ parentId, blockedBy }) => [...(parentId === undefined ? [] : [parentId]), ...blockedBy]),
    ),
  ];
}

/** Where the task would stand, or why it cannot be. */
async function place(
  tx: Tx,
  asked: Asked,
  repos: ReadonlySet<string>,
  known: ReadonlyMap<string, Node>,
): Promise<PlacedTask | Error> {
  try {
    if (!repos.has(asked.repoId)) throw noSuchRepo(asked.repoId);
    const parent = parentOf(asked, known);
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
      const blocker = known.get(id);
      if (blocker?.repoId !== asked.repoId) throw noSuchTask(field, id);
      if ((await countEdges(tx, own.id, id)).blocks >= limits.blockers) throw tooManyBlocked(field, id);
      // Nobody waits for a task that is new, but for its ancestors somebody may.
      if (parent !== undefined) await checkNoCycle(tx, field, own, id);
      if (blocker.status !== 'Completed') ownBlockers += 1;
    }
    return { ...own, ownBlockers };
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

function parentOf({ parentId, kind, repoId }: Asked, known: ReadonlyMap<string, Node>): Node | undefined {
  if (parentId === undefined) return undefined;
  const parent = known.get(parentId);
  if (parent?.repoId !== repoId) throw noSuchTask('parent_id', parentId);
  checkParentKind(kind, parent.kind);
  if (isOpen(parent.status)) return parent;
  throw new AppError('invalid_state', `parent_id: ${parentId} is ${parent.status}, and gets no more children.`, {
    details: { field: 'parent_id', status: parent.status },
  });
}

/** Throws `cycle` when the blocker waits for the task already, at whatever distance. */
export async function checkNoCycle(
  tx: Tx,
  field: string,
  task: Pick<Node, 'id' | 'parentId' | 'grandId'>,
  blockerId: string,
): Promise<void> {
  const { steps, reached } = await findReach(tx, blockerId);
  const ends = new Set([...reached.values()].filter((each) => areRelated(each, task)).map(({ id }) => id));
  const path = ends.size === 0 ? undefined : pathAlong(steps, blockerId, ends);
  if (path === undefined) return;
  // A path that ends with the task itself names it once more as the first.
  throw cycle(field, [task.id, ...(path.at(-1) === task.id ? path.slice(0, -1) : path)]);
}

export function tooManyBlocked(field: string, id: string): AppError {
  return new AppError(
    'conflict',
    `${field}: ${id} blocks ${limits.blockers} tasks already, which is as many as may be.`,
    {
      details: { field, max: limits.blockers },
    },
  );
}

async function store(tx: Tx, tasks: readonly PlacedTask[], now: Date): Promise<void> {
  await insertTasks(tx, tasks, now);
  await addOpenChildren(
    tx,
    tasks.map(({ parentId }) => ({ id: parentId, by: 1 })),
  );
  const edges = tasks.flatMap((task) => task.blockedBy.map((blockerId) => ({ task, blockerId })));
  if (edges.length > 0) await insertEdges(tx, edges);
}

function taskOf(placed: PlacedTask, now: Date): Task {
  const { id, repoId, parentId, kind, description, context, priority, status, blockedBy, depth } = placed;
  return {
    id,
    repoId,
    parentId,
    kind,
    description,
    context,
    priority,
    status,
    blockedBy,
    blocks: [],
    effectivelyBlocked: placed.ownBlockers + placed.blockersAbove > 0,
    depth,
    createdAt: now,
    updatedAt: now,
    startedAt: undefined,
    completedAt: undefined,
  };
}
