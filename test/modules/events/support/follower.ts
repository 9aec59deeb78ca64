import { onTestFinished } from 'vitest';
import { messageOf } from '../../../../src/errors.js';
import type { RestEvent } from '../../../support/events-client.js';
import { type EventStream, openEventStream } from '../../../support/sse.js';
import { until } from '../../../support/until.js';
import { isCutOff } from './fleet.js';

/** A reader of the whole ledger who, when its stream ends, goes on at the next server from where it was, as EventSource does. */
export interface Follower {
  /** What it has been told on all its streams so far. */
  readonly told: readonly RestEvent[];
  /** A gap, a repetition, or an answer that no reader should get. */
  readonly faults: readonly string[];
  /** Where it reads, or has read last. */
  readonly url: string | undefined;
  /** How many streams it has had. */
  readonly streams: number;
  stop(): Promise<void>;
}

/** `turn` says with which of the servers it begins. */
export function startFollower(urls: () => readonly string[], turn: number): Follower {
  const told: RestEvent[] = [];
  const faults: string[] = [];
  let stream: EventStream | undefined;
  let url: string | undefined;
  let streams = 0;
  /** How many events of the present stream have been looked at. */
  let seen = 0;
  let over = false;

  function take(): void {
    for (const { event, data } of stream?.events.slice(seen) ?? []) {
      seen += 1;
      if (event === 'message') hear(JSON.parse(data) as RestEvent);
      else if (!data.includes('"unavailable"')) faults.push(`its stream ended with ${event}: ${data}`);
    }
  }

  function hear(event: RestEvent): void {
    const last = told.at(-1)?.seq ?? 0;
    if (event.seq !== last + 1) faults.push(`was told ${event.seq} after ${last}, by ${url} on stream ${streams}`);
    told.push(event);
  }

  /** One try. Undefined when the server cannot be reached or says to come again. */
  async function connect(): Promise<EventStream | undefined> {
    const all = urls();
    const next = all[turn++ % all.length];
    if (next === undefined) return undefined;
    url = next;
    const last = told.at(-1);
    try {
      const opened = await openEventStream(
        `${next}/api/events/subscribe?after=0`,
        last === undefined ? {} : { 'last-event-id': String(last.seq) },
      );
      if (opened.status === 200) return opened;
      await opened.over;
      if (opened.status !== 503) throw new Error(`refused after ${last?.seq}: ${opened.status} ${opened.text()}`);
    } catch (error) {
      if (!isCutOff(error)) throw error;
    }
    return undefined;
  }

  async function follow(): Promise<void> {
    while (!over) {
      const opened = await until<EventStream | 'over'>('a server takes the reader', async () =>
        over ? 'over' : connect(),
      );
      if (opened === 'over') return;
      if (over) opened.close();
      stream = opened;
      seen = 0;
      streams += 1;
      await stream.over;
      take();
    }
  }
  const done = follow().catch((error: unknown) => void faults.push(messageOf(error)));

  async function stop(): Promise<void> {
    over = true;
    stream?.close();
    await done;
  }
  onTestFinished(stop);

  return {
    get told() {
      take();
      return told;
    },
    get faults() {
      take();
      return faults;
    },
    get url() {
      return url;
    },
    get streams() {
      return streams;
    },
    stop,
  };
}
