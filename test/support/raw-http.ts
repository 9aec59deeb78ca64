import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A plain TCP connection to a server: what fetch tidies up goes out as it is. */
export interface RawConnection {
  readonly socket: Socket;
  write(bytes: string | Uint8Array): void;
  /** One byte a packet, each on its way before the next is handed over. */
  trickle(bytes: string | Uint8Array): Promise<void>;
  /** The next HTTP/1 answer. Rejects when the server closes before it is whole. */
  answer(request?: { readonly head: boolean }): Promise<RawAnswer>;
  /** Resolves with what was not read as an answer, when the server has closed its side. */
  closed(): Promise<Buffer>;
}

/** Closed when the test has finished. */
export async function connectRaw(url: string): Promise<RawConnection> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true, allowHalfOpen: true });
  onTestFinished(() => void socket.destroy());
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));

  let received = Buffer.alloc(0);
  let ended = false;
  let wake: (() => void) | undefined;
  const change = (): void => wake?.();
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    change();
  });
  const end = (): void => {
    ended = true;
    change();
  };
  // A reset is an end, too: what matters is what came before it.
  socket.on('end', end).on('error', end).on('close', end);
  const more = (): Promise<void> => new Promise((resolve) => (wake = resolve));

  return {
    socket,
    write: (bytes) => void socket.write(bytes),
    async trickle(bytes) {
      for (const byte of Buffer.from(bytes)) {
        await new Promise<void>((resolve, reject) =>
          socket.write(Uint8Array.of(byte), (error) => (error ? reject(error) : resolve())),
        );
        await new Promise(setImmediate);
      }
    },
    async answer(request) {
      for (;;) {
        const parsed = parseAnswer(received, request?.head === true, ended);
        if (parsed !== undefined) {
          received = received.subarray(parsed.length);
          return parsed.answer;
        }
        if (ended) throw new Error(`the server closed the connection after: ${received.toString('latin1')}`);
        await more();
      }
    },
    async closed() {
      while (!ended) await more();
      return received;
    },
  };
}

/** One request on a connection of its own. */
export async function rawRequest(
  url: string,
  lines: readonly string[],
  body: string | Uint8Array = '',
): Promise<RawAnswer> {
  const connection = await connectRaw(url);
  connection.write(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), Buffer.from(body)]));
  return connection.answer({ head: lines[0]?.startsWith('HEAD ') === true });
}

function parseAnswer(bytes: Buffer, head: boolean, ended: boolean): { answer: RawAnswer; length: number } | undefined {
  const split = bytes.indexOf('\r\n\r\n');
  if (split < 0) return undefined;
  const [start = '', ...lines] = bytes.subarray(0, split).toString('latin1').split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(start)?.[1]);
  const rest = bytes.subarray(split + 4);
  const done = (body: Buffer, length: number) => ({
    answer: { status, headers, body: body.toString() },
    length: split + 4 + length,
  });
  if (head || status === 204 || status < 200) return done(Buffer.alloc(0), 0);
  if (headers['transfer-encoding'] === 'chunked') return dechunk(rest, done);
  const length = headers['content-length'];
  if (length === undefined) return ended ? done(rest, rest.length) : undefined;
  return rest.length < Number(length) ? undefined : done(rest.subarray(0, Number(length)), Number(length));
}

function dechunk<T>(bytes: Buffer, done: (body: Buffer, length: number) => T): T | undefined {
  const chunks: Buffer[] = [];
  let at = 0;
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = parseInt(bytes.subarray(at, line).toString('latin1'), 16);
    const from = line + 2;
    if (bytes.length < from + size + 2) return undefined;
    if (size === 0) return done(Buffer.concat(chunks), from + 2);
    chunks.push(bytes.subarray(from, from + size));
    at = from + size + 2;
  }
}
