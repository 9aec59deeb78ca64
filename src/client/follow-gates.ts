import type { CallOptions } from '@connectrpc/connect';
import type { GateOutput, GateResult, WatchGatesResponse } from '../../gen/muster/v1/gates_pb.js';
import type { MusterClient } from './client.js';
import { type FollowOptions, reconnecting } from './reconnecting.js';

/** An attempt of a gate as it is now, or a piece of what one prints. */
export type GateNews =
  { readonly case: 'result'; readonly value: GateResult } | { readonly case: 'output'; readonly value: GateOutput };

/** Stands for the end that the server has given a stream. */
const over = Symbol('over');

/**
 * Every attempt of a review's gates as it is, then each change, and what they print while they run, until none of them is to run any more.
 * A connection that is lost on the way is made anew, for ever; what has been told is not told again. Throws as a call does when the first
 * connection fails, or when the server refuses.
 */
export async function* followGates(
  client: MusterClient,
  reviewId: string,
  options: FollowOptions = {},
): AsyncIterable<GateNews> {
  const told = createTold();
  async function* connect(call: CallOptions): AsyncIterable<WatchGatesResponse['item'] | typeof over> {
    told.fromTheBeginning();
    for await (const { item } of client.gates.watchGates({ reviewId }, call)) yield item;
    yield over;
  }
  for await (const item of reconnecting(connect, options)) {
    if (item === over) return;
    if (item.case === 'result' && told.isNewResult(item.value)) yield item;
    else if (item.case === 'output') {
      const text = told.newText(item.value);
      if (text !== '') yield { case: 'output', value: { ...item.value, text } };
    }
  }
}

/** What the caller knows. A server tells a connection anew of each attempt, and of those that run all that they have printed. */
function createTold() {
  const results = new Map<string, string>();
  const lengths = new Map<string, number>();
  let places = new Map<string, number>();
  return {
    fromTheBeginning(): void {
      places = new Map();
    },
    isNewResult({ gateId, round, status, runs }: GateResult): boolean {
      const [key, state] = [`${gateId} ${round}`, `${status} ${runs}`];
      if (results.get(key) === state) return false;
      results.set(key, state);
      return true;
    },
    newText({ gateId, attempt, run, stream, text }: GateOutput): string {
      const key = `${gateId} ${attempt} ${run} ${stream}`;
      const from = places.get(key) ?? 0;
      const known = lengths.get(key) ?? 0;
      places.set(key, from + text.length);
      lengths.set(key, Math.max(known, from + text.length));
      return text.slice(Math.max(0, known - from));
    },
  };
}
