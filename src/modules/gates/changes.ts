import type { Change, EventType } from '../events/index.js';
import type { Gate } from './gates.js';
import type { Run } from './runs.js';

/**
 * What the ledger tells of gates and their results: enough to make the rows anew from nothing else (`src/client/reduce-gates.ts`), but for
 * what gates have printed.
 */

export function gateChange(type: 'GateAdded' | 'GateUpdated', gate: Gate): Change {
  return ofGate(type, gate, {
    scope: gate.scope,
    source: gate.source,
    name: gate.name,
    command: gate.command,
    timeout_secs: gate.timeoutSecs,
    max_retries: gate.maxRetries,
    poll_interval_secs: gate.pollIntervalSecs,
    max_pending_secs: gate.maxPendingSecs,
    created_at: gate.createdAt,
    updated_at: gate.updatedAt,
  });
}

export function gateRemovedChange(gate: Gate): Change {
  return ofGate('GateRemoved', gate, { name: gate.name });
}

function ofGate(type: EventType, { id, repoId, scope }: Gate, payload: Change['payload']): Change {
  return { type, taskId: scope.type === 'Task' ? scope.id : undefined, repoId, payload: { gate_id: id, ...payload } };
}

export function queuedChange(run: Run): Change {
  return ofRun('GateQueued', run, {
    command: run.command,
    head_commit: run.headCommit,
    head_tree: run.headTree,
    ...progress(run),
  });
}

/** Of a run as it is now. */
export function runChange(run: Run): Change {
  return ofRun(typeOf(run), run, progress(run));
}

function typeOf({ status }: Run): EventType {
  switch (status) {
    case 'Running':
      return 'GateStarted';
    case 'Pending':
      return 'GatePending';
    case 'Passed':
      return 'GatePassed';
    case 'Failed':
    case 'Timeout':
      return 'GateFailed';
    case 'Escalated':
      return 'GateEscalated';
    case 'Cancelled':
      return 'GateCancelled';
  }
}

function progress(run: Run): Change['payload'] {
  return {
    status: run.status,
    runs: run.runs,
    exit_code: run.exitCode ?? null,
    started_at: run.startedAt,
    next_run_at: run.nextRunAt ?? null,
    completed_at: run.completedAt ?? null,
  };
}

/** A piece of what a gate prints. */
export interface Output {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

export function outputChange(run: Run, { stream, text }: Output): Change {
  return ofRun('GateOutput', run, { run: run.runs, stream, text });
}

function ofRun(type: EventType, run: Run, payload: Change['payload']): Change {
  const { taskId, repoId, reviewId, gateId, name, attempt, round } = run;
  return { type, taskId, repoId, reviewId, payload: { gate_id: gateId, name, attempt, round, ...payload } };
}
