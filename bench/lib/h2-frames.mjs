// As much of HTTP/2 as one unary call needs (RFC 9113, header block: RFC 7541).

export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  END_STREAM: 1,
  ACK: 1,
  END_HEADERS: 4,
};
const HEADER_BYTES = 9;
const MAX_WINDOW = 2 ** 31 - 1;
const INITIAL_WINDOW_SIZE = 4;

function frame(type, flags, stream, payload) {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function uint32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Gives the server back the room that `bytes` of answers took from the connection's window. */
export const windowUpdate = (bytes) => frame(FRAME.WINDOW_UPDATE, 0, 0, uint32(bytes));
export const pong = (payload) => frame(FRAME.PING, FRAME.ACK, 0, payload);
export const SETTINGS_ACK = frame(FRAME.SETTINGS, FRAME.ACK, 0, Buffer.alloc(0));

/** What a client says first: windows so wide that the server never waits for the load driver. */
export const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(FRAME.SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, INITIAL_WINDOW_SIZE]), uint32(MAX_WINDOW)])),
  windowUpdate(MAX_WINDOW - 65535),
]);

const text = (value) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);

// Entries of HPACK's static table: the whole line, or the name alone.
const METHOD_POST = 0x83;
const SCHEME_HTTP = 0x86;
const STATIC_NAMES = { ':authority': 1, ':path': 4, 'accept-encoding': 16, 'content-type': 31, 'user-agent': 58 };
const FIRST_DYNAMIC = 62;

/**
 * Encodes one and the same request for ever new streams. Like a real client it spells its headers out once and points to
 * the server's table from then on. Names and values must be shorter than 127 bytes.
 */
export function createRequestEncoder({ authority, path, message }) {
  // What @grpc/grpc-js sends, so that a server has the same to negotiate.
  const headers = [
    [':path', path],
    [':authority', authority],
    ['grpc-accept-encoding', 'identity,deflate,gzip'],
    ['accept-encoding', 'identity'],
    ['user-agent', 'grpc-node-js/1.14.7'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
  ];
  const spelled = headers.map(([name, value]) => {
    const index = STATIC_NAMES[name];
    return Buffer.concat([
      index ? Buffer.from([0x40 | index]) : Buffer.concat([Buffer.from([0x40]), text(name)]),
      text(value),
    ]);
  });
  const fixed = Buffer.from([METHOD_POST, SCHEME_HTTP]);
  const first = Buffer.concat([fixed, ...spelled]);
  // The newest entry has the lowest index.
  const later = Buffer.concat([
    fixed,
    Buffer.from(headers.map((_, n) => 0x80 | (FIRST_DYNAMIC + headers.length - 1 - n))),
  ]);

  const prefix = Buffer.concat([Buffer.from([0]), uint32(message.length)]);
  const build = (block) =>
    Buffer.concat([
      frame(FRAME.HEADERS, FRAME.END_HEADERS, 0, block),
      frame(FRAME.DATA, FRAME.END_STREAM, 0, Buffer.concat([prefix, message])),
    ]);
  const firstRequest = build(first);
  const laterRequest = build(later);

  return (stream) => {
    const [template, block] = stream === 1 ? [firstRequest, first] : [laterRequest, later];
    const bytes = Buffer.from(template);
    bytes.writeUInt32BE(stream, 5);
    bytes.writeUInt32BE(stream, HEADER_BYTES + block.length + 5);
    return bytes;
  };
}

/** Cuts a byte stream into frames: onFrame(type, flags, stream, payload). */
export function createFrameReader(onFrame) {
  let rest = null;
  return (chunk) => {
    let bytes = rest ? Buffer.concat([rest, chunk]) : chunk;
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      onFrame(
        bytes[at + 3],
        bytes[at + 4],
        bytes.readUInt32BE(at + 5) & MAX_WINDOW,
        bytes.subarray(at + HEADER_BYTES, end),
      );
      at = end;
    }
    rest = at < bytes.length ? bytes.subarray(at) : null;
  };
}
