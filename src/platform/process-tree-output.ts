/** What a program wrote to one of its streams, as far as it was kept. */
export interface CapturedOutput {
  /** The bytes kept; for stderr past its limit with a line in the middle that says how much is missing. */
  readonly bytes: Buffer;
  /** How many bytes the program wrote, kept or not. */
  readonly totalBytes: number;
  readonly truncated: boolean;
}

export interface OutputCapture {
  add(chunk: Buffer): void;
  result(): CapturedOutput;
}

/** The output as text; bytes that are no UTF-8 become U+FFFD. */
export function outputText(output: CapturedOutput): string {
  return output.bytes.toString('utf8');
}

/** Keeps the first `maxBytes` bytes, exactly. */
export function createHeadCapture(maxBytes: number): OutputCapture {
  const head = createHead(maxBytes);
  let totalBytes = 0;
  return {
    add(chunk) {
      totalBytes += chunk.length;
      head.add(chunk);
    },
    result: () => ({ bytes: head.bytes(), totalBytes, truncated: totalBytes > maxBytes }),
  };
}

/**
 * Keeps the first and the last half of `maxBytes`. What was in between is replaced by a line that counts it; that line
 * comes on top of `maxBytes`, and neither side of it ends within a UTF-8 character.
 */
export function createHeadTailCapture(maxBytes: number): OutputCapture {
  const headBytes = Math.floor(maxBytes / 2);
  const head = createHead(headBytes);
  const tail = createTail(maxBytes - headBytes);
  let totalBytes = 0;

  function result(): CapturedOutput {
    const [first, last] = [head.bytes(), tail.bytes()];
    if (totalBytes <= maxBytes) return { bytes: Buffer.concat([first, last]), totalBytes, truncated: false };
    const before = first.subarray(0, first.length - cutCharacterAtEnd(first));
    const after = last.subarray(cutCharacterAtStart(last));
    const mark = `\n… ${totalBytes - before.length - after.length} bytes left out …\n`;
    return { bytes: Buffer.concat([before, Buffer.from(mark), after]), totalBytes, truncated: true };
  }

  return {
    add(chunk) {
      totalBytes += chunk.length;
      tail.add(chunk.subarray(head.add(chunk)));
    },
    result,
  };
}

/** One growing buffer, not a list of chunks: a program that writes byte by byte would cost a hundred times its output. */
function createHead(maxBytes: number) {
  let buffer = Buffer.alloc(0);
  let length = 0;
  return {
    /** Returns how much of the chunk was taken. */
    add(chunk: Buffer): number {
      const taken = Math.min(chunk.length, maxBytes - length);
      if (length + taken > buffer.length) {
        const grown = Buffer.alloc(Math.min(maxBytes, Math.max(65_536, buffer.length * 2, length + taken)));
        buffer.copy(grown, 0, 0, length);
        buffer = grown;
      }
      chunk.copy(buffer, length, 0, taken);
      length += taken;
      return taken;
    },
    bytes: () => Buffer.from(buffer.subarray(0, length)),
  };
}

function createTail(maxBytes: number) {
  let ring: Buffer | undefined;
  let written = 0;
  return {
    add(chunk: Buffer): void {
      if (chunk.length === 0 || maxBytes === 0) return;
      ring ??= Buffer.alloc(maxBytes);
      const skipped = Math.max(0, chunk.length - maxBytes);
      const end = chunk.subarray(skipped);
      const fitting = end.copy(ring, (written + skipped) % maxBytes);
      end.copy(ring, 0, fitting);
      written += chunk.length;
    },
    bytes(): Buffer {
      if (ring === undefined) return Buffer.alloc(0);
      if (written <= maxBytes) return ring.subarray(0, written);
      const oldest = written % maxBytes;
      return Buffer.concat([ring.subarray(oldest), ring.subarray(0, oldest)]);
    },
  };
}

/** How many bytes at the end begin a UTF-8 character that the end cuts off. */
function cutCharacterAtEnd(bytes: Buffer): number {
  for (let back = 1; back <= 3; back += 1) {
    const byte = bytes.at(-back);
    if (byte === undefined) return 0;
    if (isContinuation(byte)) continue;
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return size > back ? back : 0;
  }
  return 0;
}

function cutCharacterAtStart(bytes: Buffer): number {
  const start = bytes.subarray(0, 3).findIndex((byte) => !isContinuation(byte));
  return start === -1 ? Math.min(3, bytes.length) : start;
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
