import type { Imported, Kind, Report } from './plan.js';
import type { Item } from './source-plan.js';

/** Where a record's task goes. */
export interface Spot {
  readonly kind: Kind;
  readonly parent: string | undefined;
  readonly parentId: string | undefined;
}

export interface HierarchyInput {
  readonly byId: ReadonlyMap<string, Item>;
  /** What becomes tasks, the oldest first. */
  readonly included: readonly Item[];
  readonly imported: ReadonlyMap<string, Imported>;
  /** For tasks that would stand alone. */
  readonly milestoneId: string | undefined;
  readonly report: Report;
}

/**
 * Finds a place for each record: a Milestone for what has grandchildren or is an epic, a Task below it or alone, a Subtask below that. What
 * is deeper becomes a Subtask of the same Task. Records that are left out pass their children on to their own parents.
 */
export function placeAll(input: HierarchyInput): ReadonlyMap<string, Spot> {
  const { included, imported, report } = input;
  const parents = parentsOf(input);
  const tall = withGrandchildren(included, parents);
  const recordOf = new Map(included.flatMap(({ id }) => [[imported.get(id)?.id, id] as const]));
  const spots = new Map<string, Spot>();
  for (const item of included) {
    // From the top down, without recursion: a file may hold a chain of any length.
    for (const each of chainTo(item, parents, spots).reverse()) {
      spots.set(each.id, spotOf(each, parents.get(each.id)));
    }
  }
  return spots;

  function spotOf(item: Item, parent: Item | undefined): Spot {
    const known = imported.get(item.id);
    // It stays where it is, whatever the file says by now.
    if (known !== undefined) {
      const { kind, parentId } = known;
      return { kind, parent: parentId === undefined ? undefined : recordOf.get(parentId), parentId };
    }
    const above = parent && spots.get(parent.id);
    if (parent === undefined || above === undefined) return topSpot(item);
    const there = imported.get(parent.id);
    if (there !== undefined && (there.status === 'Completed' || there.status === 'Cancelled')) {
      report('error', item, undefined, `is part of ${parent.id}, and ${there.id}, made of that, is ${there.status}`);
      return topSpot(item);
    }
    if (above.kind !== 'Subtask') {
      return { kind: above.kind === 'Milestone' ? 'Task' : 'Subtask', parent: parent.id, parentId: undefined };
    }
    report('warning', item, undefined, `is too deep below ${parent.id} for Muster, and is put beside it`);
    return { kind: 'Subtask', parent: above.parent, parentId: above.parentId };
  }

  function topSpot(item: Item): Spot {
    if (item.isEpic || tall.has(item.id)) return { kind: 'Milestone', parent: undefined, parentId: undefined };
    return { kind: 'Task', parent: undefined, parentId: input.milestoneId };
  }
}

/** The nearest included parent of each. */
function parentsOf({ byId, included, report }: HierarchyInput): ReadonlyMap<string, Item> {
  const nearest = new Map<string, Item | undefined>();
  const direct = new Map<string, Item | undefined>();
  const isIncluded = new Set(included.map(({ id }) => id));
  const parents = new Map<string, Item>();
  for (const item of included) {
    const path: Item[] = [];
    const seen = new Set([item.id]);
    let found: Item | undefined;
    for (let at = item; ;) {
      const up = directParent(at);
      if (up !== undefined && seen.has(up.id)) {
        report('error', at, at.parents[0]?.field, `is part of ${up.id}, which is a part of it`);
        direct.set(at.id, undefined);
        break;
      }
      path.push(at);
      if (up === undefined || isIncluded.has(up.id)) found = up;
      else if (nearest.has(up.id)) found = nearest.get(up.id);
      else {
        seen.add(up.id);
        at = up;
        continue;
      }
      break;
    }
    for (const each of path) nearest.set(each.id, found);
    if (found !== undefined) parents.set(item.id, found);
    const first = direct.get(item.id);
    if (first !== undefined && first !== found) {
      report(
        'warning',
        item,
        undefined,
        `is part of ${first.id}, which is left out; it goes ${found === undefined ? 'to the top' : `below ${found.id}`}`,
      );
    }
  }
  return withoutCircles(included, parents, report);

  function directParent(item: Item): Item | undefined {
    if (direct.has(item.id)) return direct.get(item.id);
    let taken: Item | undefined;
    for (const { id, field } of item.parents) {
      const parent = byId.get(id);
      if (parent === undefined) report('error', item, field, `is part of ${id}, which is not in the file`);
      else if (taken === undefined) taken = parent;
      else if (taken !== parent)
        report('warning', item, field, `is part of ${taken.id}, too; ${id} is only told in the context`);
    }
    direct.set(item.id, taken);
    return taken;
  }
}

/** Cuts every circle once, at the record where it is noticed. */
function withoutCircles(
  included: readonly Item[],
  parents: Map<string, Item>,
  report: Report,
): ReadonlyMap<string, Item> {
  const done = new Set<string>();
  for (const item of included) {
    const path = new Set<string>();
    for (let at: Item | undefined = item; at !== undefined && !done.has(at.id); at = parents.get(at.id)) {
      path.add(at.id);
      const up = parents.get(at.id);
      if (up === undefined || !path.has(up.id)) continue;
      report(
        'error',
        at,
        at.parents.find(({ id }) => id === up.id)?.field,
        `is part of ${up.id}, which is a part of it`,
      );
      parents.delete(at.id);
    }
    for (const id of path) done.add(id);
  }
  return parents;
}

function withGrandchildren(included: readonly Item[], parents: ReadonlyMap<string, Item>): ReadonlySet<string> {
  return new Set(
    included.flatMap(({ id }) => {
      const grandparent = parents.get(parents.get(id)?.id ?? '');
      return grandparent === undefined ? [] : [grandparent.id];
    }),
  );
}

/** A record and those above it that have no place yet, from the bottom up. */
function chainTo(item: Item, parents: ReadonlyMap<string, Item>, placed: ReadonlyMap<string, unknown>): Item[] {
  const chain: Item[] = [];
  for (let at: Item | undefined = item; at !== undefined && !placed.has(at.id); at = parents.get(at.id)) chain.push(at);
  return chain;
}
