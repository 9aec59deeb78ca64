import { HelpService } from '../../../gen/muster/v1/help_service_pb.js';
import type { Principal } from '../../platform/auth/principal.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { originOf } from '../events/index.js';
import type { AskInput, HelpRequest } from './help.js';
import type { Help, ListInput, RespondInput } from './service.js';

interface OfTask {
  readonly taskId: string;
}

/** HelpService on the wire. `checkOwn` throws `forbidden` for an agent whose capability is for another task. */
export function createHelpRpc<Task>(
  help: Help<Task>,
  checkOwn: (principal: Principal, taskId: string) => void,
): Service {
  return service(HelpService, {
    requestHelp: (input: AskInput, call: Call) => {
      checkOwn(call.principal, input.taskId);
      return keeping(call, answered, (keep) => help.ask(input, originOf(call), keep));
    },
    respondToHelp: (input: RespondInput, call: Call) =>
      keeping(call, answered, (keep) => help.respond(input, originOf(call), keep)),
    resumeTask: ({ taskId }: OfTask, call: Call) =>
      keeping(
        call,
        (task: Task) => ({ task }),
        (keep) => help.resume(taskId, originOf(call), keep),
      ),
    getActiveHelp: async ({ taskId }: OfTask) => answered(await help.active(taskId)),
    listHelpRequests: (input: ListInput) => help.list(input),
  });
}

function answered(helpRequest: HelpRequest | undefined) {
  return { helpRequest };
}
