import type { ChunkedMap } from './chunked-map.js';
import type { LedgerEvent } from './event-json.js';
import { told } from './told.js';

/** A gate as REST prints it. What no event has told is undefined: of one that was added before the first event that was reduced. */
export interface GateRow {
  readonly id: string;
  readonly scope: { readonly type: 'Repo' | 'Task'; readonly id: string } | undefined;
  readonly source: 'Api' | 'File' | undefined;
  readonly name: string | undefined;
  readonly command: string | undefined;
  readonly timeout_secs: number | undefined;
  readonly max_retries: number | undefined;
  readonly poll_interval_secs: number | undefined;
  readonly max_pending_secs: number | undefined;
  readonly created_at: string | undefined;
  readonly updated_at: string | undefined;
}

/** A result as REST prints it, without what the gate has printed, which comes by events of its own. With the same of what is undefined. */
export interface GateResultRow {
  readonly gate_id: string;
  readonly name: string | undefined;
  readonly task_id: string | null;
  readonly review_id: string | null;
  readonly status: 'Running' | 'Pending' | 'Passed' | 'Failed' | 'Timeout' | 'Escalated' | 'Cancelled' | undefined;
  readonly exit_code: number | null | undefined;
  readonly attempt: number | undefined;
  readonly started_at: string | undefined;
  readonly completed_at: string | null | undefined;
  readonly command: string | undefined;
  readonly head_commit: string | undefined;
  readonly head_tree: string | undefined;
  readonly runs: number | undefined;
  readonly next_run_at: string | null | undefined;
  readonly round: number | undefined;
}

export interface GateRows {
  readonly gates: ChunkedMap<GateRow>;
  readonly gateResults: ChunkedMap<readonly GateResultRow[]>;
}

/** Gates by their ids, and the results of each review by its id, oldest first, after one more event. They go with their task. */
export function gatesAfter({ gates, gateResults }: GateRows, event: LedgerEvent): GateRows {
  const { type, task_id, repo_id, review_id, payload } = event;
  switch (type) {
    case 'GateAdded':
    case 'GateUpdated': {
      const id = String(payload['gate_id']);
      const row = { ...(gates.get(id) ?? unknownGate), ...told<GateRow>(event, gateFields), id };
      return { gateResults, gates: gates.with(id, row) };
    }
    case 'GateRemoved':
      return { gateResults, gates: gates.without(String(payload['gate_id'])) };
    case 'GateQueued':
    case 'GateStarted':
    case 'GatePending':
    case 'GatePassed':
    case 'GateFailed':
    case 'GateEscalated':
    case 'GateCancelled':
      if (review_id === null) break;
      return { gates, gateResults: gateResults.with(review_id, withResult(gateResults.get(review_id) ?? [], event)) };
    case 'TaskDeleted':
      return {
        gates: without(gates, ({ scope }) => scope?.type === 'Task' && scope.id === task_id),
        gateResults: without(gateResults, ([first]) => first?.task_id === task_id),
      };
    case 'RepoUnregistered':
      return { gateResults, gates: without(gates, ({ scope }) => scope?.type === 'Repo' && scope.id === repo_id) };
  }
  return { gates, gateResults };
}

function withResult(rows: readonly GateResultRow[], event: LedgerEvent): readonly GateResultRow[] {
  const { task_id, review_id, payload } = event;
  const place = rows.findIndex((row) => row.gate_id === payload['gate_id'] && row.round === payload['round']);
  const known = { ...unknownResult, gate_id: String(payload['gate_id']), task_id, review_id };
  const row = { ...(rows[place] ?? known), ...told<GateResultRow>(event, resultFields) };
  return place < 0 ? [...rows, row] : rows.with(place, row);
}

const unknownGate: Omit<GateRow, 'id'> = {
  scope: undefined,
  source: undefined,
  name: undefined,
  command: undefined,
  timeout_secs: undefined,
  max_retries: undefined,
  poll_interval_secs: undefined,
  max_pending_secs: undefined,
  created_at: undefined,
  updated_at: undefined,
};
const gateFields = Object.keys(unknownGate);

const unknownResult: Omit<GateResultRow, 'gate_id' | 'task_id' | 'review_id'> = {
  name: undefined,
  status: undefined,
  exit_code: undefined,
  attempt: undefined,
  started_at: undefined,
  completed_at: undefined,
  command: undefined,
  head_commit: undefined,
  head_tree: undefined,
  runs: undefined,
  next_run_at: undefined,
  round: undefined,
};
const resultFields = Object.keys(unknownResult);

function without<Row>(rows: ChunkedMap<Row>, isGone: (row: Row) => boolean): ChunkedMap<Row> {
  const gone = [...rows].filter(([, row]) => isGone(row));
  return gone.reduce((left, [id]) => left.without(id), rows);
}
