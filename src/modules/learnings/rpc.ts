import { LearningService } from '../../../gen/muster/v1/learnings_pb.js';
import type { Principal } from '../../platform/auth/principal.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { originOf } from '../events/index.js';
import type { Learning } from './learnings.js';
import type { AddInput, Learnings, ListInput } from './service.js';

/** LearningService on the wire. `checkOwn` throws `forbidden` for an agent whose capability is for another task. */
export function createLearningRpc(
  learnings: Learnings,
  checkOwn: (principal: Principal, taskId: string) => void,
): Service {
  return service(LearningService, {
    addLearning: (input: AddInput, call: Call) => {
      checkOwn(call.principal, input.taskId);
      return keeping(
        call,
        (learning: Learning) => ({ learning }),
        (keep) => learnings.add(input, originOf(call), keep),
      );
    },
    listLearnings: (input: ListInput) => learnings.list(input),
    getInheritedLearnings: async ({ taskId }: { taskId: string }) => ({
      learnings: await learnings.inherited(taskId),
    }),
  });
}
