import { type Kind, kinds, type Status, statuses } from './tasks.js';

/** A status with what else an index goes by: what a Pending task waits for, and whether a done one is archived. */
export const states = [
  'ready',
  'blocked',
  'waiting',
  'starting',
  'in_progress',
  'in_review',
  'awaiting_human',
  'completed',
  'cancelled',
  'completed_archived',
  'cancelled_archived',
] as const;
export type State = (typeof states)[number];

const statesOf: Readonly<Record<Status, readonly State[]>> = {
  Pending: ['ready', 'blocked', 'waiting', 'starting'],
  InProgress: ['in_progress'],
  InReview: ['in_review'],
  AwaitingHuman: ['awaiting_human'],
  Completed: ['completed', 'completed_archived'],
  Cancelled: ['cancelled', 'cancelled_archived'],
};

export const openStates: readonly State[] = statuses
  .filter((status) => status !== 'Completed' && status !== 'Cancelled')
  .flatMap((status) => statesOf[status]);

export const pendingStates: readonly State[] = statesOf.Pending;

export interface StateFilter {
  /** Empty: any. */
  readonly statuses: readonly Status[];
  readonly ready: boolean | undefined;
  readonly archived: boolean | undefined;
}

/** The states that fit all of it; undefined when all do. */
export function statesFor({ statuses: wanted, ready, archived }: StateFilter): readonly State[] | undefined {
  if (wanted.length === 0 && ready === undefined && archived === undefined) return undefined;
  const ofStatus = new Set((wanted.length === 0 ? statuses : wanted).flatMap((status) => statesOf[status]));
  return states.filter(
    (state) =>
      ofStatus.has(state) &&
      (ready === undefined || (state === 'ready') === ready) &&
      (archived === undefined || state.endsWith('_archived') === archived),
  );
}

/** Each state with each kind: an index has all tasks of such a pair in their order. */
export function pairs(
  wantedStates: readonly State[] | undefined,
  wantedKinds: readonly Kind[],
): readonly { readonly state: State; readonly kind: Kind }[] {
  const ofKinds = wantedKinds.length === 0 ? kinds : [...new Set(wantedKinds)];
  return (wantedStates ?? states).flatMap((state) => ofKinds.map((kind) => ({ state, kind })));
}

export interface Progress {
  readonly total: number;
  readonly completed: number;
  readonly cancelled: number;
  readonly ready: number;
  readonly blocked: number;
  readonly inProgress: number;
  readonly inReview: number;
  readonly awaitingHuman: number;
}

/** How far things have come, of how many tasks there are in each state. */
export function progressOf(counts: ReadonlyMap<string, number>): Progress {
  const of = (...names: readonly State[]): number => names.reduce((sum, name) => sum + (counts.get(name) ?? 0), 0);
  return {
    total: of(...states),
    completed: of(...statesOf.Completed),
    cancelled: of(...statesOf.Cancelled),
    ready: of('ready'),
    blocked: of('blocked'),
    inProgress: of('in_progress'),
    inReview: of('in_review'),
    awaitingHuman: of('awaiting_human'),
  };
}
