import { AppError, invalidField } from '../../errors.js';
import { numberCursor } from '../../platform/cursor.js';
import { createBatcher } from '../../platform/db/batcher.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import { isGiven } from '../../platform/text.js';
import type { Origin } from '../events/index.js';
import { getRepo, type TasksOfRepo } from '../repos/index.js';
import { createCreator } from './creator.js';
import { createMutations, type Mutations } from './mutations.js';
import { createRemains, type RemainsDeps } from './remains.js';
import { pairs, type Progress, progressOf, statesFor } from './states.js';
import { findFull, type TaskWithContext } from './reader.js';
import { findNodes, type Node } from './store.js';
import {
  countStates,
  findNextReady,
  findTree,
  type Listed,
  type ListFilter,
  listTasks,
  type WorkScope,
} from './store-list.js';
import {
  type CreateInput,
  isTaskId,
  type Kind,
  noSuchRepo,
  noSuchTask,
  type Status,
  type Task,
  taskNotFound,
} from './tasks.js';
import { type TaskTree, treesOf } from './trees.js';
import { createWork, type Work, type WorkDeps } from './work.js';

export type TasksDeps = WorkDeps & RemainsDeps;

type Optional<T> = T | null | undefined;

const paging = createPaging(numberCursor('task'), (listed: Listed) => listed.n);

export interface ListInput extends PageInput {
  readonly repoId?: Optional<string>;
  /** `none`: those without a parent. */
  readonly parentId?: Optional<string>;
  readonly kind: readonly Kind[];
  readonly status: readonly Status[];
  readonly ready?: Optional<boolean>;
  readonly archived?: Optional<boolean>;
}

export interface ScopeInput {
  readonly repoId?: Optional<string>;
  readonly rootId?: Optional<string>;
}

export interface WorkInput {
  readonly repoId?: Optional<string>;
  readonly milestoneId?: Optional<string>;
}

/** The use cases of tasks. Everything rejects with AppErrors that name the field at fault. */
export interface Tasks extends Mutations, Pick<Work, 'start' | 'submit' | 'archive'> {
  create(input: CreateInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  get(id: string): Promise<TaskWithContext>;
  list(input: ListInput): Promise<{ readonly tasks: readonly Task[]; readonly nextCursor: string | undefined }>;
  tree(input: ScopeInput): Promise<readonly TaskTree[]>;
  progress(input: ScopeInput): Promise<Progress>;
  nextReady(input: WorkInput): Promise<TaskWithContext | undefined>;
  /** Starts it as well, and nobody else gets it. */
  claimNext(
    input: WorkInput,
    origin: Origin,
    keep?: Keep<TaskWithContext | undefined>,
  ): Promise<TaskWithContext | undefined>;
  /** For who unregisters a repository. */
  readonly remains: TasksOfRepo;
  /** Puts right what others have left who died over it. */
  readonly background: Work['background'];
}

/** How many tasks a tree may have: it is one answer. */
const maxTree = 10_000;

export function createTasks(deps: TasksDeps): Tasks {
  const { db } = deps;
  const creator = createCreator(deps);
  const mutations = createMutations(deps);
  const work = createWork(deps);

  // Reads of concurrent callers share their queries; each begins after its call came in, so it sees all that was committed.
  const reader = createBatcher<string, TaskWithContext | undefined>({
    maxItems: 200,
    maxInFlight: 4,
    run: async (ids) => {
      const wanted = [...new Set(ids)];
      const byId = new Map((await findFull(db, wanted)).map((each) => [each.task.id, each]));
      return ids.map((id) => byId.get(id));
    },
  });

  async function nodeAt(field: string, id: string): Promise<Node> {
    const node = isTaskId(id) ? (await findNodes(db, [id])).get(id) : undefined;
    if (node === undefined) throw noSuchTask(field, id);
    return node;
  }

  async function checkRepo(id: string): Promise<string> {
    if ((await getRepo(db, id)) === undefined) throw noSuchRepo(id);
    return id;
  }

  /** The task at the root, which has to be of the repository, where one is given. */
  async function rootOf(field: string, id: string, repoId: Optional<string>): Promise<Node> {
    const root = await nodeAt(field, id);
    if (isGiven(repoId) && root.repoId !== (await checkRepo(repoId))) {
      throw invalidField(field, `${id} is a task of another repository`);
    }
    return root;
  }

  async function workScope({ repoId, milestoneId }: WorkInput): Promise<WorkScope> {
    if (isGiven(milestoneId)) {
      const milestone = await rootOf('milestone_id', milestoneId, repoId);
      if (milestone.kind !== 'Milestone') throw invalidField('milestone_id', `is a ${milestone.kind}`);
      return { repoId: milestone.repoId, milestoneId };
    }
    if (!isGiven(repoId)) throw invalidField('repo_id', 'is required, unless there is a milestone_id');
    return { repoId: await checkRepo(repoId), milestoneId: undefined };
  }

  async function listFilter(input: ListInput): Promise<Omit<ListFilter, 'before' | 'limit'> | undefined> {
    const { kind, status } = input;
    const repoId = isGiven(input.repoId) ? await checkRepo(input.repoId) : undefined;
    const wanted = statesFor({
      statuses: status,
      ready: input.ready ?? undefined,
      archived: input.archived ?? undefined,
    });
    if (isGiven(input.parentId) && input.parentId !== 'none') {
      const parent = await rootOf('parent_id', input.parentId, repoId);
      const childKind = parent.kind === 'Milestone' ? 'Task' : 'Subtask';
      if (kind.length > 0 && !kind.includes(childKind)) return undefined;
      // An index has the children of a task by their states.
      return { repoId: undefined, parent: { id: parent.id }, pairs: pairs(wanted, [childKind]) };
    }
    const roots = input.parentId === 'none';
    const isAll = wanted === undefined && kind.length === 0 && !roots;
    return { repoId, parent: roots ? 'roots' : undefined, pairs: isAll ? undefined : pairs(wanted, kind) };
  }

  return {
    ...mutations,
    start: work.start,
    submit: work.submit,
    archive: work.archive,
    async remove(id, origin, keep) {
      await mutations.remove(id, origin, keep);
      work.cleanUp();
    },
    create: creator.create,
    async get(id) {
      const found = isTaskId(id) ? await reader.submit(id) : undefined;
      if (found === undefined) throw taskNotFound(id);
      return found;
    },
    async list(input) {
      const page = paging(input);
      const filter = await listFilter(input);
      if (filter === undefined) return { tasks: [], nextCursor: undefined };
      const found = await listTasks(db, { ...filter, before: page.place, limit: page.count });
      const { rows, nextCursor } = page.of(found);
      return { tasks: rows.map(({ task }) => task), nextCursor };
    },
    async tree({ repoId, rootId }) {
      const root = isGiven(rootId) ? await rootOf('root_id', rootId, repoId) : undefined;
      const repo = isGiven(repoId) ? await checkRepo(repoId) : undefined;
      const tasks = await findTree(db, { repoId: repo, rootId: root?.id }, maxTree + 1);
      if (tasks.length > maxTree) {
        throw new AppError('too_large', `The tree has more than ${maxTree} tasks; name a root_id, or list them.`, {
          details: { max_tasks: maxTree },
        });
      }
      return treesOf(tasks);
    },
    async progress({ repoId, rootId }) {
      if (isGiven(rootId)) return progressOf(await countStates(db, (await rootOf('root_id', rootId, repoId)).id));
      if (!isGiven(repoId)) throw invalidField('repo_id', 'is required, unless there is a root_id');
      return progressOf(await countStates(db, await checkRepo(repoId)));
    },
    async nextReady(input) {
      const id = await findNextReady(db, await workScope(input));
      return id === undefined ? undefined : (await findFull(db, [id]))[0];
    },
    claimNext: async (input, origin, keep) => work.claimNext(await workScope(input), origin, keep),
    remains: createRemains(deps, work),
    background: work.background,
  };
}
