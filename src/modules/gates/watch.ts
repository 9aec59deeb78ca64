import type { Db } from '../../platform/db/db.js';
import type { Events } from '../events/index.js';
import type { GatedReviews } from './gated.js';
import type { Run } from './runs.js';
import { reviewNotFound } from './service.js';
import { listRuns } from './store-runs.js';

/** A piece of what a gate prints. */
export interface WatchedOutput {
  readonly gateId: string;
  readonly name: string;
  readonly attempt: number;
  readonly run: number;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

export type Watched = { readonly result: Run } | { readonly output: WatchedOutput };

export interface WatchDeps {
  readonly db: Db;
  readonly events: Pick<Events, 'subscribe' | 'replay'>;
  readonly reviews: Pick<GatedReviews, 'exists'>;
}

const changes = [
  ...['GateQueued', 'GateStarted', 'GatePending', 'GatePassed', 'GateFailed', 'GateEscalated', 'GateCancelled'],
];
const output = 'GateOutput';
/** What is told of this in events, for one who watches from the middle. */
const page = 1000;

/** Follows the gates of a review, by what the ledger tells of them on whatever server they run. */
export type WatchGates = (reviewId: string, signal: AbortSignal) => AsyncIterable<Watched>;

export function createWatchGates({ db, events, reviews }: WatchDeps): WatchGates {
  /** What those print that are Running, from the beginning of the run. Answers the seq up to which it was told. */
  async function* printed(reviewId: string, runs: readonly Run[]): AsyncGenerator<Watched, number> {
    const running = new Map(runs.filter(isRunning).map((run) => [keyOf(run.gateId, run.round, run.runs), run]));
    let after: number | undefined;
    if (running.size === 0) return 0;
    for (;;) {
      const found = await events.replay({ type: [output], reviewId, limit: page, after: after ?? null }, false);
      for (const event of found) {
        const { key, told } = outputOf(JSON.parse(event.payload.text) as OutputPayload);
        if (running.has(key)) yield { output: told };
        after = event.seq;
      }
      if (found.length < page) return after ?? 0;
    }
  }

  return async function* watch(reviewId, signal) {
    if (!(await reviews.exists(db, reviewId))) throw reviewNotFound(reviewId);
    const live = events.subscribe({ type: [...changes, output], reviewId }, false, signal)[Symbol.asyncIterator]();
    try {
      // The first batch is empty: nothing after it is missed.
      await live.next();
      const told = new Map<string, string>();
      const runs = await listRuns(db, reviewId);
      for (const run of runs) {
        told.set(keyOf(run.gateId, run.round, 0), stateOf(run));
        yield { result: run };
      }
      const upTo = yield* printed(reviewId, runs);
      let open = runs.some(isOpen);
      while (open) {
        const next = await live.next();
        if (next.done === true) return;
        let changed = false;
        for (const { seq, type, payload } of next.value.events) {
          if (type !== output) changed = true;
          else if (seq > upTo) yield { output: outputOf(JSON.parse(payload.text) as OutputPayload).told };
        }
        if (!changed) continue;
        const now = await listRuns(db, reviewId);
        for (const run of now) {
          const key = keyOf(run.gateId, run.round, 0);
          if (told.get(key) === stateOf(run)) continue;
          told.set(key, stateOf(run));
          yield { result: run };
        }
        open = now.some(isOpen);
      }
    } finally {
      await live.return?.();
    }
  };
}

interface OutputPayload {
  readonly gate_id: string;
  readonly name: string;
  readonly attempt: number;
  readonly round: number;
  readonly run: number;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

function outputOf({ gate_id: gateId, round, ...rest }: OutputPayload): {
  readonly key: string;
  readonly told: WatchedOutput;
} {
  const { name, attempt, run, stream, text } = rest;
  return { key: keyOf(gateId, round, run), told: { gateId, name, attempt, run, stream, text } };
}

function keyOf(gateId: string, round: number, run: number): string {
  return `${gateId} ${round} ${run}`;
}

function stateOf({ status, runs }: Run): string {
  return `${status} ${runs}`;
}

function isOpen({ completedAt }: Run): boolean {
  return completedAt === undefined;
}

function isRunning({ status }: Run): boolean {
  return status === 'Running';
}
