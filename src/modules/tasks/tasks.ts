import { AppError, invalidField } from '../../errors.js';
import { isId } from '../../platform/ids.js';
import { checkText } from '../../platform/text.js';

/** From the top down: a milestone has tasks under it, a task has subtasks, and a task may also stand alone. */
export const kinds = ['Milestone', 'Task', 'Subtask'] as const;
export type Kind = (typeof kinds)[number];

export const statuses = ['Pending', 'InProgress', 'InReview', 'AwaitingHuman', 'Completed', 'Cancelled'] as const;
export type Status = (typeof statuses)[number];

/** Who stands where: immutable from a task's creation on. */
export interface Place {
  readonly id: string;
  readonly repoId: string;
  readonly kind: Kind;
  readonly parentId: string | undefined;
  /** The parent's parent: nobody stands deeper than two levels below a milestone. */
  readonly grandId: string | undefined;
  /** How many ancestors it has. */
  readonly depth: number;
}

export interface Task {
  readonly id: string;
  readonly repoId: string;
  readonly parentId: string | undefined;
  readonly kind: Kind;
  readonly description: string;
  readonly context: string | undefined;
  readonly priority: number;
  readonly status: Status;
  /** Its own blockers, in the order in which they were added, those included that are Completed. */
  readonly blockedBy: readonly string[];
  /** What it is a blocker of. */
  readonly blocks: readonly string[];
  /** Whether a blocker of it or of an ancestor is not Completed. */
  readonly effectivelyBlocked: boolean;
  readonly depth: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly startedAt: Date | undefined;
  readonly completedAt: Date | undefined;
}

/**
 * Bounds of what is kept. The ledger tells descriptions and contexts as they are, so that they are no place for files; and a task
 * is read with all of its blockers, so there are not too many.
 */
export const limits = {
  descriptionBytes: 16 * 1024,
  contextBytes: 64 * 1024,
  /** Of one task; and how many tasks one may block. */
  blockers: 500,
} as const;

type Optional<T> = T | null | undefined;

export interface CreateInput {
  readonly repoId: string;
  readonly kind?: Optional<Kind>;
  readonly description: string;
  readonly parentId?: Optional<string>;
  readonly context?: Optional<string>;
  readonly priority?: Optional<number>;
  readonly blockedBy: readonly string[];
}

/** What is asked for, as far as it can be judged without looking at other tasks. */
export interface NewTask {
  readonly repoId: string;
  readonly kind: Kind;
  readonly description: string;
  readonly parentId: string | undefined;
  readonly context: string | undefined;
  readonly priority: number;
  readonly blockedBy: readonly string[];
}

export interface UpdateInput {
  readonly id: string;
  readonly description?: Optional<string>;
  readonly context?: Optional<string>;
  readonly priority?: Optional<number>;
}

/** What changes: only what is there. */
export interface Patch {
  readonly description?: string;
  /** `undefined` in it clears. */
  readonly context?: string | undefined;
  readonly priority?: number;
}

const prefixes: Readonly<Record<Kind, string>> = { Milestone: 'ms', Task: 'task', Subtask: 'sub' };

export function prefixOf(kind: Kind): string {
  return prefixes[kind];
}

export function isTaskId(text: string): boolean {
  return Object.values(prefixes).some((prefix) => isId(prefix, text));
}

/** Which kinds a parent may have; `undefined` among them: none at all. */
const parentKinds: Readonly<Record<Kind, readonly (Kind | undefined)[]>> = {
  Milestone: [undefined],
  Task: [undefined, 'Milestone'],
  Subtask: ['Task'],
};

/** Throws `invalid_request` naming the field. */
export function newTask(input: CreateInput): NewTask {
  const { repoId, kind, blockedBy } = input;
  if (repoId === '') throw invalidField('repo_id', 'is required');
  if (!isId('repo', repoId)) throw noSuchRepo(repoId);
  if (kind === undefined || kind === null) throw invalidField('kind', `is required: ${kinds.join(', ')}`);
  const parentId = input.parentId ?? undefined;
  if (parentId === undefined) checkParentKind(kind, undefined);
  else if (!isTaskId(parentId)) throw noSuchTask('parent_id', parentId);
  if (blockedBy.length > limits.blockers) throw invalidField('blocked_by', `may name ${limits.blockers} tasks`);
  blockedBy.forEach((id, index) => {
    if (!isTaskId(id)) throw noSuchTask(`blocked_by[${index}]`, id);
  });
  return {
    repoId,
    kind,
    description: checkDescription(input.description),
    parentId,
    context: checkContext(input.context),
    priority: checkPriority(input.priority ?? 2),
    blockedBy: [...new Set(blockedBy)],
  };
}

/** Throws `invalid_request` naming the field. `null` clears a context; it is refused where there must be something. */
export function patchOf({ description, context, priority }: UpdateInput): Patch {
  if (description === null) throw invalidField('description', 'cannot be cleared');
  if (priority === null) throw invalidField('priority', 'cannot be cleared');
  return {
    ...(description !== undefined && { description: checkDescription(description) }),
    ...(context !== undefined && { context: checkContext(context) }),
    ...(priority !== undefined && { priority: checkPriority(priority) }),
  };
}

/** Throws `invalid_request` for a parent of the wrong kind. */
export function checkParentKind(kind: Kind, parent: Kind | undefined): void {
  const allowed = parentKinds[kind];
  if (allowed.includes(parent)) return;
  const wanted = allowed.map((each) => (each === undefined ? 'no parent' : `a ${each} as parent`)).join(' or ');
  throw invalidField('parent_id', `a ${kind} has ${wanted}, not ${parent === undefined ? 'none' : `a ${parent}`}`);
}

export function noSuchRepo(id: string): AppError {
  return invalidField('repo_id', `there is no repository ${shown(id)}`);
}

/** For an id in a body or query. */
export function noSuchTask(field: string, id: string): AppError {
  return invalidField(field, id === '' ? 'must be the id of a task, and is empty' : `there is no task ${shown(id)}`);
}

/** For an id in a path. */
export function taskNotFound(id: string): AppError {
  return new AppError('not_found', `There is no task ${shown(id)}.`);
}

function shown(id: string): string {
  return id.length <= 100 ? id : `${id.slice(0, 100)}…`;
}

function checkDescription(text: string): string {
  if (text.trim() === '') throw invalidField('description', 'is required');
  return checkSize('description', text, limits.descriptionBytes);
}

/** An empty context is none: over RPC there is no other way to say so. */
function checkContext(text: Optional<string>): string | undefined {
  if (text === undefined || text === null || text === '') return undefined;
  return checkSize('context', text, limits.contextBytes);
}

function checkSize(field: string, text: string, maxBytes: number): string {
  checkText(field, text);
  // What Postgres would be given for halves of surrogate pairs; the answer tells the same.
  const whole = Buffer.from(text).toString();
  const bytes = Buffer.byteLength(whole);
  if (bytes <= maxBytes) return whole;
  throw new AppError('too_large', `${field}: has ${bytes} bytes; ${maxBytes} are allowed`, {
    details: { field, bytes, max_bytes: maxBytes },
  });
}

function checkPriority(priority: number): number {
  if (!Number.isInteger(priority) || priority < 0 || priority > 3) {
    throw invalidField('priority', 'must be between 0 and 3');
  }
  return priority;
}
