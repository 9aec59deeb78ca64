import type { RestReview } from '../../../support/reviews-client.js';

/** Who acts: a human; an agent that may review; one that may do both; one whose token is for the task. */
export type Actor = 'human' | 'reviewer' | 'doer' | 'bound';

/** One step. `round` and `comment` choose among those that there are. */
export type Step =
  | { readonly do: 'approve' | 'request' | 'comment'; readonly by: Actor; readonly round: number }
  | { readonly do: 'resolve'; readonly by: Actor; readonly round: number }
  | { readonly do: 'submit'; readonly by: 'human' | 'doer' }
  | { readonly do: 'move' | 'wait' | 'resume' | 'cancel' | 'force' | 'reopen' };

export interface Round {
  status: RestReview['status'];
  comments: boolean[];
}

/** One task in review, and all that it has been through. */
export interface ReviewModel {
  status: 'InProgress' | 'InReview' | 'AwaitingHuman' | 'Completed' | 'Cancelled';
  readonly rounds: Round[];
  /** Whether somebody has moved the branch since the last submit. */
  moved: boolean;
  /** Whether the agent that does work has begun or submitted it. */
  doerWorked: boolean;
}

export function newModel(): ReviewModel {
  return { status: 'InProgress', rounds: [], moved: false, doerWorked: false };
}

export function isFinal({ status }: Round): boolean {
  return status === 'Approved' || status === 'ChangesRequested';
}

function end(model: ReviewModel, verdict: 'Approved' | 'ChangesRequested'): void {
  for (const round of model.rounds) if (!isFinal(round)) round.status = verdict;
}

function isOwn({ doerWorked }: ReviewModel, by: Actor): boolean {
  return by === 'bound' || (by === 'doer' && doerWorked);
}

/** Makes the step in the model. Answers the word that the server has to answer with. */
export function apply(model: ReviewModel, step: Step): string {
  switch (step.do) {
    case 'move':
      model.moved = true;
      return 'ok';
    case 'wait':
      if (model.status === 'InReview') model.status = 'AwaitingHuman';
      return 'ok';
    case 'resume':
      if (model.status === 'AwaitingHuman') model.status = 'InReview';
      return 'ok';
    case 'submit':
      if (model.status !== 'InProgress') return 'invalid_state';
      Object.assign(model, { status: 'InReview', moved: false, doerWorked: model.doerWorked || step.by === 'doer' });
      model.rounds.push({ status: 'AgentPending', comments: [] });
      return 'ok';
    case 'cancel':
      if (model.status === 'Completed') return 'invalid_state';
      model.status = 'Cancelled';
      end(model, 'ChangesRequested');
      return 'ok';
    case 'force':
      if (model.status === 'Completed' || model.status === 'Cancelled') return 'invalid_state';
      model.status = 'Completed';
      end(model, 'Approved');
      return 'ok';
    case 'reopen':
      model.status = 'InProgress';
      end(model, 'ChangesRequested');
      return 'ok';
    default:
      return judge(model, step);
  }
}

function judge(
  model: ReviewModel,
  { do: verb, by, round: index }: Extract<Step, { by: Actor; round: number }>,
): string {
  const round = model.rounds[index % model.rounds.length];
  if (round === undefined) return 'none';
  if (verb === 'resolve') {
    const place = round.comments.indexOf(false);
    if (round.comments.length === 0) return 'none';
    if (isOwn(model, by)) return 'forbidden';
    if (place >= 0) round.comments[place] = true;
    return 'ok';
  }
  if (isOwn(model, by)) return 'forbidden';
  if (isFinal(round)) return 'invalid_state';
  if (by !== 'human' && round.status !== 'AgentPending') return 'forbidden';
  if (verb === 'comment') {
    round.comments.push(false);
    return 'ok';
  }
  if (model.status !== 'InReview') return 'invalid_state';
  if (verb === 'request') {
    round.comments.push(false);
    round.status = 'ChangesRequested';
    model.status = 'InProgress';
    return 'ok';
  }
  if (model.moved) {
    // It begins anew with where the branch is.
    model.moved = false;
    round.status = 'AgentPending';
    return 'stale';
  }
  if (round.status === 'AgentPending') round.status = 'HumanPending';
  else {
    round.status = 'Approved';
    model.status = 'Completed';
  }
  return 'ok';
}
