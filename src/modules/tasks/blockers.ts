import { AppError } from '../../errors.js';
import { limits, type Place, type Status } from './tasks.js';

/** A task that another one waits for. */
export interface Blocker {
  readonly id: string;
  readonly status: Status;
  /** Whose blocker it is: the task's own, or that of an ancestor. */
  readonly of: string;
}

export type Lineage = Pick<Place, 'id' | 'parentId' | 'grandId'>;

/** Whether one of the two is the other, or its ancestor. */
export function areRelated(a: Lineage, b: Lineage): boolean {
  return isAtOrAbove(a.id, b) || isAtOrAbove(b.id, a);
}

function isAtOrAbove(id: string, { id: own, parentId, grandId }: Lineage): boolean {
  return id === own || id === parentId || id === grandId;
}

/** `step.from` waits for `step.to`, by itself or through its parent or its children. */
export interface Step {
  readonly from: string;
  readonly to: string;
}

/** What tasks wait for, at whatever distance, with the steps that lead there; the tasks themselves included. */
export interface Reach {
  readonly steps: readonly Step[];
  readonly reached: ReadonlyMap<string, Lineage>;
}

/** Throws `cycle` when the blocker, of which `reach` tells, waits for the task already. `field` names the blocker in the request. */
export function checkNoCycle({ steps, reached }: Reach, field: string, task: Lineage, blockerId: string): void {
  const ends = new Set([...reached.values()].filter((each) => areRelated(each, task)).map(({ id }) => id));
  const path = ends.size === 0 ? undefined : pathAlong(steps, blockerId, ends);
  if (path === undefined) return;
  // A path that ends with the task itself names it once more as the first.
  throw cycle(field, [task.id, ...(path.at(-1) === task.id ? path.slice(0, -1) : path)]);
}

export function tooManyBlocked(field: string, id: string): AppError {
  return new AppError(
    'conflict',
    `${field}: ${id} blocks ${limits.blockers} tasks already, which is as many as may be.`,
    {
      details: { field, max: limits.blockers },
    },
  );
}

/**
 * The shortest way along `steps` from `start` to one of `ends`, both included; undefined when there is none. With it a
 * refusal can say whom everybody waits for.
 */
export function pathAlong(steps: readonly Step[], start: string, ends: ReadonlySet<string>): string[] | undefined {
  const next = new Map<string, string[]>();
  for (const { from, to } of steps) next.set(from, [...(next.get(from) ?? []), to]);
  const cameFrom = new Map<string, string | undefined>([[start, undefined]]);
  for (const at of cameFrom.keys()) {
    if (ends.has(at)) return pathTo(at, cameFrom);
    // A Map goes on to what is added while it is gone through.
    for (const to of next.get(at) ?? []) if (!cameFrom.has(to)) cameFrom.set(to, at);
  }
  return undefined;
}

function pathTo(end: string, cameFrom: ReadonlyMap<string, string | undefined>): string[] {
  const path: string[] = [];
  for (let at: string | undefined = end; at !== undefined; at = cameFrom.get(at)) path.unshift(at);
  return path;
}

/**
 * `path` begins with the task that was to be blocked; each waits for the next, and the last one for the first. `field` names the
 * blocker in the request.
 */
export function cycle(field: string, path: readonly string[]): AppError {
  const [first = ''] = path;
  const way = [...path, first].join(' > ');
  return new AppError('cycle', `${field}: they would wait for each other forever: ${way}.`, {
    details: { field, path: [...path, first] },
  });
}

/** Throws `blocked`, listing who it waits for, when there is anybody. */
export function checkUnblocked(id: string, blockers: readonly Blocker[]): void {
  if (blockers.length === 0) return;
  const list = blockers.map((blocker) => `${blocker.id} (${blocker.status})`).join(', ');
  const cancelled = blockers.some(({ status }) => status === 'Cancelled');
  const hint = cancelled ? ' One that is Cancelled never releases; unblock the task from it.' : '';
  throw new AppError('blocked', `${id} waits for ${list}.${hint}`, { details: { blockers } });
}

/** Throws `children_open`, listing them, when there are any. */
export function checkChildrenClosed(
  id: string,
  children: readonly { readonly id: string; readonly status: Status }[],
): void {
  if (children.length === 0) return;
  const list = children.map((child) => `${child.id} (${child.status})`).join(', ');
  throw new AppError('children_open', `${id} cannot be completed before ${list}.`, { details: { children } });
}
