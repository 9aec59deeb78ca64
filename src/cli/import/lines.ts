/** One line of a file, or why it cannot be read. */
export type Line =
  { readonly number: number; readonly text: string } | { readonly number: number; readonly fault: string };

const newline = 0x0a;
/** The texts of one record together may have less than a tenth of it. */
export const maxLineBytes = 4 * 1024 * 1024;

/** Splits bytes into lines as they come, so that a file of any size takes no more memory than its longest line. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let number = 1;
  const add = (part: Uint8Array): void => {
    length += part.length;
    // What is too long is counted, not kept.
    if (length <= maxLineBytes) parts.push(part);
    else parts = [];
  };
  const take = (): Line => {
    const line = length > maxLineBytes ? tooLong(number, length) : decoded(number, Buffer.concat(parts));
    parts = [];
    length = 0;
    number += 1;
    return line;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      add(chunk.subarray(from, at));
      yield take();
      from = at + 1;
    }
    if (from < chunk.length) add(chunk.subarray(from));
  }
  if (length > 0) yield take();
}

function tooLong(number: number, length: number): Line {
  return { number, fault: `has ${length} bytes; ${maxLineBytes} are allowed` };
}

function decoded(number: number, bytes: Uint8Array): Line {
  try {
    // Takes away a byte order mark, too.
    return { number, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { number, fault: 'is no UTF-8' };
  }
}
