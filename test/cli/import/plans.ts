import { createBeadsParser } from '../../../src/cli/import/beads.js';
import { linesOf } from '../../../src/cli/import/lines.js';
import type { Imported, ImportPlan, PlannedTask } from '../../../src/cli/import/plan.js';
import { planImport, type PlanOptions } from '../../../src/cli/import/planner.js';
import type { Problem, SourcePlan } from '../../../src/cli/import/source-plan.js';
import { parseTaskMaster } from '../../../src/cli/import/task-master.js';

export type Issue = Readonly<Record<string, unknown>>;

/** An issue as beads writes it, with what a case does not care for. */
export function issue(id: string, more: Issue = {}): Issue {
  return { id, title: `Do ${id}`, status: 'open', priority: 2, issue_type: 'task', ...more };
}

/** `blocks` and the others, as beads writes them. */
export function dependency(id: string, on: string, type = 'blocks'): Issue {
  return {
    issue_id: id,
    depends_on_id: on,
    type,
    created_at: '2026-01-02T03:04:05.678901-08:00',
    created_by: 'someone',
  };
}

export function jsonl(...issues: readonly unknown[]): string {
  return issues.map((each) => `${JSON.stringify(each)}\n`).join('');
}

/** What beads would find in a file of these bytes. */
export async function readBeadsText(text: string | Uint8Array, chunkBytes = 7): Promise<SourcePlan> {
  const parser = createBeadsParser();
  for await (const line of linesOf(chunked(Buffer.from(text), chunkBytes))) parser.add(line);
  return parser.plan();
}

async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

export function planOf(read: SourcePlan, options: Partial<PlanOptions> = {}): ImportPlan {
  return planImport(read, {
    source: 'beads',
    imported: new Map<string, Imported>(),
    withClosed: false,
    milestoneId: undefined,
    ...options,
  });
}

export async function planBeads(issues: readonly unknown[], options: Partial<PlanOptions> = {}): Promise<ImportPlan> {
  return planOf(await readBeadsText(jsonl(...issues), 65_536), options);
}

export function planTaskMaster(root: unknown, options: Partial<PlanOptions> = {}, tag?: string): ImportPlan {
  return planOf(parseTaskMaster(JSON.stringify(root), tag), { source: 'task-master', ...options });
}

/** `Kind id < parent after blockers`, in the order of creation. */
export function outline({ tasks }: ImportPlan): string[] {
  return tasks.map(
    ({ kind, item, parent, blockers, close }: PlannedTask) =>
      `${kind} ${item.id}${parent === undefined ? '' : ` < ${parent}`}${blockers.length === 0 ? '' : ` after ${blockers.join(' ')}`}${close === undefined ? '' : ` ${close}`}`,
  );
}

/** `severity line id field: message`, with `-` for what there is not. */
export function told(problems: readonly Problem[]): string[] {
  return problems.map(
    ({ severity, line, id, field, message }) => `${severity} ${line ?? '-'} ${id ?? '-'} ${field ?? '-'}: ${message}`,
  );
}
