import { connectRaw } from '../../support/raw-http.js';

/** Types and flags of frames (RFC 9113, 6). */
export const frames = {
  data: 0,
  headers: 1,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const flags = { endStream: 1, ack: 1, endHeaders: 4 } as const;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** An HTTP/2 connection on which the frames are made by hand, in whatever order. */
export interface RawHttp2 {
  send(...bytes: readonly Buffer[]): void;
  /** Leaves off reading, and with it taking anything. */
  pause(): void;
  /** Waits for a frame, past or future. Rejects when the connection ends first. */
  frame(look: (frame: Frame) => boolean): Promise<Frame>;
  /** Leaves without a word. */
  leave(): void;
  /** Everything that came before the server closed the connection. */
  closed(): Promise<readonly Frame[]>;
}

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export interface RawHttp2Options {
  /** Pairs of a number (RFC 9113, 6.5.2) and a value. */
  readonly settings?: readonly (readonly [number, number])[];
  /** Leaves pings without an answer. */
  readonly mute?: boolean;
}

export async function connectHttp2(
  url: string,
  { settings = [], mute = false }: RawHttp2Options = {},
): Promise<RawHttp2> {
  const { socket } = await connectRaw(url);
  const received: Frame[] = [];
  let rest = Buffer.alloc(0);
  let ended = false;
  let changed: () => void = () => undefined;
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      received.push({
        type: rest.readUInt8(3),
        flags: rest.readUInt8(4),
        stream: rest.readUInt32BE(5),
        payload: rest.subarray(9, end),
      });
      rest = rest.subarray(end);
      const { type, flags: flag, payload } = received.at(-1) ?? { type: 0, flags: 0, payload: Buffer.alloc(0) };
      if (type === frames.ping && flag === 0 && !mute && socket.writable) {
        socket.write(frame(frames.ping, flags.ack, 0, payload));
      }
    }
    changed();
  });
  const end = (): void => {
    ended = true;
    changed();
  };
  socket.on('end', end).on('close', end);
  socket.write(Buffer.concat([preface, settingsFrame(settings)]));
  const change = (): Promise<void> => new Promise((resolve) => (changed = resolve));
  return {
    send: (...bytes) => void (socket.writable && socket.write(Buffer.concat(bytes))),
    pause: () => void socket.pause(),
    leave: () => void socket.destroy(),
    async frame(look) {
      for (;;) {
        const found = received.find(look);
        if (found !== undefined) return found;
        if (ended) throw new Error(`ended after ${JSON.stringify(received.map(({ type, stream }) => [type, stream]))}`);
        await change();
      }
    },
    async closed() {
      while (!ended) await change();
      return received;
    },
  };
}

export function frame(type: number, flag: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flag, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function settingsFrame(settings: readonly (readonly [number, number])[] = []): Buffer {
  return frame(
    frames.settings,
    0,
    0,
    Buffer.concat(
      settings.map(([name, value]) => {
        const pair = Buffer.alloc(6);
        pair.writeUInt16BE(name, 0);
        pair.writeUInt32BE(value, 2);
        return pair;
      }),
    ),
  );
}

export function resetFrame(stream: number): Buffer {
  return frame(frames.rstStream, 0, stream, Buffer.of(0, 0, 0, 8));
}

/** HPACK without tables or Huffman codes: each header a literal that is not indexed (RFC 7541, 6.2.2). */
export function headerBlock(headers: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

function text(content: string): Buffer {
  const bytes = Buffer.from(content, 'latin1');
  return Buffer.concat([length(bytes.length), bytes]);
}

/** An integer with a prefix of seven bits (RFC 7541, 5.1). */
function length(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

export function get(path: string): Buffer {
  return headerBlock([
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
  ]);
}

export function post(path: string, type: string): Buffer {
  return headerBlock([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', type],
  ]);
}
