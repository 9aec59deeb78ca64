import type { Spot } from './hierarchy.js';
import type { Imported, Report } from './plan.js';
import type { Item } from './source-plan.js';

/** The oldest first, but for what each needs, which goes before it. There is no circle in that. */
export function inOrder(
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
export function closesOf(
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
