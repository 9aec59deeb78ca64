import { constants } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { rest } from '../support/rest.js';
import { soon } from '../support/until.js';
import { sharedLibrary } from '../support/fixtures/library.js';
import { exchange, openSession } from '../support/wire/raw-grpc.js';
import {
  connectHttp2,
  flags,
  frame,
  frames,
  get,
  headerBlock,
  type RawHttp2,
  resetFrame,
  settingsFrame,
} from './support/raw-http2.js';

const library = sharedLibrary({ requestTimeoutMs: 2000 });
const { endHeaders, endStream } = flags;

async function stillServes(): Promise<void> {
  expect((await rest(library.current.url, 'GET', '/plain')).status).toBe(200);
  const session = openSession(library.current.url);
  expect((await exchange(session, { ':method': 'GET', ':path': '/v1/books/a' })).headers[':status']).toBe(200);
}

/** Sends batch after batch until the server has had enough. */
async function flood(connection: RawHttp2, batch: (round: number) => readonly Buffer[]): Promise<void> {
  let over = false;
  const closed = connection.closed().then(() => (over = true));
  let round = 0;
  while (!over && round < 5000) {
    connection.send(...batch(round++));
    await new Promise(setImmediate);
  }
  await soon('the server closes', closed);
}

const hundred = Array.from({ length: 100 }, (_, index) => index);

describe('floods end the connection', () => {
  test('streams that are reset at once (CVE-2023-44487)', async () => {
    const connection = await connectHttp2(library.current.url);
    await flood(connection, (round) =>
      hundred.flatMap((index) => {
        const stream = (round * 100 + index) * 2 + 1;
        return [frame(frames.headers, endHeaders | endStream, stream, get('/v1/books/a')), resetFrame(stream)];
      }),
    );
    await stillServes();
  });

  test('streams that the server is made to reset (CVE-2025-8671)', async () => {
    const connection = await connectHttp2(library.current.url);
    await flood(connection, (round) =>
      hundred.flatMap((index) => {
        const stream = (round * 100 + index) * 2 + 1;
        const nothing = frame(frames.windowUpdate, 0, stream, Buffer.alloc(4));
        return [frame(frames.headers, endHeaders | endStream, stream, get('/v1/books/a')), nothing];
      }),
    );
    await stillServes();
  });

  test.each([
    ['PING', frame(frames.ping, 0, 0, Buffer.alloc(8))],
    ['SETTINGS', settingsFrame([[3, 100]])],
  ])('%s, whether its answers are read or not', async (_name, bytes) => {
    const many = Buffer.concat(hundred.map(() => bytes));
    const reading = await connectHttp2(library.current.url);
    await flood(reading, () => [many]);
    const goaway = await reading.frame(({ type }) => type === frames.goaway);
    expect(goaway.payload.readUInt32BE(4)).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    const deaf = await connectHttp2(library.current.url);
    deaf.pause();
    await flood(deaf, () => [many]);
    await stillServes();
  });

  test('CONTINUATION', async () => {
    const connection = await connectHttp2(library.current.url);
    connection.send(frame(frames.headers, endStream, 1, get('/v1/books/a')));
    const more = headerBlock([['x', 'y'.repeat(1000)]]);
    await flood(connection, () => [frame(frames.continuation, 0, 1, more)]);
    await stillServes();
  });

  test('frames that are none', async () => {
    const connection = await connectHttp2(library.current.url);
    await flood(connection, (round) => [frame(frames.data, 0, round * 2 + 1, Buffer.from('data'))]);
    await stillServes();
  });
});

describe('a head', () => {
  const small = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/v1/books/a'],
    [':authority', 'localhost'],
  ] as const;

  test.each<readonly [string, readonly (readonly [string, string])[]]>([
    ['of more than 128 headers', Array.from({ length: 200 }, (_, index) => [`x-${index}`, 'a'] as const)],
    ['of more than 32 KiB', Array.from({ length: 20 }, (_, index) => [`x-${index}`, 'a'.repeat(2000)] as const)],
    ['with a name in capitals', [['X-Large', 'a']]],
    ['with a header of HTTP/1', [['connection', 'keep-alive']]],
    ['with chunks', [['transfer-encoding', 'chunked']]],
    ['with two paths', [[':path', '/v1/books/b']]],
    ['with two authorities', [[':authority', 'evil.example']]],
    ['with a length that is none', [['content-length', '-1']]],
  ])('%s resets its stream or closes the connection', async (_name, headers) => {
    const connection = await connectHttp2(library.current.url);
    await connection.frame(({ type }) => type === frames.settings);
    // From here on it knows what may be.
    connection.send(frame(frames.settings, flags.ack, 0));
    const block = headerBlock([...small, ...headers]);
    const size = 16_000;
    const pieces = Array.from({ length: Math.ceil(block.length / size) }, (_, n) =>
      block.subarray(n * size, (n + 1) * size),
    );
    connection.send(
      ...pieces.map((piece, index) =>
        frame(
          index === 0 ? frames.headers : frames.continuation,
          (index === 0 ? endStream : 0) | (index === pieces.length - 1 ? endHeaders : 0),
          1,
          piece,
        ),
      ),
    );
    const answer = await connection
      .frame(({ type, stream }) => (stream === 1 && type !== frames.windowUpdate) || type === frames.goaway)
      .catch(() => undefined);
    expect([frames.rstStream, frames.goaway]).toContain(answer?.type ?? frames.goaway);
    expect(library.current.calls).toEqual([]);
    await stillServes();
  });

  // nghttp2 leaves out a field that is none; what matters is that nothing comes of it.
  test.each([
    ['a line break', 'a\r\nhost: evil.example'],
    ['NUL', 'a\0b'],
  ])('with %s in it is served without', async (_name, value) => {
    const connection = await connectHttp2(library.current.url);
    connection.send(
      frame(frames.headers, endHeaders | endStream, 1, headerBlock([...small, ['x-correlation-id', value]])),
    );
    await connection.frame(({ type, stream }) => type === frames.headers && stream === 1);
    expect(library.current.seen()).toMatchObject({ input: { id: 'a' } });
    expect(library.current.logged.at(-1)?.['corr_id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});

test('more streams than may be at a time are refused', async () => {
  const connection = await connectHttp2(library.current.url);
  const settings = await connection.frame(({ type, flags: flag }) => type === frames.settings && flag === 0);
  expect(settings.payload.includes(Buffer.of(0, 3, 0, 0, 0x03, 0xe8))).toBe(true);
  connection.send(frame(frames.settings, flags.ack, 0));
  const open = headerBlock([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/v1/echo'],
    [':authority', 'localhost'],
  ]);
  for (let n = 0; n < 1100; n++) connection.send(frame(frames.headers, endHeaders, n * 2 + 1, open));
  await connection
    .frame(({ type, payload }) => type === frames.goaway || (type === frames.rstStream && payload[3] === 7))
    .catch(() => undefined);
  expect(library.current.calls.length).toBeLessThanOrEqual(1000);
  await stillServes();
});

test('a body that says neither its length nor its type is read', async () => {
  const { headers } = await exchange(openSession(library.current.url), { ':path': '/v1/echo' }, [
    Buffer.from('{"text":'),
    Buffer.from('"here"}'),
  ]);
  expect(headers[':status']).toBe(200);
  expect(library.current.seen()).toMatchObject({ input: { text: 'here' } });
});
