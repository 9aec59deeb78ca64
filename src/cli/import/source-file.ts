import { chunksOf, textOf } from '../input.js';
import { createBeadsParser } from './beads.js';
import { linesOf } from './lines.js';
import type { SourcePlan } from './source-plan.js';
import { parseTaskMaster } from './task-master.js';

/** A file of JSON has to be read whole. */
const maxJsonBytes = 64 * 1024 * 1024;
/** Of lines each is forgotten but for what is wanted of it. */
const maxLinesBytes = 1024 * 1024 * 1024;

/** Throws UsageError for a file that cannot be read. */
export async function readBeads(file: string): Promise<SourcePlan> {
  const parser = createBeadsParser();
  for await (const line of linesOf(chunksOf('FILE', file, maxLinesBytes))) parser.add(line);
  return parser.plan();
}

/** Throws UsageError for a file that cannot be read. */
export async function readTaskMaster(file: string, tag: string | undefined): Promise<SourcePlan> {
  return parseTaskMaster(await textOf('FILE', file, maxJsonBytes), tag);
}
