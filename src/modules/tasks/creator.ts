import type { Clock } from '../../platform/clock.js';
import { type Db, joinTransaction, type Tx } from '../../platform/db/db.js';
import { createWriter } from '../../platform/db/writer.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import { type Appended, appendOriginated, type Origin } from '../events/index.js';
import { lockRepo } from '../repos/index.js';
import { createdChange } from './changes.js';
import { type Facts, placeAll } from './places.js';
import { addGraphs, findNodes, lockGraphs } from './store.js';
import { countBlocked, findReach, insertEdges } from './store-blockers.js';
import { addOpenChildren } from './store-change.js';
import { insertTasks, type PlacedTask } from './store-create.js';
import { type CreateInput, newTask, type NewTask, prefixOf, type Task } from './tasks.js';

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
        const placed = placeAll(asked, await factsFor(tx, asked, repos));
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

/** What the rules ask of the tasks that are referred to, in one look for all. */
async function factsFor(tx: Tx, asked: readonly Asked[], repos: ReadonlySet<string>): Promise<Facts> {
  const referred = asked.flatMap(({ parentId, blockedBy }) => [
    ...(parentId === undefined ? [] : [parentId]),
    ...blockedBy,
  ]);
  const blockers = new Set(asked.flatMap(({ blockedBy }) => blockedBy));
  // Nobody waits for a task that is new, but for its ancestors somebody may.
  const starts = new Set(asked.flatMap(({ parentId, blockedBy }) => (parentId === undefined ? [] : blockedBy)));
  return {
    repos,
    nodes: await findNodes(tx, [...new Set(referred)]),
    blocks: blockers.size === 0 ? new Map() : await countBlocked(tx, [...blockers]),
    reach: starts.size === 0 ? { steps: [], reached: new Map() } : await findReach(tx, [...starts]),
  };
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
