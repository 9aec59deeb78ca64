import { createReadStream } from 'node:fs';
import { messageOf } from '../../errors.js';
import { UsageError } from '../errors.js';
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
  for await (const line of linesOf(chunksOf(file, maxLinesBytes))) parser.add(line);
  return parser.plan();
}

/** Throws UsageError for a file that cannot be read. */
export async function readTaskMaster(file: string, tag: string | undefined): Promise<SourcePlan> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of chunksOf(file, maxJsonBytes)) chunks.push(chunk);
  return parseTaskMaster(Buffer.concat(chunks).toString(), tag);
}

/** `-` is stdin. */
async function* chunksOf(file: string, maxBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      const piece = chunk as Uint8Array;
      bytes += piece.length;
      if (bytes > maxBytes) throw new Error(`has more than the ${maxBytes} bytes that are allowed`);
      yield piece;
    }
  } catch (error) {
    throw new UsageError(`FILE: '${file}' ${messageOf(error)}`, error);
  }
}
