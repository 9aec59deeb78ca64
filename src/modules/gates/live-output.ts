import { StringDecoder } from 'node:string_decoder';
import type { Output } from './changes.js';

/** Tells what a program prints while it runs, in pieces, in order. */
export interface LiveOutput {
  add(stream: Output['stream'], chunk: Buffer): void;
  /** Resolves when all that was added is told. */
  end(): Promise<void>;
}

export interface LiveOutputOptions {
  /** Never called twice at a time. When it rejects, what it was to tell is left out. */
  readonly tell: (outputs: readonly Output[]) => Promise<void>;
  readonly onError: (error: unknown) => void;
  /** How much of each stream is told, in bytes. The result has the end as well. */
  readonly maxBytes: number;
  /** How long pieces are gathered, in milliseconds. */
  readonly gatherMs?: number;
}

const defaultGatherMs = 200;

export function createLiveOutput({
  tell,
  onError,
  maxBytes,
  gatherMs = defaultGatherMs,
}: LiveOutputOptions): LiveOutput {
  const streams = { stdout: createStream(maxBytes), stderr: createStream(maxBytes) };
  let gathered: { stream: Output['stream']; text: string }[] = [];
  let timer: NodeJS.Timeout | undefined;
  let telling = Promise.resolve();

  function gather(stream: Output['stream'], text: string): void {
    if (text === '') return;
    const last = gathered.at(-1);
    if (last?.stream === stream) last.text += text;
    else gathered.push({ stream, text });
    timer ??= setTimeout(flush, gatherMs);
  }

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    const outputs = gathered;
    gathered = [];
    if (outputs.length > 0) telling = telling.then(() => tell(outputs)).catch(onError);
  }

  return {
    add: (stream, chunk) => gather(stream, streams[stream].textOf(chunk)),
    async end() {
      for (const stream of ['stdout', 'stderr'] as const) gather(stream, streams[stream].rest());
      flush();
      await telling;
    },
  };
}

function createStream(maxBytes: number) {
  const decoder = new StringDecoder('utf8');
  let left = maxBytes;
  return {
    textOf(chunk: Buffer): string {
      if (left === 0) return '';
      const part = chunk.subarray(0, left);
      left -= part.length;
      return storable(decoder.write(part));
    },
    rest: () => storable(decoder.end()),
  };
}

/** Postgres keeps no NUL in texts. */
function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD');
}
