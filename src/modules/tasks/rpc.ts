import { TaskService } from '../../../gen/muster/v1/tasks_pb.js';
import { VcsService } from '../../../gen/muster/v1/vcs_pb.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { invalidField } from '../../errors.js';
import { originOf } from '../events/index.js';
import { checkMayClaim, checkMayCreate, checkMayRebase, checkOwn } from './guard.js';
import type { BlockInput } from './mutations.js';
import type { TaskWithContext } from './reader.js';
import type { ListInput, ScopeInput, Tasks, WorkInput } from './service.js';
import type { TaskVcs } from './store-vcs.js';
import type { CreateInput, Status, Task, UpdateInput } from './tasks.js';
import type { VcsListInput, Worktrees } from './worktrees.js';

interface ById {
  readonly id: string;
}

interface SubmitMessage extends ById {
  readonly message?: string | null;
  readonly allowEmpty?: boolean | null;
}

/** TaskService on the wire. */
export function createTaskRpc(tasks: Tasks): Service {
  return service(TaskService, {
    createTask: (input: CreateInput, call: Call) => {
      checkMayCreate(call.principal, input);
      return keeping(call, answered, (keep) => tasks.create(input, originOf(call), keep));
    },
    getTask: async ({ id }: ById) => ({ task: await tasks.get(id) }),
    listTasks: (input: ListInput) => tasks.list(input),
    updateTask: (input: UpdateInput, call: Call) =>
      keeping(call, answered, (keep) => tasks.update(input, originOf(call), keep)),
    deleteTask: ({ id }: ById, call: Call) => keeping(call, done, (keep) => tasks.remove(id, originOf(call), keep)),
    startTask: ({ id, base }: ById & { readonly base?: string | null }, call: Call) => {
      checkOwn(call.principal, id);
      checkMayRebase(call.principal, base);
      const input = { id, base: base ?? undefined };
      return keeping(call, answered, (keep) => tasks.start(input, originOf(call), keep));
    },
    submitTask: ({ id, message, allowEmpty }: SubmitMessage, call: Call) => {
      checkOwn(call.principal, id);
      const input = { id, message: message ?? undefined, allowEmpty: allowEmpty ?? undefined };
      return keeping(call, answered, (keep) => tasks.submit(input, originOf(call), keep));
    },
    claimNextTask: (input: WorkInput, call: Call) => {
      checkMayClaim(call.principal);
      return keeping(call, claimed, (keep) => tasks.claimNext(input, originOf(call), keep));
    },
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
    getNextReadyTask: async (input: WorkInput) => claimed(await tasks.nextReady(input)),
  });
}

/** VcsService on the wire. */
export function createVcsRpc(worktrees: Worktrees, tasks: Pick<Tasks, 'archive'>): Service {
  return service(VcsService, {
    getTaskVcs: async ({ id }: ById) => ({ vcs: await worktrees.get(id) }),
    listTaskVcs: (input: VcsListInput) => worktrees.list(input),
    archiveTask: ({ id }: ById, call: Call) =>
      keeping(
        call,
        (vcs: TaskVcs) => ({ vcs }),
        (keep) => tasks.archive(id, originOf(call), keep),
      ),
    getTaskDiff: async ({ id }: ById, call: Call) => ({ diff: await worktrees.diff(id, call.signal) }),
  });
}

function answered(task: Task) {
  return { task };
}

function claimed(task: TaskWithContext | undefined) {
  return { task };
}

function done() {
  return { ok: true };
}
