import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Event, SubscribeEventsRequestSchema } from '../../gen/muster/v1/events_pb.js';
import type { MusterClient } from './client.js';
import { errorFactsOf } from './error-facts.js';
import { reconnecting, type ReconnectingOptions } from './reconnecting.js';

/** Which events are wanted: those that fit all of what is set. */
export type EventFilter = Omit<MessageInitShape<typeof SubscribeEventsRequestSchema>, 'after' | '$typeName'>;

export interface FollowEventsOptions extends ReconnectingOptions {
  /** A connection has been made anew; what comes next follows this seq. */
  readonly onBack?: ((after: bigint) => void) | undefined;
  /**
   * All up to this seq has been read, and what fits of it has been told: where to go on another time. Called when nothing has fitted for
   * a while; otherwise the last event says so.
   */
  readonly onPlace?: ((readUpTo: bigint) => void) | undefined;
}

/**
 * Every event after one that fits, then those that come, for ever. A connection that is lost is made anew, and nothing is
 * missed or told twice for it. Throws as a call does when the first connection fails (unless `reached` is given), or when
 * the server refuses, as it does when events after the last one told have expired in the meantime.
 */
export async function* followEvents(
  client: MusterClient,
  after: bigint,
  filter: EventFilter = {},
  options: FollowEventsOptions = {},
): AsyncIterable<Event> {
  let last = after;
  let lost = false;
  const onLost = (error: unknown, retryInMs: number): void => {
    lost = true;
    options.onLost?.(error, retryInMs);
  };
  const subscribe = client.events.subscribeEvents;
  for await (const { events, readUpTo } of reconnecting((call) => subscribe({ ...filter, after: last }, call), {
    ...options,
    onLost,
  })) {
    // The first message of a connection comes at once and has no events.
    if (lost) options.onBack?.(last);
    lost = false;
    // Not told by an older server.
    if (readUpTo !== undefined && readUpTo > last) options.onPlace?.((last = readUpTo));
    for (const event of events) {
      last = event.seq;
      yield event;
    }
  }
}

/** The seq of the newest event there has ever been; 0 before the first. */
export async function headOf(client: MusterClient): Promise<bigint> {
  const {
    events: [newest],
  } = await client.events.listEvents({ limit: 1 });
  return newest?.seq ?? headOfNothing(client);
}

/** Of a ledger that was found empty: nothing has happened yet, or all of it has expired. */
async function headOfNothing(client: MusterClient): Promise<bigint> {
  try {
    await client.events.replayEvents({ after: 0n, limit: 1 });
    return 0n;
  } catch (error) {
    const oldest = errorFactsOf(error).details['oldest_seq'];
    if (typeof oldest !== 'number') throw error;
    return BigInt(oldest) - 1n;
  }
}
