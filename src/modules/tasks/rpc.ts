import { TaskService } from '../../../gen/muster/v1/tasks_pb.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { invalidField } from '../../errors.js';
import { originOf } from '../events/index.js';
import { checkMayCreate, checkOwn } from './guard.js';
import type { BlockInput } from './mutations.js';
import type { ListInput, ScopeInput, Tasks, TaskWithContext, WorkInput } from './service.js';
import type { CreateInput, Status, Task, UpdateInput } from './tasks.js';

interface ById {
  readonly id: string;
}

/** TaskService on the wire. */
export function createTaskRpc(tasks: Tasks): Service {
  return service(TaskService, {
    createTask: (input: CreateInput, call: Call) => {
      checkMayCreate(call.principal, input);
      return keeping(call, answered, (keep) => tasks.create(input, originOf(call), keep));
    },
    getTask: async ({ id }: ById) => ({ task: inFull(await tasks.get(id)) }),
    listTasks: (input: ListInput) => tasks.list(input),
    updateTask: (input: UpdateInput, call: Call) =>
      keeping(call, answered, (keep) => tasks.update(input, originOf(call), keep)),
    deleteTask: ({ id }: ById, call: Call) => keeping(call, done, (keep) => tasks.remove(id, originOf(call), keep)),
    cancelTask: ({ id }: ById, call: Call) => {
      checkOwn(call.principal, id);
      return keeping(call, answered, (keep) => tasks.cancel(id, originOf(call), keep));
    },
    forceCompleteTask: ({ id }: ById, call: Call) =>
      keeping(call, answered, (keep) => tasks.forceComplete(id, originOf(call), keep)),
    setTaskStatus: ({ id, status }: ById & { readonly status?: Status }, call: Call) => {
      if (status === undefined) throw invalidField('status', 'is required');
      return keeping(call, answered, (keep) => tasks.setStatus({ id, status }, originOf(call), keep));
    },
    blockTask: (input: BlockInput, call: Call) => {
      checkOwn(call.principal, input.id);
      return keeping(call, done, (keep) => tasks.block(input, originOf(call), keep));
    },
    unblockTask: (input: BlockInput, call: Call) => {
      checkOwn(call.principal, input.id);
      return keeping(call, done, (keep) => tasks.unblock(input, originOf(call), keep));
    },
    getTaskTree: async (input: ScopeInput) => ({ trees: await tasks.tree(input) }),
    getTaskProgress: async (input: ScopeInput) => ({ progress: await tasks.progress(input) }),
    getNextReadyTask: async (input: WorkInput) => {
      const task = await tasks.nextReady(input);
      return { task: task && inFull(task) };
    },
  });
}

function answered(task: Task) {
  return { task };
}

function done() {
  return { ok: true };
}

const noLearnings = { own: [], parent: [], milestone: [] };

/** Nobody learns, asks for help or has gates or a session yet. */
function inFull(task: TaskWithContext) {
  return { ...task, learnings: noLearnings, gates: [] };
}
