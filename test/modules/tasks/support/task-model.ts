import type { RestProgress, RestTask } from '../../../support/tasks-client.js';

/** A task as it should be. */
export interface ModelTask {
  readonly id: string;
  readonly kind: RestTask['kind'];
  readonly parent: ModelTask | undefined;
  readonly blockers: Set<ModelTask>;
  description: string;
  context: string | null;
  priority: number;
  status: RestTask['status'];
}

/** The rules of tasks, told once more in the plainest way; oldest first. */
export type TaskModel = Set<ModelTask>;

/** What somebody does; tasks are told by their place among those that there are. */
export type Op =
  | {
      readonly do: 'create';
      readonly kind: RestTask['kind'];
      readonly parent: ModelTask | undefined;
      readonly priority: number;
      readonly blockers: readonly ModelTask[];
    }
  | { readonly do: 'block' | 'unblock'; readonly task: ModelTask; readonly blocker: ModelTask }
  | { readonly do: 'cancel' | 'complete' | 'remove'; readonly task: ModelTask }
  | { readonly do: 'set'; readonly task: ModelTask; readonly status: RestTask['status'] }
  | { readonly do: 'update'; readonly task: ModelTask; readonly context: string | null; readonly priority: number };

const parentsOf: Readonly<Record<RestTask['kind'], readonly (RestTask['kind'] | undefined)[]>> = {
  Milestone: [undefined],
  Task: [undefined, 'Milestone'],
  Subtask: ['Task'],
};

export const isOpen = ({ status }: ModelTask): boolean => status !== 'Completed' && status !== 'Cancelled';

function ancestors({ parent }: ModelTask): readonly ModelTask[] {
  return parent === undefined ? [] : [parent, ...ancestors(parent)];
}

function children(model: TaskModel, task: ModelTask): readonly ModelTask[] {
  return [...model].filter(({ parent }) => parent === task);
}

function below(model: TaskModel, task: ModelTask): readonly ModelTask[] {
  return [...model].filter((each) => ancestors(each).includes(task));
}

export function isBlocked(task: ModelTask): boolean {
  return [task, ...ancestors(task)].some(({ blockers }) => [...blockers].some(({ status }) => status !== 'Completed'));
}

export function isReady(model: TaskModel, task: ModelTask): boolean {
  return (
    task.status === 'Pending' &&
    !isBlocked(task) &&
    !children(model, task).some(isOpen) &&
    !ancestors(task).some(({ status }) => status === 'Cancelled')
  );
}

/**
 * Whether somebody waits for itself. A task may begin when its blockers have ended and its parent may begin; it ends after
 * it may begin, and after its children have ended.
 */
export function hasCycle(model: TaskModel): boolean {
  const done = new Set<string>();
  const visit = (task: ModelTask, what: 'begins' | 'ends', path: ReadonlySet<string>): boolean => {
    const name = `${task.id} ${what}`;
    if (path.has(name)) return true;
    if (done.has(name)) return false;
    const longer = new Set(path).add(name);
    const found =
      what === 'begins'
        ? [...task.blockers].some((each) => visit(each, 'ends', longer)) ||
          (task.parent !== undefined && visit(task.parent, 'begins', longer))
        : visit(task, 'begins', longer) || children(model, task).some((each) => visit(each, 'ends', longer));
    done.add(name);
    return found;
  };
  return [...model].some((task) => visit(task, 'ends', new Set()));
}

/** Does it, unless it is refused. Answers the error word, or `ok`; `id` is that of a new task. */
export function apply(model: TaskModel, op: Op, id = ''): string {
  switch (op.do) {
    case 'create': {
      if (!parentsOf[op.kind].includes(op.parent?.kind)) return 'invalid_request';
      if (op.parent !== undefined && !isOpen(op.parent)) return 'invalid_state';
      const { kind, parent, priority } = op;
      const own = { id, kind, parent, priority, description: 'Do it.', context: null, status: 'Pending' as const };
      const task: ModelTask = { ...own, blockers: new Set(op.blockers) };
      model.add(task);
      if (!hasCycle(model)) return 'ok';
      model.delete(task);
      return 'cycle';
    }
    case 'block': {
      const { task, blocker } = op;
      if (task.blockers.has(blocker)) return 'ok';
      task.blockers.add(blocker);
      if (!hasCycle(model)) return 'ok';
      task.blockers.delete(blocker);
      return 'cycle';
    }
    case 'unblock':
      op.task.blockers.delete(op.blocker);
      return 'ok';
    case 'cancel':
      if (op.task.status === 'Completed') return 'invalid_state';
      cancel(model, op.task);
      return 'ok';
    case 'complete':
      if (!isOpen(op.task)) return 'invalid_state';
      if (children(model, op.task).some(isOpen)) return 'children_open';
      op.task.status = 'Completed';
      return 'ok';
    case 'set':
      return set(model, op.task, op.status);
    case 'update':
      op.task.context = op.context;
      op.task.priority = op.priority;
      return 'ok';
    case 'remove': {
      const gone = new Set([op.task, ...below(model, op.task)]);
      for (const task of gone) model.delete(task);
      for (const { blockers } of model) for (const task of gone) blockers.delete(task);
      return 'ok';
    }
  }
}

function cancel(model: TaskModel, task: ModelTask): void {
  if (task.status === 'Cancelled') return;
  for (const each of below(model, task)) if (isOpen(each)) each.status = 'Cancelled';
  task.status = 'Cancelled';
}

function set(model: TaskModel, task: ModelTask, to: RestTask['status']): string {
  if (task.status === to) return 'ok';
  // Nothing is submitted here, so there are no reviews.
  if (to === 'AwaitingHuman' || to === 'InReview') return 'invalid_state';
  if (to !== 'Completed' && to !== 'Cancelled' && task.parent?.status === 'Completed') return 'invalid_state';
  if (to === 'Completed' && children(model, task).some(isOpen)) return 'children_open';
  if (to === 'Cancelled') cancel(model, task);
  else task.status = to;
  return 'ok';
}

/** What REST tells of a task, but for what the model does not know: orders of blockers, times, the repository. */
export function visible(model: TaskModel, task: ModelTask) {
  const ids = (tasks: Iterable<ModelTask>): readonly string[] => [...tasks].map(({ id }) => id).sort();
  return {
    id: task.id,
    parent_id: task.parent?.id ?? null,
    kind: task.kind,
    description: task.description,
    context: task.context,
    priority: task.priority,
    status: task.status,
    blocked_by: ids(task.blockers),
    blocks: ids([...model].filter(({ blockers }) => blockers.has(task))),
    effectively_blocked: isBlocked(task),
    depth: ancestors(task).length,
    is_completed: task.status === 'Completed',
  };
}

/** The same of what REST has told. */
export function told({ repo_id: _repo, created_at: _created, updated_at: _updated, ...task }: RestTask) {
  const { started_at: _started, completed_at, ...rest } = task;
  return {
    ...rest,
    blocked_by: [...rest.blocked_by].sort(),
    blocks: [...rest.blocks].sort(),
    is_completed: completed_at !== null,
  };
}

/** The one that goes first. */
export function nextReady(model: TaskModel): string | undefined {
  const ready = [...model].filter((task) => isReady(model, task));
  // Sorting is stable, and the oldest come first.
  ready.sort((a, b) => a.priority - b.priority || ancestors(b).length - ancestors(a).length);
  return ready[0]?.id;
}

/** Of some tasks. */
export function progress(model: TaskModel, tasks: readonly ModelTask[]): RestProgress {
  const count = (holds: (task: ModelTask) => boolean): number => tasks.filter(holds).length;
  const withStatus = (status: RestTask['status']): number => count((task) => task.status === status);
  return {
    total: tasks.length,
    completed: withStatus('Completed'),
    cancelled: withStatus('Cancelled'),
    ready: count((task) => isReady(model, task)),
    blocked: count((task) => task.status === 'Pending' && isBlocked(task)),
    in_progress: withStatus('InProgress'),
    in_review: withStatus('InReview'),
    awaiting_human: withStatus('AwaitingHuman'),
  };
}

export function withBelow(model: TaskModel, task: ModelTask): readonly ModelTask[] {
  return [task, ...below(model, task)];
}
