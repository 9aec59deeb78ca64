import { readBlockers } from './blockers.js';
import { placeAll } from './hierarchy.js';
import { closesOf, inOrder } from './order.js';
import type { Counts, Imported, ImportPlan, PlannedTask, Report } from './plan.js';
import type { Item, Problem, Source, SourcePlan } from './source-plan.js';
import { type Texts, textsOf } from './texts.js';

export interface PlanOptions {
  readonly source: Source;
  /** What there is already, by the id of the record that it was made of. */
  readonly imported: ReadonlyMap<string, Imported>;
  readonly withClosed: boolean;
  /** Where tasks go that would stand alone. */
  readonly milestoneId: string | undefined;
}

/** Turns what a file says into what is to be made, in order. Knows of no server. */
export function planImport(read: SourcePlan, options: PlanOptions): ImportPlan {
  // What will be different was said when it was made; now it is as it is.
  const isNews = (severity: Problem['severity'], id = ''): boolean => severity === 'error' || !options.imported.has(id);
  const problems = read.problems.filter(({ severity, id }) => isNews(severity, id));
  const reportAll: Report = (severity, { line, id }, field, message) =>
    void problems.push({ severity, line, id, field, message });
  const report: Report = (severity, item, field, message) => {
    if (isNews(severity, item.id)) reportAll(severity, item, field, message);
  };
  const { byId, texts } = index(read.items, options.source, report);
  const items = [...byId.values()].sort((a, b) => (a.createdAt ?? Infinity) - (b.createdAt ?? Infinity) || 0);
  const isWanted = ({ state }: Item): boolean =>
    state === 'open' || (options.withClosed && (state === 'done' || state === 'cancelled'));
  const included = items.filter(isWanted);
  const spots = placeAll({ byId, included, imported: options.imported, milestoneId: options.milestoneId, report });
  const { blockers, released } = readBlockers({
    byId,
    included,
    spots,
    isWanted,
    imported: options.imported,
    report: reportAll,
  });
  const order = inOrder(included, spots, blockers);
  const closes = closesOf(order, spots, options.imported, reportAll);
  const tasks = order.map((item): PlannedTask => {
    return {
      item,
      ...known(spots, item.id),
      ...known(texts, item.id),
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

/** Of what is made everything is known; anything else is a bug. */
function known<T>(map: ReadonlyMap<string, T>, id: string): T {
  const value = map.get(id);
  if (value === undefined) throw new Error(`nothing is known of ${id}`);
  return value;
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
