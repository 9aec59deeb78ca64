export { type Appended, type Event, type EventType, type Origin, originOf, systemOrigin } from './events.js';
export { createEventRpc } from './rpc.js';
export { createEvents, type Events, type EventsDeps } from './service.js';
export {
  appendEach,
  appendEvents,
  appendMany,
  appendOne,
  appendOriginated,
  appendSame,
  type Change,
  type OriginatedChange,
  originParams,
} from './store-append.js';
