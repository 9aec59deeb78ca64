import { type Edge, findCycles } from './cycles.js';
import { placeAll, type Spot } from './hierarchy.js';
import type { Counts, Imported, ImportPlan, PlannedTask, Report } from './plan.js';
import type { Item, Problem, Reference, Source, SourcePlan } from './source-plan.js';
import { type Texts, textsOf } from './texts.js';

export interface PlanOptions {
  readonly source: Source;
  /** What there is already, by the id of the record that it was made of. */
  readonly imported: ReadonlyMap<string, Imported>;
  readonly withClosed: boolean;
  /** Where tasks go that would stand alone. */
  readonly milestoneId: string | undefined;
}

/** Of one task, and how many one may block; as in the API. */
const maxBlockers = 500;

interface CheckedEdge extends Edge {
  readonly item: Item;
  readonly field: string;
}

/** Turns what a file says into what is to be made, in order. Knows of no server. */
export function planImport(read: SourcePlan, options: PlanOptions): ImportPlan {
  const problems: Problem[] = [...read.problems];
  const report: Report = (severity, { line, id }, field, message) =>
    void problems.push({ severity, line, id, field, message });
  const { byId, texts } = index(read.items, options.source, report);
  const items = [...byId.values()].sort((a, b) => (a.createdAt ?? Infinity) - (b.createdAt ?? Infinity) || 0);
  const isWanted = ({ state }: Item): boolean =>
    state === 'open' || (options.withClosed && (state === 'done' || state === 'cancelled'));
  const included = items.filter(isWanted);
  const spots = placeAll({ byId, included, imported: options.imported, milestoneId: options.milestoneId, report });
  const { blockers, released } = readBlockers({ byId, included, spots, isWanted, options, report });
  const order = inOrder(included, spots, blockers);
  const closes = closesOf(order, spots, options.imported, report);
  const tasks = order.map((item): PlannedTask => {
    const { kind, parent, parentId } = spots.get(item.id) ?? { kind: 'Task', parent: undefined, parentId: undefined };
    return {
      item,
      kind,
      parent,
      parentId,
      ...(texts.get(item.id) ?? { description: '', context: '' }),
      blockers: blockers.get(item.id) ?? [],
      imported: options.imported.get(item.id),
      close: closes.get(item.id),
    };
  });
  return {
    source: options.source,
    tasks,
    problems: inFileOrder(problems),
    counts: countsOf(tasks, byId, released, isWanted),
  };
}

/** Each record once, with the texts that its task will have; `bad` where those cannot be. */
function index(
  items: readonly Item[],
  source: Source,
  report: Report,
): { readonly byId: ReadonlyMap<string, Item>; readonly texts: ReadonlyMap<string, Texts> } {
  const byId = new Map<string, Item>();
  const texts = new Map<string, Texts>();
  for (const item of items) {
    const first = byId.get(item.id);
    if (first !== undefined) {
      report('error', item, 'id', `is there twice${first.line === undefined ? '' : `, first in line ${first.line}`}`);
      continue;
    }
    const made = item.state === 'gone' || item.state === 'bad' ? undefined : textsOf(source, item);
    if (made === undefined) byId.set(item.id, item);
    else if ('field' in made) {
      report('error', item, made.field, made.message);
      byId.set(item.id, { ...item, state: 'bad' });
    } else {
      byId.set(item.id, item);
      texts.set(item.id, made);
    }
  }
  return { byId, texts };
}

interface BlockersInput {
  readonly byId: ReadonlyMap<string, Item>;
  readonly included: readonly Item[];
  readonly spots: ReadonlyMap<string, Spot>;
  readonly isWanted: (item: Item) => boolean;
  readonly options: PlanOptions;
  readonly report: Report;
}

function readBlockers({ byId, included, spots, isWanted, options, report }: BlockersInput) {
  const parents = new Map<string, string>();
  for (const [id, { parent }] of spots) if (parent !== undefined) parents.set(id, parent);
  const edges: CheckedEdge[] = [];
  let released = 0;

  function check(item: Item, { id, field }: Reference): boolean {
    const blocker = byId.get(id);
    const warn = (message: string): boolean => {
      report('warning', item, field, message);
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
    if (!options.imported.has(item.id)) return true;
    if (!options.imported.has(id) && blocker.state === 'open') {
      warn(`is there already, and is not made to wait for ${id}, which is new`);
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

/** The oldest first, but for what each needs, which goes before it. There is no circle in that. */
function inOrder(
  included: readonly Item[],
  spots: ReadonlyMap<string, Spot>,
  blockers: ReadonlyMap<string, readonly string[]>,
): readonly Item[] {
  const byId = new Map(included.map((item) => [item.id, item]));
  const ordered = new Set<Item>();
  const entered = new Set<string>();
  for (const item of included) {
    const stack = [item];
    for (let at = stack.at(-1); at !== undefined; at = stack.at(-1)) {
      const needs = entered.has(at.id) ? [] : [spots.get(at.id)?.parent, ...(blockers.get(at.id) ?? [])];
      entered.add(at.id);
      const missing = needs.flatMap((id) => (id === undefined || entered.has(id) ? [] : (byId.get(id) ?? [])));
      if (missing.length > 0) stack.push(...missing.reverse());
      else {
        ordered.add(at);
        stack.pop();
      }
    }
  }
  return [...ordered];
}

/** What can be closed: that under which all is closed. */
function closesOf(
  order: readonly Item[],
  spots: ReadonlyMap<string, Spot>,
  imported: ReadonlyMap<string, Imported>,
  report: Report,
): ReadonlyMap<string, 'Completed' | 'Cancelled'> {
  const closes = new Map<string, 'Completed' | 'Cancelled'>();
  const openBelow = new Map<string, string>();
  // A parent comes before its children, so that backwards these are known.
  for (const item of [...order].reverse()) {
    const status = imported.get(item.id)?.status;
    const open = openBelow.get(item.id);
    const isClosed = status === 'Completed' || status === 'Cancelled';
    const wants = item.state !== 'open' && (status === undefined || status === 'Pending');
    if (wants && open === undefined) closes.set(item.id, item.state === 'done' ? 'Completed' : 'Cancelled');
    if (wants && open !== undefined)
      report('warning', item, 'status', `is closed there, but ${open} below it is not; Pending here`);
    const parent = spots.get(item.id)?.parent;
    if (!isClosed && !closes.has(item.id) && parent !== undefined) openBelow.set(parent, item.id);
  }
  return closes;
}

function countsOf(
  tasks: readonly PlannedTask[],
  byId: ReadonlyMap<string, Item>,
  released: number,
  isWanted: (item: Item) => boolean,
): Counts {
  const left = [...byId.values()].filter((item) => !isWanted(item)).map(({ state }) => state);
  const imported = tasks.filter((task) => task.imported !== undefined).length;
  return {
    create: tasks.length - imported,
    imported,
    close: tasks.filter(({ close }) => close !== undefined).length,
    closed: left.filter((state) => state === 'done' || state === 'cancelled').length,
    gone: left.filter((state) => state === 'gone').length,
    bad: left.filter((state) => state === 'bad').length,
    released,
  };
}

/** Errors first. */
function inFileOrder(problems: readonly Problem[]): readonly Problem[] {
  const rank = ({ severity }: Problem): number => (severity === 'error' ? 0 : 1);
  return [...problems].sort((a, b) => rank(a) - rank(b) || (a.line ?? 0) - (b.line ?? 0));
}
