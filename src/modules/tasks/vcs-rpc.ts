import { VcsService } from '../../../gen/muster/v1/vcs_pb.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { originOf } from '../events/index.js';
import type { Tasks } from './service.js';
import type { TaskVcs } from './store-vcs.js';
import type { VcsListInput, Worktrees } from './worktrees.js';

interface ById {
  readonly id: string;
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
