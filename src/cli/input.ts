import { createReadStream } from 'node:fs';
import { messageOf } from '../errors.js';
import { UsageError } from './errors.js';

/** What a file has in it; `-` is stdin. Throws UsageError naming the argument for one that cannot be read. */
export async function* chunksOf(argument: string, file: string, maxBytes: number): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      const piece = chunk as Uint8Array;
      bytes += piece.length;
      if (bytes > maxBytes) throw new Error(`has more than the ${maxBytes} bytes that are allowed`);
      yield piece;
    }
  } catch (error) {
    throw new UsageError(`${argument}: '${file}' ${messageOf(error)}`, error);
  }
}

/** The same as a text. */
export async function textOf(argument: string, file: string, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of chunksOf(argument, file, maxBytes)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
