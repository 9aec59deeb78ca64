import { type Learning, LearningSchema } from '../client/index.js';
import { restShape } from './job-json.js';
import { type Output, printable } from './output.js';

/** A learning in the documented words, as REST has it. */
export interface ShownLearning {
  readonly id: string;
  readonly task_id: string;
  readonly content: string;
  readonly source_task_id: string | null;
  readonly created_at: string;
}

export function shownLearning(learning: Learning | undefined): ShownLearning {
  if (learning === undefined) throw new Error('the server answered without a learning');
  return restShape(LearningSchema, learning) as unknown as ShownLearning;
}

/** A line or more: what was learned, and on which task where that is another one. */
export function learningText({ content, source_task_id, created_at }: ShownLearning, { style }: Output): string {
  const source = source_task_id === null ? '' : style.dim(`  (${printable(source_task_id)})`);
  return `${style.dim(created_at)}  ${printable(content.trim()).replaceAll('\n', `\n${' '.repeat(26)}`)}${source}`;
}
