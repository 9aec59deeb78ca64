import { ChunkedMap } from './chunked-map.js';
import type { LedgerEvent } from './event-json.js';
import { type HelpRow, helpAfter } from './reduce-help.js';
import { type GateResultRow, type GateRow, gatesAfter } from './reduce-gates.js';
import { type LearningRow, learningsAfter } from './reduce-learnings.js';
import { type RepoRow, reposAfter } from './reduce-repos.js';
import { type CommentRow, type ReviewRow, reviewsAfter } from './reduce-reviews.js';
import { type TaskRow, tasksAfter } from './reduce-tasks.js';
import { told } from './told.js';

export type { LedgerEvent };

/**
 * A job as REST prints it, without its payload, result and progress, which the ledger does not carry. What no event has told
 * yet is undefined; that happens only to jobs that were submitted before the first event that was reduced.
 */
export interface JobRow {
  readonly id: string;
  readonly status: 'queued' | 'running' | 'done' | 'error' | 'canceled';
  readonly kind: string | undefined;
  readonly priority: number | undefined;
  readonly attempts: number | undefined;
  readonly max_attempts: number | undefined;
  readonly run_at: string | undefined;
  readonly timeout_sec: number | null | undefined;
  readonly created_at: string | undefined;
  readonly started_at: string | null | undefined;
  readonly finished_at: string | null | undefined;
  readonly error: { readonly code: string; readonly message: string } | null | undefined;
  /** Who claimed it last; null before the first claim, and when that claim was given back. */
  readonly worker_id: string | null | undefined;
}

/** What a ledger comes to, up to one of its events. It never changes. */
export interface LedgerState {
  /** The last event that was reduced; 0 before the first. */
  readonly seq: number;
  /** By id, which is the order in which they were submitted. */
  readonly jobs: ChunkedMap<JobRow>;
  /** By id, which is the order in which they were registered. Those that were unregistered are gone. */
  readonly repos: ChunkedMap<RepoRow>;
  /** By id, which is the order in which those of a kind were created. Deleted ones are gone. */
  readonly tasks: ChunkedMap<TaskRow>;
  /** What each task has learned that has learned anything, by its id, oldest first. */
  readonly learnings: ChunkedMap<readonly LearningRow[]>;
  /** What was asked on each task on which anything was, by its id, oldest first. */
  readonly help: ChunkedMap<readonly HelpRow[]>;
  /** By id, which is the order in which they were opened. They are gone with their task, as are the comments. */
  readonly reviews: ChunkedMap<ReviewRow>;
  readonly comments: ChunkedMap<CommentRow>;
  /** By id, which is the order in which they were added. Removed ones are gone. */
  readonly gates: ChunkedMap<GateRow>;
  /** What the gates of each review that has any have come to, by its id, oldest first. */
  readonly gateResults: ChunkedMap<readonly GateResultRow[]>;
  readonly filtered: boolean;
}

export interface LedgerStateOptions {
  /** For a stream that leaves events out, because it was asked for some only or by no human: seqs may be missing. */
  readonly filtered?: boolean | undefined;
}

/** Between two events that were to be reduced, others are missing. Read on after `after`. */
export class LedgerGap extends Error {
  override readonly name = 'LedgerGap';
  /** The last event before the gap. */
  readonly after: number;

  constructor(after: number, next: number) {
    super(`events are missing: after ${after} comes ${after + 1}, not ${next}`);
    this.after = after;
  }
}

/** Before any event. The first one may have any seq; jobs that are older than it get rows that are known in part. */
export function emptyLedgerState({ filtered = false }: LedgerStateOptions = {}): LedgerState {
  const nothing = ChunkedMap.empty;
  return {
    seq: 0,
    jobs: nothing(),
    repos: nothing(),
    tasks: nothing(),
    reviews: nothing(),
    comments: nothing(),
    learnings: nothing(),
    help: nothing(),
    gates: nothing(),
    gateResults: nothing(),
    filtered,
  };
}

/**
 * The state after one more event. One that the state has seen already changes nothing, so a stream may repeat itself. Types that
 * it does not know count but change no row. Works in browsers.
 *
 * @throws LedgerGap when events are missing before it.
 */
export function reduceEvent(state: LedgerState, event: LedgerEvent): LedgerState {
  const { seq } = event;
  if (seq <= state.seq) return state;
  const begun = state.seq > 0;
  if (begun && !state.filtered && seq > state.seq + 1) throw new LedgerGap(state.seq, seq);
  return {
    ...state,
    seq,
    jobs: jobsAfter(state.jobs, event),
    repos: reposAfter(state.repos, event),
    tasks: tasksAfter(state.tasks, event),
    learnings: learningsAfter(state.learnings, event),
    help: helpAfter(state.help, event),
    ...reviewsAfter(state, event),
    ...gatesAfter(state, event),
  };
}

/** The same for several, in the order of seq. When one of them throws, none was reduced. */
export function reduceEvents(state: LedgerState, events: Iterable<LedgerEvent>): LedgerState {
  let latest = state;
  for (const event of events) latest = reduceEvent(latest, event);
  return latest;
}

const jobTypes: ReadonlySet<string> = new Set([
  'JobQueued',
  'JobStarted',
  'JobDone',
  'JobFailed',
  'JobRetrying',
  'JobCanceled',
]);

function jobsAfter(jobs: ChunkedMap<JobRow>, event: LedgerEvent): ChunkedMap<JobRow> {
  const { type, job_id: id } = event;
  if (id === null || !jobTypes.has(type)) return jobs;
  return jobs.with(id, { ...(jobs.get(id) ?? beginning(event)), id, ...changes(event) });
}

type Unnamed = Omit<JobRow, 'id' | 'status'>;

const unknown: Unnamed = {
  kind: undefined,
  priority: undefined,
  attempts: undefined,
  max_attempts: undefined,
  run_at: undefined,
  timeout_sec: undefined,
  created_at: undefined,
  started_at: undefined,
  finished_at: undefined,
  error: undefined,
  worker_id: undefined,
};

/** The event of a new job tells what it was submitted with, and not that nothing has happened to it yet. */
const untouched: Unnamed = { ...unknown, started_at: null, finished_at: null, error: null, worker_id: null };

function beginning({ type, payload }: LedgerEvent): Unnamed {
  return type === 'JobQueued' && payload['created_at'] !== undefined ? untouched : unknown;
}

const fields = ['status', ...Object.keys(unknown)];

function changes(event: LedgerEvent): Pick<JobRow, 'status'> {
  // Every event of a job tells its status.
  return told<JobRow>(event, fields) as Pick<JobRow, 'status'>;
}
