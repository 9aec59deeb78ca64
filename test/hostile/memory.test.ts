import { gzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { createTestDatabase } from '../support/database.js';
import { connectRaw, type RawConnection } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { until } from '../support/until.js';
import { inspectable, openInspector } from './support/inspector.js';
import { connectHttp2, flags, frame, frames, get, post, type RawHttp2, resetFrame } from './support/raw-http2.js';

const startServer = useBuiltServer();
const mib = 1024 * 1024;
const { endHeaders, endStream } = flags;
const service = '/muster.v1.JobService';
const bomb = gzipSync(Buffer.alloc(50 * mib, ' '));

interface Stay<T> {
  /** The same connection as before, or a new one where the server has ended it. */
  get(): Promise<T>;
}

/** Callers who stay for as long as they are let. */
function staying<T extends { closed(): Promise<unknown> }>(open: () => Promise<T>): Stay<T> {
  let current: T | undefined;
  return {
    async get() {
      if (current !== undefined) return current;
      const opened = (current = await open());
      void opened.closed().then(() => (current = undefined));
      return opened;
    },
  };
}

/** Every way there is to make a server hold something, many times over, by the same callers each time. */
function createBurst(url: string, big: string): () => Promise<void> {
  let next = 1;
  const half = staying(() => connectHttp2(url));
  const stuck = staying(() => connectHttp2(url, { settings: [[4, 0]] }));
  const rapid = staying(() => connectHttp2(url));
  const unread = staying(() => paused(url));
  const pinging = staying(() => upgraded(url));
  const noise = staying(() => connectRaw(url));
  const ping = Buffer.concat([Buffer.of(0x89, 0xfd, 0, 0, 0, 0), Buffer.alloc(125, 'p')]);

  return async () => {
    const first = next;
    next += 200;
    const streams = Array.from({ length: 100 }, (_, index) => first + index * 2);
    // Streams of which half has come.
    const uploads = await half.get();
    for (const stream of streams) {
      uploads.send(
        frame(frames.headers, endHeaders, stream, post(`${service}/CreateJob`, 'application/grpc')),
        frame(frames.data, 0, stream, Buffer.concat([Buffer.of(0, 0, 0x10, 0, 0), Buffer.alloc(15_000)])),
      );
    }
    // Answers that nobody takes.
    const heads = (await stuck.get()) satisfies RawHttp2;
    for (const stream of streams)
      heads.send(frame(frames.headers, endHeaders | endStream, stream, get(`/v1/jobs/${big}`)));
    (await unread.get()).write(`GET /v1/jobs/${big} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(100));
    // Streams that are gone at once.
    const resets = await rapid.get();
    for (const stream of streams) {
      resets.send(frame(frames.headers, endHeaders | endStream, stream, get(`/v1/jobs/${big}`)), resetFrame(stream));
    }
    // A WebSocket that pings and does not read, and what is no request.
    const socket = await pinging.get();
    if (socket.socket.writable) socket.write(Buffer.concat(Array<Buffer>(20_000).fill(ping)));
    const junk = await noise.get();
    if (junk.socket.writable) junk.write(Buffer.alloc(100_000, 'x'));
    // What is far more than it looks.
    const packed = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    for (let n = 0; n < 4; n++) {
      const answer = await fetch(`${url}${service}/CreateJob`, { method: 'POST', headers: packed, body: bomb });
      await answer.text();
    }
  };
}

async function paused(url: string): Promise<RawConnection> {
  const connection = await connectRaw(url);
  connection.socket.pause();
  return connection;
}

async function upgraded(url: string): Promise<RawConnection> {
  const connection = await connectRaw(url);
  connection.write(
    [
      'GET /api/events/stream HTTP/1.1',
      'Host: localhost',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      '\r\n',
    ].join('\r\n'),
  );
  // On a busy machine it may be late, and closed.
  await new Promise((resolve) => connection.socket.once('data', resolve).once('close', resolve));
  connection.socket.pause();
  return connection;
}

test('what callers make the server hold is given back, though they stay', { timeout: 180_000 }, async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const env = { ...inspectable, MUSTER_REQUEST_TIMEOUT: '1s', MUSTER_CONNECTION_LIMIT: 'off' };
  const server = startServer({ databaseUrl: database.url, env });
  const url = await server.ready();
  const memory = await openInspector(server);
  const { json } = await rest(url, 'POST', '/v1/jobs', { kind: 'big', payload: 'x'.repeat(100_000) });
  const burst = createBurst(url, (json as { id: string }).id);

  /** Waits until the server has let go of all but `slack`, which it does by its own timeouts. */
  const backTo = (base: number, slack: number) =>
    until('memory has returned', async () => {
      const bytes = await memory.bytesInUse();
      return bytes <= base + slack && bytes;
    });
  const idle = await memory.bytesInUse();
  // What is loaded and compiled by the first two stays.
  for (let n = 0; n < 2; n++) await burst();
  const warm = await backTo(idle, 10 * mib);
  for (let n = 0; n < 4; n++) {
    await burst();
    await backTo(warm, 2 * mib);
  }
  expect((await rest(url, 'GET', '/healthz')).status).toBe(200);
  expect(server.lines.filter(({ level }) => level === 'ERROR')).toEqual([]);
});
