import { EventService } from '../../../gen/muster/v1/events_pb.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import type { Events, PageInput, SubscribeInput } from './service.js';

/** EventService on the wire. */
export function createEventRpc(events: Events): Service {
  return service(EventService, {
    listEvents: async (input: PageInput) => ({ events: await events.list(input) }),
    replayEvents: async (input: PageInput) => ({ events: await events.replay(input) }),
    subscribeEvents: (input: SubscribeInput, call: Call) => events.subscribe(input, call.signal),
  });
}
