import { createHash } from 'node:crypto';
import {
  errorFactsOf,
  idempotencyKey,
  type MusterClient,
  type Task,
  TaskKind,
  TaskStatus,
} from '../../client/index.js';
import { replayedHeader } from '../../platform/rpc/call.js';
import { CommandError } from '../errors.js';
import { callError } from '../server-access.js';
import { shownTask } from '../task-text.js';
import type { Imported, ImportPlan, Kind, PlannedTask } from './plan.js';
import type { Source } from './source-plan.js';
import { importedId } from './texts.js';

const pageSize = 500;

/** The tasks of a repository that are imported from a source, by the ids that they have there; of twins the older one. */
export async function findImported(
  client: MusterClient,
  repoId: string,
  source: Source,
): Promise<ReadonlyMap<string, Imported>> {
  const found = new Map<string, Imported>();
  let cursor: string | undefined;
  do {
    const page = await client.tasks.listTasks({ repoId, limit: pageSize, ...(cursor !== undefined && { cursor }) });
    for (const task of page.tasks) {
      const id = importedId(source, task.context);
      // Newest first: the last one stays.
      if (id !== undefined) found.set(id, importedOf(task));
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return found;
}

function importedOf(task: Task): Imported {
  const { id, kind, status, parent_id: parentId } = shownTask(task);
  return { id, kind: kind as Kind, status, parentId: parentId ?? undefined };
}

const kindNumbers: Readonly<Record<Kind, TaskKind>> = {
  Milestone: TaskKind.MILESTONE,
  Task: TaskKind.TASK,
  Subtask: TaskKind.SUBTASK,
};

const statusNumbers = { Completed: TaskStatus.COMPLETED, Cancelled: TaskStatus.CANCELLED } as const;

/** What has been done, as it is. */
export type Step =
  | { readonly type: 'created'; readonly task: PlannedTask; readonly id: string }
  | { readonly type: 'closed'; readonly task: PlannedTask; readonly id: string };

/**
 * Makes what is planned, task by task, and closes what is to be closed as soon as all below it is. Breaking off leaves a part of it; to
 * do it again goes on from there. Answers the ids of all. Rejects with what the server said, naming the record.
 */
export async function applyImport(
  client: MusterClient,
  repoId: string,
  plan: ImportPlan,
  tell: (step: Step) => void,
): Promise<ReadonlyMap<string, string>> {
  const ids = new Map(
    plan.tasks.flatMap(({ item, imported }) => (imported === undefined ? [] : [[item.id, imported.id]])),
  );
  const byId = new Map(plan.tasks.map((task) => [task.item.id, task]));
  const toClose = childrenToClose(plan.tasks);

  async function closeUp(task: PlannedTask): Promise<void> {
    for (let at: PlannedTask | undefined = task; at?.close !== undefined && toClose.get(at.item.id) === 0;) {
      const id = ids.get(at.item.id);
      if (id === undefined) return;
      await naming(client, at, client.tasks.setTaskStatus({ id, status: statusNumbers[at.close] }));
      tell({ type: 'closed', task: at, id });
      toClose.delete(at.item.id);
      const { parent } = at;
      if (parent === undefined) return;
      toClose.set(parent, (toClose.get(parent) ?? 1) - 1);
      at = byId.get(parent);
    }
  }

  for (const task of plan.tasks) {
    if (task.imported === undefined) {
      const id = await naming(client, task, create(client, requestOf(repoId, task, ids), plan.source, task));
      ids.set(task.item.id, id);
      tell({ type: 'created', task, id });
    }
    await closeUp(task);
  }
  return ids;
}

/** How many of those below each have to be closed before it. */
function childrenToClose(tasks: readonly PlannedTask[]): Map<string, number> {
  const counts = new Map(tasks.map(({ item }) => [item.id, 0]));
  for (const { parent, close } of tasks) {
    if (parent !== undefined && close !== undefined) counts.set(parent, (counts.get(parent) ?? 0) + 1);
  }
  return counts;
}

interface CreateRequest {
  readonly repoId: string;
  readonly kind: TaskKind;
  readonly description: string;
  readonly context: string;
  readonly priority: number;
  readonly blockedBy: string[];
  readonly parentId?: string;
}

function requestOf(repoId: string, task: PlannedTask, ids: ReadonlyMap<string, string>): CreateRequest {
  const parentId = task.parentId ?? (task.parent === undefined ? undefined : ids.get(task.parent));
  return {
    repoId,
    kind: kindNumbers[task.kind],
    description: task.description,
    context: task.context,
    priority: task.item.priority,
    blockedBy: task.blockers.flatMap((id) => ids.get(id) ?? []),
    ...(parentId !== undefined && { parentId }),
  };
}

/**
 * Creates a task once, however often and by how many it is asked for: the key is made of all that is sent. The server keeps its answer for a
 * day, also when the task has been deleted meanwhile; then the next key makes it anew.
 */
async function create(
  client: MusterClient,
  request: CreateRequest,
  source: Source,
  task: PlannedTask,
): Promise<string> {
  const hash = createHash('sha256')
    .update(JSON.stringify([source, task.item.id, request]))
    .digest('hex');
  for (let round = 1; ; round += 1) {
    let isReplayed = false;
    const answer = await client.tasks.createTask(request, {
      ...idempotencyKey(`import-${hash}-${round}`),
      onHeader: (headers) => (isReplayed = headers.has(replayedHeader)),
    });
    const { id } = shownTask(answer.task);
    if (!isReplayed || (await isThere(client, id))) return id;
  }
}

async function isThere(client: MusterClient, id: string): Promise<boolean> {
  try {
    await client.tasks.getTask({ id });
    return true;
  } catch (error) {
    if (errorFactsOf(error).word === 'not_found') return false;
    throw error;
  }
}

/** Says which record a refusal is about. */
async function naming<T>(client: MusterClient, { item }: PlannedTask, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const known = callError(error, client.url);
    throw known instanceof CommandError
      ? new CommandError(`${item.id}: ${known.message}`, known.exitCode, error)
      : known;
  }
}
