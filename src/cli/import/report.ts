import { firstLine } from '../../platform/text.js';
import { priorities } from '../job-text.js';
import { alignColumns, type Output, printable, type Style } from '../output.js';
import type { Counts, ImportPlan, PlannedTask } from './plan.js';
import type { Problem } from './source-plan.js';

/** What `--json` prints. */
export function planJson(
  plan: ImportPlan,
  facts: { readonly repoId: string; readonly isApplied: boolean },
  ids: ReadonlyMap<string, string>,
): string {
  return JSON.stringify({
    source: plan.source,
    repo_id: facts.repoId,
    applied: facts.isApplied,
    counts: plan.counts,
    problems: plan.problems.map(({ severity, line, id, field, message }) => ({
      severity,
      line: line ?? null,
      source_id: id ?? null,
      field: field ?? null,
      message,
    })),
    tasks: plan.tasks.map((task) => ({
      source_id: task.item.id,
      id: ids.get(task.item.id) ?? task.imported?.id ?? null,
      action: task.imported === undefined ? 'create' : 'none',
      kind: task.kind,
      parent_source_id: task.parent ?? null,
      parent_id: task.parentId ?? null,
      description: task.description,
      context: task.context,
      priority: task.item.priority,
      blocked_by_source_ids: task.blockers,
      close_as: task.close ?? null,
    })),
  });
}

/** A line for each task, drawn as a tree. */
export function planLines(plan: ImportPlan, { style }: Output): string[] {
  const children = new Map<string | undefined, PlannedTask[]>();
  for (const task of plan.tasks) {
    const siblings = children.get(task.parent);
    if (siblings === undefined) children.set(task.parent, [task]);
    else siblings.push(task);
  }
  const rows: string[][] = [];
  const add = (task: PlannedTask, lead: string, below: string): void => {
    const title = printable(firstLine(task.item.title, 60));
    const name = task.parent === undefined ? style.bold(title) : title;
    const priority = priorities[task.item.priority] ?? '';
    rows.push([
      style.dim(lead) + name,
      task.kind,
      priority,
      style.dim(printable(task.item.id)),
      stateText(task, style),
    ]);
    const parts = children.get(task.item.id) ?? [];
    for (const [index, child] of parts.entries()) {
      const isLast = index === parts.length - 1;
      add(child, `${below}${isLast ? '└─ ' : '├─ '}`, `${below}${isLast ? '   ' : '│  '}`);
    }
  };
  for (const task of children.get(undefined) ?? []) add(task, '', '');
  return alignColumns(rows);
}

function stateText({ imported, close, blockers }: PlannedTask, style: Style): string {
  if (imported !== undefined)
    return style.dim(`there already: ${imported.id}${close === undefined ? '' : `, to be ${close}`}`);
  if (close !== undefined) return style.green(close);
  const shown = blockers.slice(0, 5).map(printable).join(', ');
  return blockers.length === 0 ? '' : style.red(`after ${shown}${blockers.length > 5 ? ', …' : ''}`);
}

/** `plan.jsonl:7: bd-3: priority: has to be …`. */
export function problemText(file: string, { severity, line, id, field, message }: Problem, style: Style): string {
  const at = [line === undefined ? file : `${file}:${line}`, id, field].filter((part) => part !== undefined).join(': ');
  return (
    printable(`${at}: `) +
    (severity === 'error' ? style.red('error') : style.yellow('warning')) +
    printable(`: ${message}`)
  );
}

/** How much it is, in a line. */
export function countsText(counts: Counts, problems: readonly Problem[]): string {
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  const parts = [
    [counts.create, 'to create'],
    [counts.imported, 'there already'],
    [counts.close, 'to close'],
    [counts.closed, 'closed and left out'],
    [counts.gone, 'nothing to do'],
    [counts.bad, 'bad and left out'],
    [counts.released, counts.released === 1 ? 'dependency on what is done' : 'dependencies on what is done'],
    [errors, errors === 1 ? 'error' : 'errors'],
    [problems.length - errors, problems.length - errors === 1 ? 'warning' : 'warnings'],
  ] as const;
  const told = parts.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`]));
  return told.length === 0 ? 'nothing in it' : told.join(', ');
}
