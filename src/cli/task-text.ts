import {
  type Task,
  type TaskProgress,
  TaskProgressSchema,
  TaskSchema,
  type TaskTree,
  TaskTreeSchema,
  type TaskWithContext,
  TaskWithContextSchema,
} from '../client/index.js';
import { firstLine } from '../platform/text.js';
import { gateLines, type ShownGate } from './gate-text.js';
import { restShape } from './job-json.js';
import { priorities } from './job-text.js';
import { alignColumns, type Output, printable, type Style } from './output.js';

/** A task in the documented words, as REST has it. */
export interface ShownTask {
  readonly id: string;
  readonly repo_id: string;
  readonly parent_id: string | null;
  readonly kind: string;
  readonly description: string;
  readonly context: string | null;
  readonly priority: number;
  readonly status: string;
  readonly blocked_by: readonly string[];
  readonly blocks: readonly string[];
  readonly effectively_blocked: boolean;
  readonly created_at: string;
  readonly updated_at: string;
  readonly started_at: string | null;
  readonly completed_at: string | null;
}

export interface ShownTaskInContext {
  readonly task: ShownTask;
  readonly context: { readonly own: string | null; readonly parent: string | null; readonly milestone: string | null };
  readonly gates: readonly ShownGate[];
  readonly vcs: { readonly ref_name: string; readonly worktree_path: string | null } | null;
  readonly learnings: Readonly<Record<'own' | 'parent' | 'milestone', readonly { readonly content: string }[]>>;
  readonly review: { readonly id: string; readonly status: string } | null;
  readonly help_request: { readonly id: string; readonly status: string; readonly reason: string } | null;
}

export interface ShownTree {
  readonly task: ShownTask;
  readonly children: readonly ShownTree[];
}

export type ShownProgress = Readonly<Record<string, number>> & { readonly total: number };

export function shownTask(task: Task | undefined): ShownTask {
  if (task === undefined) throw new Error('the server answered without a task');
  return restShape(TaskSchema, task) as unknown as ShownTask;
}

export function shownInContext(task: TaskWithContext): ShownTaskInContext {
  return restShape(TaskWithContextSchema, task) as unknown as ShownTaskInContext;
}

export function shownTree(tree: TaskTree): ShownTree {
  return restShape(TaskTreeSchema, tree) as unknown as ShownTree;
}

export function shownProgress(progress: TaskProgress | undefined): ShownProgress {
  if (progress === undefined) throw new Error('the server answered without progress');
  return restShape(TaskProgressSchema, progress) as unknown as ShownProgress;
}

/** All there is to know of a task, a line a field. */
export function taskText(
  { task, context, learnings, gates, vcs, review, help_request: help }: ShownTaskInContext,
  { style }: Output,
): string {
  const rows: [string, string | undefined][] = [
    ['id', task.id],
    ['kind', task.kind],
    ['status', colouredStatus(task, style)],
    ['priority', `${task.priority} (${priorities[task.priority] ?? 'unknown'})`],
    ['description', printable(task.description)],
    ['context', textOf(context.own)],
    ["parent's context", textOf(context.parent)],
    ["milestone's context", textOf(context.milestone)],
    ['learned', learnedText(learnings.own)],
    ['learned on its parent', learnedText(learnings.parent)],
    ['learned on its milestone', learnedText(learnings.milestone)],
    ['gates', gateLines(gates).join('\n') || undefined],
    ['repo_id', task.repo_id],
    ['parent_id', textOf(task.parent_id)],
    ['blocked_by', task.blocked_by.join('\n') || undefined],
    ['blocks', task.blocks.join('\n') || undefined],
    ['branch', vcs?.ref_name],
    ['worktree', textOf(vcs?.worktree_path ?? null)],
    ['review', review === null ? undefined : `${review.id} ${review.status}`],
    ['help', help === null ? undefined : `${help.id} ${help.status}\n${printable(help.reason)}`],
    ['created_at', task.created_at],
    ['started_at', textOf(task.started_at)],
    ['completed_at', textOf(task.completed_at)],
  ];
  const width = Math.max(...rows.map(([name, value]) => (value === undefined ? 0 : name.length))) + 2;
  return rows
    .flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
    .map(([name, value]) => style.dim(name.padEnd(width)) + value.replaceAll('\n', `\n${' '.repeat(width)}`))
    .join('\n');
}

/** Lines of a table, its head first. */
export function taskTable(tasks: readonly ShownTask[], { style }: Output): string[] {
  const head = ['ID', 'STATUS', 'PRIORITY', 'DESCRIPTION'];
  return alignColumns([
    head.map((name) => style.dim(name)),
    ...tasks.map((task) => [
      task.id,
      colouredStatus(task, style),
      priorities[task.priority] ?? String(task.priority),
      summaryOf(task),
    ]),
  ]);
}

/** A line for each task, drawn as a tree. */
export function treeLines(trees: readonly ShownTree[], { style }: Output): string[] {
  const rows: string[][] = [];
  const add = ({ task, children }: ShownTree, lead: string, below: string): void => {
    const name = task.parent_id === null ? style.bold(summaryOf(task)) : summaryOf(task);
    rows.push([style.dim(lead) + name, colouredStatus(task, style), style.dim(task.id)]);
    children.forEach((child, index) => {
      const isLast = index === children.length - 1;
      add(child, `${below}${isLast ? '└─ ' : '├─ '}`, `${below}${isLast ? '   ' : '│  '}`);
    });
  };
  for (const tree of trees) add(tree, '', '');
  return alignColumns(rows);
}

/** How far things have come, in a line. */
export function progressText(progress: ShownProgress): string {
  const { total, ...parts } = progress;
  const told = Object.entries(parts).flatMap(([name, count]) =>
    count === 0 ? [] : [`${count} ${name.replaceAll('_', ' ')}`],
  );
  return [`${total} ${total === 1 ? 'task' : 'tasks'}`, ...told].join(', ');
}

function colouredStatus({ status, effectively_blocked: isBlocked }: ShownTask, style: Style): string {
  switch (status) {
    case 'Completed':
      return style.green(status);
    case 'Cancelled':
      return style.dim(status);
    case 'InProgress':
    case 'InReview':
      return style.cyan(status);
    case 'AwaitingHuman':
      return style.yellow(status);
    default:
      return isBlocked ? style.red(`${status} (blocked)`) : status;
  }
}

function learnedText(learnings: readonly { readonly content: string }[]): string | undefined {
  return learnings.map(({ content }) => printable(content.trim())).join('\n') || undefined;
}

function textOf(text: string | null): string | undefined {
  return text === null ? undefined : printable(text);
}

function summaryOf({ description }: ShownTask): string {
  return printable(firstLine(description, 70));
}
