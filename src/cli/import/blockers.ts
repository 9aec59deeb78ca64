import { type Edge, findCycles } from './cycles.js';
import type { Spot } from './hierarchy.js';
import type { Imported, Report } from './plan.js';
import type { Item, Reference } from './source-plan.js';

/** Of one task, and how many one may block; as in the API. */
const maxBlockers = 500;

interface CheckedEdge extends Edge {
  readonly item: Item;
  readonly field: string;
}

export interface BlockersInput {
  readonly byId: ReadonlyMap<string, Item>;
  readonly included: readonly Item[];
  readonly spots: ReadonlyMap<string, Spot>;
  readonly isWanted: (item: Item) => boolean;
  readonly imported: ReadonlyMap<string, Imported>;
  readonly report: Report;
}

export interface Blockers {
  /** By record, for whose tasks its own waits. */
  readonly blockers: ReadonlyMap<string, readonly string[]>;
  /** How many dependencies there were on what is done. */
  readonly released: number;
}

/** Finds out which dependencies can be kept, and tells of the others. */
export function readBlockers({ byId, included, spots, isWanted, imported, report }: BlockersInput): Blockers {
  const parents = new Map<string, string>();
  for (const [id, { parent }] of spots) if (parent !== undefined) parents.set(id, parent);
  const edges: CheckedEdge[] = [];
  let released = 0;

  function check(item: Item, { id, field }: Reference): boolean {
    const blocker = byId.get(id);
    const isNew = !imported.has(item.id);
    const warn = (message: string): boolean => {
      if (isNew) report('warning', item, field, message);
      return false;
    };
    if (blocker === undefined) {
      report('error', item, field, `waits for ${id}, which is not in the file`);
      return false;
    }
    if (blocker.state === 'bad') return warn(`waits for ${id}, which is left out for what is wrong with it`);
    if (blocker.state === 'gone') return warn(`waits for ${id}, which is nothing to be done; so it does not wait`);
    if (blocker.state === 'done' && !isWanted(blocker)) {
      released += 1;
      return false;
    }
    if (blocker.state === 'cancelled') {
      if (!isWanted(blocker)) return warn(`waits for ${id}, which is cancelled; so it does not wait`);
      warn(`waits for ${id}, which is cancelled, and will until it is unblocked`);
    }
    if (isAbove(item.id, id, parents)) return warn(`waits for ${id}, a part of it; that goes without saying`);
    if (isNew) return true;
    if (blocker.state === 'open' && !imported.has(id)) {
      report('warning', item, field, `is there already, and is not made to wait for ${id}, which is new`);
    }
    return false;
  }

  for (const item of included) {
    if (item.state !== 'open') continue;
    const seen = new Set<string>();
    for (const reference of item.blockers) {
      if (seen.has(reference.id)) continue;
      seen.add(reference.id);
      if (check(item, reference)) edges.push({ item, field: reference.field, task: item.id, blocker: reference.id });
    }
  }
  const bad = new Set<CheckedEdge>();
  for (const { edge, path } of findCycles(edges, parents)) {
    bad.add(edge);
    report('error', edge.item, edge.field, `waits for ${edge.blocker}, and that for it: ${pathText(path)}`);
  }
  return {
    blockers: limited(
      edges.filter((edge) => !bad.has(edge)),
      report,
    ),
    released,
  };
}

function pathText(path: readonly string[]): string {
  const shown = path.length > 12 ? [...path.slice(0, 6), '…', ...path.slice(-5)] : path;
  return [...shown, ...(path.at(-1) === path[0] ? [] : [path[0]])].join(' > ');
}

function isAbove(id: string, other: string, parents: ReadonlyMap<string, string>): boolean {
  for (let up = parents.get(other); up !== undefined; up = parents.get(up)) if (up === id) return true;
  return false;
}

/** By task, what it waits for. */
function limited(edges: readonly CheckedEdge[], report: Report): ReadonlyMap<string, readonly string[]> {
  const blockers = new Map<string, string[]>();
  const blocked = new Map<string, number>();
  for (const { item, field, task, blocker } of edges) {
    const own = blockers.get(task) ?? [];
    const others = blocked.get(blocker) ?? 0;
    if (own.length >= maxBlockers)
      report('error', item, field, `is one more than the ${maxBlockers} that it may wait for`);
    else if (others >= maxBlockers)
      report('error', item, field, `waits for ${blocker}, as ${maxBlockers} others do; no more may`);
    else {
      blockers.set(task, [...own, blocker]);
      blocked.set(blocker, others + 1);
    }
  }
  return blockers;
}
