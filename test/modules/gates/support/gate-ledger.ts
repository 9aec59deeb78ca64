import type { LedgerEvent } from '../../../../src/client/index.js';

interface Run {
  readonly attempt: number;
  readonly maxRetries: number;
  status: string;
}

interface Task {
  /** The open review, with what its last round has come to, by gate. */
  open: { id: string | null; status: string; round: number; runs: Map<string, Run> } | undefined;
  readonly attempts: Map<string, Pick<Run, 'attempt' | 'status'>>;
}

interface Gate {
  readonly scope: string;
  readonly maxRetries: number;
}

const ends: Readonly<Record<string, string>> = {
  GatePassed: 'Passed',
  GateFailed: 'Failed',
  GateEscalated: 'Escalated',
  GateCancelled: 'Cancelled',
};

/** From where a review can come to a status, by what its gates have come to. */
const sources: Readonly<Record<string, readonly string[]>> = {
  GatesPending: ['GatesEscalated', 'AgentPending', 'HumanPending'],
  GatesEscalated: ['GatesPending'],
  AgentPending: ['GatesPending', 'GatesEscalated', 'AgentPending', 'HumanPending'],
  HumanPending: ['AgentPending'],
};

/**
 * What in a ledger of gates no rule allows at its place, however many did things at the same time. `lineages` has, of each task, its
 * repository, its ancestors and itself.
 */
export function illegal(
  events: readonly LedgerEvent[],
  lineages: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  const found: string[] = [];
  const gates = new Map<string, Gate>();
  const tasks = new Map(
    [...lineages.keys()].map((id): [string, Task] => [id, { open: undefined, attempts: new Map() }]),
  );
  const effective = (taskId: string): readonly string[] =>
    [...gates].flatMap(([id, { scope }]) => (lineages.get(taskId)?.includes(scope) === true ? [id] : []));

  for (const { seq, type, task_id, review_id, payload } of events) {
    const note = (why: string): void => void found.push(`${seq} ${type}: ${why}`);
    const gateId = String(payload['gate_id']);
    if (/^Gate(Added|Updated|Removed)$/.test(type)) {
      const scope = (payload['scope'] as { readonly id: string } | undefined)?.id ?? gates.get(gateId)?.scope ?? '';
      for (const [id, { open }] of tasks) {
        if (open !== undefined && lineages.get(id)?.includes(scope) === true) note(`while ${open.id} is open`);
      }
      if (type === 'GateRemoved') gates.delete(gateId);
      else gates.set(gateId, { scope, maxRetries: Number(payload['max_retries']) });
      continue;
    }
    const task = tasks.get(task_id ?? '');
    if (task === undefined || task_id === null || review_id === null) continue;
    const { open } = task;
    if (type === 'ReviewCreated') {
      if (open !== undefined) note(`${open.id} is open`);
      task.open = { id: review_id, status: String(payload['status']), round: 0, runs: new Map() };
      if (effective(task_id).length > 0 !== (payload['status'] === 'GatesPending')) note('with or without gates');
      continue;
    }
    if (!/^(Gate|ReviewPhase|ReviewApproved|ChangesRequested)/.test(type)) continue;
    if (open?.id !== review_id) {
      note('its review is not open');
      continue;
    }
    if (type === 'GateQueued') {
      if (open.round !== payload['round']) Object.assign(open, { round: open.round + 1, runs: new Map() });
      if (open.round !== payload['round']) note('a round is left out');
      const last = task.attempts.get(gateId);
      const next =
        last === undefined || last.status === 'Passed' ? 1 : last.attempt + (last.status === 'Cancelled' ? 0 : 1);
      // Attempts start again when an escalated review is run again, which may be meant here.
      if (payload['attempt'] !== next && (open.round === 1 || payload['attempt'] !== 1)) note(`the next is ${next}`);
      if (open.runs.has(gateId) || !effective(task_id).includes(gateId)) note('it is none of its gates');
      const attempt = Number(payload['attempt']);
      open.runs.set(gateId, { attempt, maxRetries: gates.get(gateId)?.maxRetries ?? 0, status: 'Queued' });
      continue;
    }
    if (open.round > 0 && open.runs.size !== effective(task_id).length) note('not all gates were queued');
    const statuses = [...open.runs.values()].map(({ status }) => status);
    const isOver = !statuses.some((status) => status === 'Queued' || status === 'Running');
    const run = open.runs.get(gateId);
    const end = ends[type];
    if (type === 'GateStarted' || end !== undefined) {
      if (run === undefined) note('it was not queued');
      else {
        const isLegal =
          end === undefined ? run.status === 'Queued' : end === 'Cancelled' ? !isOver : run.status === 'Running';
        if (!isLegal) note(`it is ${run.status}`);
        const isLast = run.attempt >= run.maxRetries;
        if ((end === 'Escalated' && !isLast) || (end === 'Failed' && isLast)) note(`attempt ${run.attempt}`);
        run.status = end ?? 'Running';
        if (end !== undefined) task.attempts.set(gateId, { attempt: run.attempt, status: end });
      }
      continue;
    }
    if (type === 'ReviewPhaseChanged') {
      const to = String(payload['status']);
      if (sources[to]?.includes(open.status) !== true) note(`from ${open.status} to ${to}`);
      if (open.status === 'GatesPending') {
        const verdict = statuses.includes('Escalated') ? 'GatesEscalated' : 'AgentPending';
        const hasFailed = statuses.includes('Failed') && verdict === 'AgentPending';
        if (!isOver || to !== verdict || hasFailed) note(`to ${to} with ${statuses.join(' ')}`);
      }
      open.status = to;
    } else if (/^Review|^Changes/.test(type)) {
      if (!isOver) note(`with ${statuses.join(' ')}`);
      task.open = undefined;
    }
  }
  return found;
}
