import { invalidField } from '../../errors.js';
import type { JsonText } from '../../platform/json.js';
import type { Call, Source } from '../../platform/rpc/call.js';
import { checkText } from '../../platform/text.js';

/** Everything that is ever recorded. */
export const eventTypes = [
  'TaskCreated',
  'TaskUpdated',
  'TaskStarted',
  'TaskSubmitted',
  'TaskCompleted',
  'TaskCancelled',
  'TaskDeleted',
  'TaskStatusChanged',
  'ReviewCreated',
  'CommentAdded',
  'CommentResolved',
  'ChangesRequested',
  'ReviewApproved',
  'ReviewPhaseChanged',
  'GateAdded',
  'GateUpdated',
  'GateRemoved',
  'GateQueued',
  'GateStarted',
  'GateOutput',
  'GatePending',
  'GatePassed',
  'GateFailed',
  'GateEscalated',
  'GateCancelled',
  'HelpRequested',
  'HelpResponded',
  'HelpResumed',
  'HelpCancelled',
  'RefCreated',
  'Committed',
  'TaskArchived',
  'HarnessConnected',
  'HarnessDisconnected',
  'SessionStarted',
  'SessionCompleted',
  'SessionFailed',
  'SessionCancelled',
  'BlockerAdded',
  'BlockerRemoved',
  'LearningAdded',
  'LearningBubbled',
  'RepoRegistered',
  'RepoUpdated',
  'RepoUnregistered',
  'GitAiStarted',
  'GitAiCompleted',
  'GitAiFailed',
  'JobQueued',
  'JobStarted',
  'JobDone',
  'JobFailed',
  'JobRetrying',
  'JobCanceled',
  'TokenCreated',
  'TokenRevoked',
  'CallRefused',
] as const;
export type EventType = (typeof eventTypes)[number];

/** Told after a commit of how many events it had of a type. */
export type Appended = (type: EventType, count: number) => void;

/** By which way a change came. `System`: by the passing of time. */
export type EventSource = Source | 'Mcp' | 'Relay' | 'System';

/** Who changed something, and by which way. */
export interface Origin {
  readonly source: EventSource;
  readonly actor: { readonly kind: string; readonly id: string };
  readonly correlationId: string | undefined;
}

export function originOf({ source, principal: { kind, id }, correlationId }: Call): Origin {
  return { source, actor: { kind, id }, correlationId };
}

/** The server itself, whose doing nobody asked for. */
export const systemOrigin: Origin = {
  source: 'System',
  actor: { kind: 'system', id: 'muster' },
  correlationId: undefined,
};

/** One line of the ledger. */
export interface Event extends Origin {
  readonly id: string;
  /** Counts up by one in the order in which events become visible. */
  readonly seq: number;
  readonly at: Date;
  readonly type: EventType;
  readonly taskId: string | undefined;
  readonly reviewId: string | undefined;
  readonly repoId: string | undefined;
  readonly sessionId: string | undefined;
  readonly jobId: string | undefined;
  readonly payload: JsonText;
  /** For those only who may read the audit trail. */
  readonly restricted: boolean;
}

export const subjects = ['taskId', 'reviewId', 'repoId', 'sessionId', 'jobId'] as const;

/** Which events somebody wants: those that fit all of what is set. */
export interface Filter {
  /** Empty: any. */
  readonly types: readonly EventType[];
  readonly source: EventSource | undefined;
  readonly taskId: string | undefined;
  readonly reviewId: string | undefined;
  readonly repoId: string | undefined;
  readonly sessionId: string | undefined;
  readonly jobId: string | undefined;
  /** Whether the audit trail is among what may be seen. */
  readonly audit: boolean;
}

export const noFilter: Filter = {
  types: [],
  source: undefined,
  taskId: undefined,
  reviewId: undefined,
  repoId: undefined,
  sessionId: undefined,
  jobId: undefined,
  audit: true,
};

type Optional<T> = T | null | undefined;

/** A filter as it is asked for. */
export interface FilterInput {
  readonly type: readonly string[];
  readonly source?: Optional<EventSource>;
  readonly taskId?: Optional<string>;
  readonly reviewId?: Optional<string>;
  readonly repoId?: Optional<string>;
  readonly sessionId?: Optional<string>;
  readonly jobId?: Optional<string>;
}

const known: ReadonlySet<string> = new Set(eventTypes);

const subjectFields = {
  taskId: 'task_id',
  reviewId: 'review_id',
  repoId: 'repo_id',
  sessionId: 'session_id',
  jobId: 'job_id',
} as const;

/** Throws `invalid_request` for a type that there is not, since nothing would ever fit it, and for an id that is no text. */
export function filterOf(input: FilterInput, audit: boolean): Filter {
  input.type.forEach((type, index) => {
    if (!known.has(type)) throw invalidField(`type[${index}]`, `there are no events of type '${type.slice(0, 100)}'`);
  });
  for (const subject of subjects) checkText(subjectFields[subject], input[subject] ?? '');
  return {
    types: input.type as readonly EventType[],
    source: input.source ?? undefined,
    taskId: input.taskId ?? undefined,
    reviewId: input.reviewId ?? undefined,
    repoId: input.repoId ?? undefined,
    sessionId: input.sessionId ?? undefined,
    jobId: input.jobId ?? undefined,
    audit,
  };
}

/** Whether all of it is wanted that may be seen. */
export function isUnfiltered({ types, source, ...ids }: Filter): boolean {
  return types.length === 0 && source === undefined && subjects.every((subject) => ids[subject] === undefined);
}

export function fits(event: Event, filter: Filter): boolean {
  if (event.restricted && !filter.audit) return false;
  if (filter.types.length > 0 && !filter.types.includes(event.type)) return false;
  if (filter.source !== undefined && filter.source !== event.source) return false;
  return subjects.every((subject) => filter[subject] === undefined || filter[subject] === event[subject]);
}
