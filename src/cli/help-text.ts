import { HelpCategorySchema, type HelpCategory, type HelpRequest, HelpRequestSchema } from '../client/index.js';
import { enumWords } from '../platform/rpc/words.js';
import { firstLine } from '../platform/text.js';
import { restShape } from './job-json.js';
import { alignColumns, type Output, printable, type Style } from './output.js';
import { wordOf } from './task-flags.js';

/** A request for help in the documented words, as REST has it. */
export interface ShownHelp {
  readonly id: string;
  readonly task_id: string;
  readonly from_status: string;
  readonly category: string;
  readonly reason: string;
  readonly suggested_options: readonly string[];
  readonly status: string;
  readonly response: string | null;
  readonly chosen_option: number | null;
  readonly created_at: string;
  readonly responded_at: string | null;
  readonly resumed_at: string | null;
  readonly deadline_at: string | null;
  readonly default_response: string | null;
  readonly answered_by_default: boolean;
}

const categories = enumWords(HelpCategorySchema);
export const categoryNames = categories.words;

/** In any letter case, with hyphens or without. Throws an Error that lists the words. */
export function parseCategory(text: string): HelpCategory {
  return categories.toNumber(wordOf(categories.words, text)) ?? 0;
}

export function shownHelp(request: HelpRequest | undefined): ShownHelp {
  if (request === undefined) throw new Error('the server answered without a request for help');
  return restShape(HelpRequestSchema, request) as unknown as ShownHelp;
}

/** All there is to know of a request, a line a field. */
export function helpText(request: ShownHelp, { style }: Output): string {
  const rows: [string, string | null][] = [
    ['id', request.id],
    ['task_id', request.task_id],
    ['status', coloured(request.status, style)],
    ['category', request.category],
    ['reason', printable(request.reason)],
    ['options', request.suggested_options.map((text, index) => `${index}: ${printable(text)}`).join('\n') || null],
    ['created_at', request.created_at],
    ['deadline_at', request.deadline_at],
    ['default', request.default_response === null ? null : printable(request.default_response)],
    ['response', request.response === null ? null : printable(request.response)],
    ['chosen_option', request.chosen_option === null ? null : String(request.chosen_option)],
    ['by default', request.answered_by_default ? 'yes' : null],
    ['responded_at', request.responded_at],
    ['resumed_at', request.resumed_at],
  ];
  const width = 15;
  return rows
    .flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]))
    .map(([name, value]) => style.dim(name.padEnd(width)) + value.replaceAll('\n', `\n${' '.repeat(width)}`))
    .join('\n');
}

/** Lines of a table, its head first. */
export function helpTable(requests: readonly ShownHelp[], { style }: Output): string[] {
  const head = ['ID', 'TASK', 'STATUS', 'CATEGORY', 'REASON'];
  return alignColumns([
    head.map((name) => style.dim(name)),
    ...requests.map(({ id, task_id, status, category, reason }) => [
      id,
      task_id,
      coloured(status, style),
      category,
      printable(firstLine(reason, 60)),
    ]),
  ]);
}

function coloured(status: string, style: Style): string {
  if (status === 'Pending') return style.yellow(status);
  return status === 'Responded' ? style.cyan(status) : style.dim(status);
}
