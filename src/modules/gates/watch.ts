import type { Db } from '../../platform/db/db.js';
import type { Event, Events } from '../events/index.js';
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
  async function* printed(reviewId: string, running: ReadonlySet<string>): AsyncGenerator<Watched, number> {
    let after: number | undefined;
    if (running.size === 0) return 0;
    for (;;) {
      const found = await events.replay({ type: [output], reviewId, limit: page, after: after ?? null }, false);
      for (const event of found) {
        const { key, output: told } = outputOf(JSON.parse(event.payload.text) as OutputPayload);
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
      const told = new Map<string, State>();
      const runs = await listRuns(db, reviewId);
      for (const run of runs) {
        told.set(keyOf(run.gateId, run.round), run);
        yield { result: run };
      }
      const running = runs.filter(isRunning).map(keyOfRun);
      const upTo = yield* printed(reviewId, new Set(running));
      while ([...told.values()].some(isOpen)) {
        const next = await live.next();
        if (next.done === true) return;
        for await (const item of inBatch(reviewId, next.value.events, told)) {
          const isTold = 'output' in item && item.seq <= upTo && running.includes(item.key);
          if (!isTold) yield item;
        }
      }
    } finally {
      await live.return?.();
    }
  };

  /** What a batch tells, in its order: a row may be ahead of the events, and is told when they have come so far. */
  async function* inBatch(reviewId: string, batch: readonly Event[], told: Map<string, State>) {
    const rows = batch.some(({ type }) => type !== output) ? await listRuns(db, reviewId) : [];
    for (const { seq, type, payload } of batch) {
      if (type === output) {
        yield { ...outputOf(JSON.parse(payload.text) as OutputPayload), seq };
        continue;
      }
      const { gate_id: gateId, round, status, runs } = JSON.parse(payload.text) as StatePayload;
      const key = keyOf(gateId, round);
      const before = told.get(key);
      if (before?.status === status && before.runs === runs) continue;
      const row = rows.find((run) => keyOf(run.gateId, run.round) === key);
      if (row !== undefined && (row.status !== status || row.runs !== runs)) continue;
      told.set(key, { status, runs });
      // It is gone with its task.
      if (row !== undefined) yield { result: row };
    }
  }
}

/** How far a run is. */
type State = Pick<Run, 'status' | 'runs'>;

interface StatePayload extends State {
  readonly gate_id: string;
  readonly round: number;
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

function outputOf({ gate_id: gateId, round, ...rest }: OutputPayload) {
  const { name, attempt, run, stream, text } = rest;
  return { key: `${keyOf(gateId, round)} ${run}`, output: { gateId, name, attempt, run, stream, text } };
}

function keyOf(gateId: string, round: number): string {
  return `${gateId} ${round}`;
}

/** Of one start of the command. */
function keyOfRun({ gateId, round, runs }: Run): string {
  return `${keyOf(gateId, round)} ${runs}`;
}

function isOpen({ status }: State): boolean {
  return status === 'Running' || status === 'Pending';
}

function isRunning({ status }: State): boolean {
  return status === 'Running';
}
