import { EventService } from '../../../gen/muster/v1/events_pb.js';
import type { Principal } from '../../platform/auth/principal.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import type { Events, PageInput, SubscribeInput } from './service.js';

/** EventService on the wire. `mayAudit` tells who may see the audit trail. */
export function createEventRpc(events: Events, mayAudit: (principal: Principal) => boolean): Service {
  return service(EventService, {
    listEvents: async (input: PageInput, { principal }: Call) => ({
      events: await events.list(input, mayAudit(principal)),
    }),
    replayEvents: async (input: PageInput, { principal }: Call) => ({
      events: await events.replay(input, mayAudit(principal)),
    }),
    subscribeEvents: (input: SubscribeInput, { principal, signal }: Call) =>
      events.subscribe(input, mayAudit(principal), signal),
  });
}
