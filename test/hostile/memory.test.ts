import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { createTestDatabase } from '../support/database.js';
import { connectRaw } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { connectHttp2, flags, frame, frames, get, post, resetFrame } from './support/raw-http2.js';

const startServer = useBuiltServer();
const mib = 1024 * 1024;
const { endHeaders, endStream } = flags;
const service = '/muster.v1.JobService';
const bomb = gzipSync(Buffer.alloc(50 * mib, ' '));

/** Resident memory of a process, as Linux tells it. */
function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

/** Every way there is to make a server hold something, many times over. */
async function burst(url: string, big: string): Promise<void> {
  const all: Promise<unknown>[] = [];
  const leave: (() => void)[] = [];
  for (let n = 0; n < 4; n++) {
    // Streams of which half has come, with as much as they are let send.
    const half = await connectHttp2(url);
    for (let stream = 1; stream < 100; stream += 2) {
      half.send(
        frame(frames.headers, endHeaders, stream, post(`${service}/CreateJob`, 'application/grpc')),
        frame(frames.data, 0, stream, Buffer.concat([Buffer.of(0, 0, 0x10, 0, 0), Buffer.alloc(15_000)])),
      );
    }
    // Answers that nobody takes.
    const stuck = await connectHttp2(url, { settings: [[4, 0]] });
    for (let stream = 1; stream < 40; stream += 2) {
      stuck.send(frame(frames.headers, endHeaders | endStream, stream, get(`/v1/jobs/${big}`)));
    }
    const unread = await connectRaw(url);
    unread.socket.pause();
    unread.write(`GET /v1/jobs/${big} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(100));
    // Streams that are gone at once.
    const rapid = await connectHttp2(url);
    for (let stream = 1; stream < 1000; stream += 2) {
      rapid.send(frame(frames.headers, endHeaders | endStream, stream, get(`/v1/jobs/${big}`)), resetFrame(stream));
    }
    // A WebSocket that pings and does not read.
    const pinging = await connectRaw(url);
    pinging.write(
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
    await new Promise((resolve) => pinging.socket.once('data', resolve).once('close', resolve));
    pinging.socket.pause();
    const ping = Buffer.concat([Buffer.of(0x89, 0xfd, 0, 0, 0, 0), Buffer.alloc(125, 'p')]);
    if (pinging.socket.writable) pinging.write(Buffer.concat(Array<Buffer>(20_000).fill(ping)));
    // What is no request, and what is far more than it looks.
    const noise = await connectRaw(url);
    noise.write(Buffer.alloc(100_000, 'x'));
    leave.push(half.leave, stuck.leave, rapid.leave);
    leave.push(
      ...[unread, pinging, noise].map(
        ({ socket }) =>
          () =>
            void socket.destroy(),
      ),
    );
    all.push(
      fetch(`${url}${service}/CreateJob`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
        body: bomb,
      })
        .then((response) => response.text())
        .catch(() => undefined),
    );
  }
  await Promise.all(all);
  for (const each of leave) each();
}

test.runIf(process.platform === 'linux')(
  'what hostile callers make the server hold is given back, and it stays up',
  async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const server = startServer({
      databaseUrl: database.url,
      env: { MUSTER_REQUEST_TIMEOUT: '3s', MUSTER_CONNECTION_LIMIT: 'off' },
    });
    const url = await server.ready();
    const { json } = await rest(url, 'POST', '/v1/jobs', { kind: 'big', payload: 'x'.repeat(100_000) });
    const { id } = json as { id: string };
    const after = async (): Promise<number> => {
      await burst(url, id);
      expect((await rest(url, 'GET', '/healthz')).status).toBe(200);
      return residentBytes(server.pid);
    };
    const first = [await after(), await after()];
    const later = [await after(), await after(), await after(), await after()];
    expect(Math.min(...later) - Math.max(...first)).toBeLessThan(150 * mib);
    expect(server.lines.filter(({ level }) => level === 'ERROR')).toEqual([]);
  },
  180_000,
);
