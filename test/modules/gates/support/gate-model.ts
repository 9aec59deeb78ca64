import type { RestGateResult } from '../../../support/gates-client.js';
import type { RestReview } from '../../../support/reviews-client.js';
import type { RestTask } from '../../../support/tasks-client.js';

/** Two tasks below a milestone, in a repository: all that can have gates. */
export const places = ['repo', 'milestone', 'a', 'b'] as const;
export type Place = (typeof places)[number];
export type TaskName = 'a' | 'b';

/** How a gate's command ends: by an exit code, or by a signal. */
export type Outcome = 0 | 1 | 'killed';

/** What a round of gates comes to, gate by gate, over and over; one that is held does not end before a `release`. */
export interface Fate {
  readonly outcomes: readonly Outcome[];
  readonly held: boolean;
}

/** What is done to a task or its review, and brings no gates to run. */
export const moves = ['release', 'request', 'wait', 'resume', 'cancel', 'force', 'reopen', 'review', 'move'] as const;
export type Move = (typeof moves)[number];

export type Step =
  | { readonly do: 'add'; readonly at: Place; readonly maxRetries: number }
  | { readonly do: 'remove'; readonly gate: number }
  | { readonly do: 'update'; readonly gate: number; readonly maxRetries: number }
  | ({ readonly do: 'submit' | 'rerun' | 'approve'; readonly on: TaskName } & Fate)
  | { readonly do: Move; readonly on: TaskName };

export interface ModelGate {
  readonly name: string;
  readonly at: Place;
  maxRetries: number;
}

export interface ModelRun {
  readonly gate: ModelGate;
  readonly attempt: number;
  readonly round: number;
  readonly maxRetries: number;
  readonly outcome: Outcome;
  status: Exclude<RestGateResult['status'], 'Running' | 'Timeout'>;
}

export interface ModelReview {
  status: RestReview['status'];
  readonly runs: ModelRun[];
}

export interface ModelTask {
  readonly name: TaskName;
  status: RestTask['status'];
  /** Whether its branch has moved since it was last submitted. */
  moved: boolean;
  readonly reviews: ModelReview[];
}

export interface GateModel {
  /** In the order in which they were added. */
  readonly gates: ModelGate[];
  added: number;
  readonly tasks: Readonly<Record<TaskName, ModelTask>>;
}

export function newModel(): GateModel {
  const task = (name: TaskName): ModelTask => ({ name, status: 'InProgress', moved: false, reviews: [] });
  return { gates: [], added: 0, tasks: { a: task('a'), b: task('b') } };
}

/** Which gate a step is about; undefined when there is none. */
export function gateOf({ gates }: GateModel, index: number): ModelGate | undefined {
  return gates[index % Math.max(1, gates.length)];
}

/** The runs of the last review's last round. */
export function lastRound({ reviews }: ModelTask): readonly ModelRun[] {
  const runs = reviews.at(-1)?.runs ?? [];
  return runs.filter(({ round }) => round === runs.at(-1)?.round);
}

function openOf({ reviews }: ModelTask): ModelReview | undefined {
  return reviews.find(({ status }) => status !== 'Approved' && status !== 'ChangesRequested');
}

function isRunning(task: ModelTask): boolean {
  return lastRound(task).some(({ status }) => status === 'Pending');
}

/** All that a task has to pass: what is above it comes first. */
export function effective({ gates }: GateModel, task: TaskName): readonly ModelGate[] {
  return (['repo', 'milestone', task] as const).flatMap((place) => gates.filter(({ at }) => at === place));
}

/** Makes the step in the model. Answers the word that the server has to answer with; `none` when there is nothing that it could be asked of. */
export function apply(model: GateModel, step: Step): string {
  switch (step.do) {
    case 'add':
      if (isLocked(model, step.at)) return 'review_open';
      model.added += 1;
      model.gates.push({ name: `g${model.added}`, at: step.at, maxRetries: step.maxRetries });
      return 'ok';
    case 'remove':
    case 'update': {
      const gate = gateOf(model, step.gate);
      if (gate === undefined) return 'none';
      if (isLocked(model, gate.at)) return 'review_open';
      if (step.do === 'update') gate.maxRetries = step.maxRetries;
      else model.gates.splice(model.gates.indexOf(gate), 1);
      return 'ok';
    }
    case 'submit':
    case 'rerun':
    case 'approve':
      return decide(model, model.tasks[step.on], step);
    default:
      return move(model.tasks[step.on], step.do);
  }
}

function isLocked({ tasks }: GateModel, at: Place): boolean {
  const below = at === 'a' || at === 'b' ? [tasks[at]] : [tasks.a, tasks.b];
  return below.some((task) => openOf(task) !== undefined);
}

function decide(model: GateModel, task: ModelTask, step: Extract<Step, Fate>): string {
  if (step.do === 'submit') {
    if (task.status !== 'InProgress') return 'invalid_state';
    task.status = 'InReview';
    task.reviews.push({ status: 'GatesPending', runs: [] });
    begin(model, task, step, false);
    return 'ok';
  }
  const review = task.reviews.at(-1);
  if (review === undefined) return 'none';
  const { status } = review;
  if (task.status !== 'InReview') return 'invalid_state';
  if (step.do === 'rerun') {
    if (status !== 'GatesEscalated') return 'invalid_state';
    begin(model, task, step, true);
    return 'ok';
  }
  if (status !== 'GatesEscalated' && status !== 'AgentPending' && status !== 'HumanPending') return 'invalid_state';
  if (task.moved) {
    begin(model, task, step, false);
    return 'stale';
  }
  if (status === 'HumanPending') close(task, 'Completed', 'Approved');
  else review.status = status === 'GatesEscalated' ? 'AgentPending' : 'HumanPending';
  return 'ok';
}

/** Begins a round of gates. */
function begin(model: GateModel, task: ModelTask, fate: Fate, anew: boolean): void {
  const review = task.reviews.at(-1);
  if (review === undefined) throw new Error('there is no review');
  const round = (review.runs.at(-1)?.round ?? 0) + 1;
  const runs = effective(model, task.name).map((gate, index): ModelRun => {
    const { maxRetries } = gate;
    const attempt = anew ? 1 : nextAttempt(task, gate);
    const outcome = fate.outcomes[index % fate.outcomes.length] ?? 0;
    return { gate, attempt, round, maxRetries, outcome, status: 'Pending' };
  });
  review.runs.push(...runs);
  task.moved = false;
  review.status = runs.length === 0 ? 'AgentPending' : 'GatesPending';
  if (!fate.held) release(task);
}

/** Failures count up, a pass begins anew, what was cancelled does not count. */
function nextAttempt({ reviews }: ModelTask, gate: ModelGate): number {
  const last = reviews.flatMap(({ runs }) => runs).findLast((run) => run.gate === gate);
  if (last === undefined || last.status === 'Passed') return 1;
  return last.status === 'Cancelled' ? last.attempt : last.attempt + 1;
}

/** Lets those end that run. */
function release(task: ModelTask): void {
  for (const run of lastRound(task)) {
    const failed = run.attempt >= run.maxRetries ? 'Escalated' : 'Failed';
    if (run.status === 'Pending') run.status = run.outcome === 0 ? 'Passed' : failed;
  }
  judge(task);
}

/** The verdict waits for all gates, and for a task that waits for a human. */
function judge(task: ModelTask): void {
  const review = task.reviews.at(-1);
  if (task.status !== 'InReview' || review?.status !== 'GatesPending' || isRunning(task)) return;
  const statuses = new Set(lastRound(task).map(({ status }) => status));
  if (statuses.has('Escalated')) review.status = 'GatesEscalated';
  else if (statuses.has('Failed')) close(task, 'InProgress');
  else review.status = 'AgentPending';
}

function close(
  task: ModelTask,
  status: ModelTask['status'],
  verdict: 'Approved' | 'ChangesRequested' = 'ChangesRequested',
): void {
  task.status = status;
  const review = openOf(task);
  if (review === undefined) return;
  for (const run of review.runs) if (run.status === 'Pending') run.status = 'Cancelled';
  review.status = verdict;
}

function move(task: ModelTask, what: Move): string {
  const { status } = task;
  switch (what) {
    case 'release':
      if (!isRunning(task)) return 'none';
      release(task);
      return 'ok';
    case 'move':
      // A gate does not run where the branch is elsewhere, which is a test of its own.
      if (isRunning(task)) return 'none';
      task.moved = true;
      return 'ok';
    case 'request': {
      const review = task.reviews.at(-1);
      if (review === undefined) return 'none';
      if (status !== 'InReview' || openOf(task) === undefined || review.status === 'GatesPending')
        return 'invalid_state';
      close(task, 'InProgress');
      return 'ok';
    }
    case 'wait':
      if (status !== 'InReview') return 'none';
      task.status = 'AwaitingHuman';
      return 'ok';
    case 'resume':
      if (status !== 'AwaitingHuman') return 'none';
      task.status = 'InReview';
      judge(task);
      return 'ok';
    case 'cancel':
      if (status === 'Completed') return 'invalid_state';
      close(task, 'Cancelled');
      return 'ok';
    case 'force':
      if (status === 'Completed' || status === 'Cancelled') return 'invalid_state';
      close(task, 'Completed', 'Approved');
      return 'ok';
    case 'reopen':
      close(task, 'InProgress');
      return 'ok';
    case 'review':
      if (openOf(task) === undefined) return 'invalid_state';
      task.status = 'InReview';
      judge(task);
      return 'ok';
  }
}
