import type { ChunkedMap } from './chunked-map.js';
import type { LedgerEvent } from './event-json.js';
import { told } from './told.js';

/**
 * A task as REST prints it, but for `effectively_blocked`, which `isEffectivelyBlocked` tells of all rows together. What no event has
 * told yet is undefined; that happens only to tasks that were created before the first event that was reduced.
 */
export interface TaskRow {
  readonly id: string;
  readonly repo_id: string | undefined;
  readonly parent_id: string | null | undefined;
  readonly kind: 'Milestone' | 'Task' | 'Subtask' | undefined;
  readonly description: string | undefined;
  readonly context: string | null | undefined;
  readonly priority: number | undefined;
  readonly status: 'Pending' | 'InProgress' | 'InReview' | 'AwaitingHuman' | 'Completed' | 'Cancelled' | undefined;
  readonly blocked_by: readonly string[] | undefined;
  readonly blocks: readonly string[] | undefined;
  readonly depth: number | undefined;
  readonly created_at: string | undefined;
  readonly updated_at: string | undefined;
  readonly started_at: string | null | undefined;
  readonly completed_at: string | null | undefined;
}

type Tasks = ChunkedMap<TaskRow>;

/** The tasks after one more event. Others than those of tasks leave them as they are. */
export function tasksAfter(tasks: Tasks, event: LedgerEvent): Tasks {
  const { type, task_id: id, payload } = event;
  if (id === null) return tasks;
  switch (type) {
    case 'TaskCreated': {
      const row: TaskRow = { ...unknown, blocks: [], started_at: null, completed_at: null, ...fieldsOf(event), id };
      return (row.blocked_by ?? []).reduce((all, blocker) => withBlocks(all, blocker, adding(id)), tasks.with(id, row));
    }
    case 'TaskUpdated':
    case 'TaskStarted':
    case 'TaskSubmitted':
    case 'TaskCompleted':
    case 'TaskCancelled':
    case 'TaskStatusChanged':
      return tasks.with(id, { ...(tasks.get(id) ?? { ...unknown, id }), ...fieldsOf(event) });
    case 'BlockerAdded':
    case 'BlockerRemoved': {
      const blocker = String(payload['blocker_id']);
      const change = type === 'BlockerAdded' ? adding : removing;
      const row = { ...(tasks.get(id) ?? { ...unknown, id }), ...fieldsOf(event) };
      const blocked = tasks.with(id, { ...row, blocked_by: row.blocked_by && change(blocker)(row.blocked_by) });
      return withBlocks(blocked, blocker, change(id));
    }
    case 'TaskDeleted': {
      const blockers = tasks.get(id)?.blocked_by ?? [];
      return blockers.reduce((all, blocker) => withBlocks(all, blocker, removing(id)), tasks).without(id);
    }
    default:
      return tasks;
  }
}

/**
 * Whether a blocker of a task or of an ancestor is not Completed. Undefined when that takes rows that no event has told in full.
 */
export function isEffectivelyBlocked(tasks: ReadonlyMap<string, TaskRow>, id: string): boolean | undefined {
  let isKnown = true;
  for (let at: string | null | undefined = id; at !== null;) {
    const row: TaskRow | undefined = at === undefined ? undefined : tasks.get(at);
    if (row?.blocked_by === undefined) return undefined;
    for (const blocker of row.blocked_by) {
      const status = tasks.get(blocker)?.status;
      if (status === undefined) isKnown = false;
      else if (status !== 'Completed') return true;
    }
    at = row.parent_id;
  }
  return isKnown ? false : undefined;
}

const unknown: Omit<TaskRow, 'id'> = {
  repo_id: undefined,
  parent_id: undefined,
  kind: undefined,
  description: undefined,
  context: undefined,
  priority: undefined,
  status: undefined,
  blocked_by: undefined,
  blocks: undefined,
  depth: undefined,
  created_at: undefined,
  updated_at: undefined,
  started_at: undefined,
  completed_at: undefined,
};

const fields = Object.keys(unknown).filter((field) => field !== 'repo_id' && field !== 'blocks');

function fieldsOf(event: LedgerEvent): Partial<TaskRow> {
  const { repo_id } = event;
  return { ...told<TaskRow>(event, fields), ...(repo_id !== null && { repo_id }) };
}

type ListChange = (list: readonly string[]) => readonly string[];

const adding =
  (id: string): ListChange =>
  (list) => [...list, id];
const removing =
  (id: string): ListChange =>
  (list) =>
    list.filter((each) => each !== id);

/** One that is not known, or gone, stays so. */
function withBlocks(tasks: Tasks, id: string, change: ListChange): Tasks {
  const row = tasks.get(id);
  return row?.blocks === undefined ? tasks : tasks.with(id, { ...row, blocks: change(row.blocks) });
}
