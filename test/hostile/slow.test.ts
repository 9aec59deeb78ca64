import { constants } from 'node:http2';
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CreateJobRequestSchema } from '../../gen/muster/v1/jobs_pb.js';
import { connectRaw, type RawConnection, rawRequest } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { soon, until } from '../support/until.js';
import { openWebSocket } from '../support/websocket.js';
import { startWorker } from '../support/work-client.js';
import { framed, openSession } from '../support/wire/raw-grpc.js';
import { openHalf } from './support/half-open.js';
import { connectHttp2, flags, frame, type Frame, frames, get, post, type RawHttp2 } from './support/raw-http2.js';

const app = sharedTestApp({ flags: { 'request-timeout': '500ms' } });
const { endHeaders, endStream } = flags;
const service = '/muster.v1.JobService';
const message = toBinary(CreateJobRequestSchema, create(CreateJobRequestSchema, { kind: 'a' }));

async function stillServes(): Promise<void> {
  expect((await rest(app.current.url, 'GET', '/healthz')).status).toBe(200);
}

/** Goes on sending, so that there is never a silence to be noticed. */
function feed(send: () => void): void {
  const timer = setInterval(send, 20);
  onTestFinished(() => clearInterval(timer));
}

/** The cases of a test side by side, since each waits for the same time to pass. */
async function atOnce<T>(cases: readonly T[], prove: (each: T) => Promise<void>): Promise<void> {
  await Promise.all(cases.map(prove));
}

/** What is sent of a request over HTTP/1, and what is sent again and again. */
const trickles: readonly (readonly [name: string, start: string, more: string])[] = [
  ['a head', 'GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\n', 'X: a\r\n'],
  ['a request line', 'GET /', 'a'],
  [
    'a body of known length',
    'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{"kind":"',
    'a',
  ],
  ['a body in chunks', 'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n', '1\r\n \r\n'],
  [
    'a message of Connect',
    `POST ${service}/CreateJob HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n`,
    ' ',
  ],
  [
    'a message of gRPC-Web',
    `POST ${service}/CreateJob HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/grpc-web\r\nContent-Length: 100000\r\n\r\n\0\0\x01\0\0`,
    ' ',
  ],
];

describe('HTTP/1', () => {
  test('what trickles gets 408', async () => {
    await atOnce(trickles, async ([name, start, more]) => {
      const connection = await connectRaw(app.current.url);
      connection.write(start);
      feed(() => connection.socket.writable && connection.write(more));
      const answer = await connection.answer();
      expect(answer, name).toMatchObject({ status: 408, headers: { connection: 'close' } });
      expect(JSON.parse(answer.body), name).toMatchObject({ error: 'deadline_exceeded' });
      await connection.closed();
    });
    await stillServes();
  });

  test('who says nothing is let go', async () => {
    const connection = await connectRaw(app.current.url);
    await connection.closed();
    await stillServes();
  });

  test('who does not take an answer is let go', async () => {
    const id = await bigJob();
    const connection = await connectRaw(app.current.url);
    connection.socket.pause();
    const request = `GET /v1/jobs/${id} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    connection.write(request.repeat(50));
    await goneAt(connection);
    await stillServes();
  });
});

/** The path, the type and the first bytes of a request over HTTP/2, and what is sent again and again. */
type Half = readonly [name: string, head: Buffer, start: Buffer, more: Buffer];

const halves: readonly Half[] = [
  ['REST', post('/v1/jobs', 'application/json'), Buffer.from('{"kind":'), Buffer.from(' ')],
  ['Connect', post(`${service}/CreateJob`, 'application/json'), Buffer.from('{"kind":'), Buffer.from(' ')],
  [
    'Connect stream',
    post(`${service}/WatchJob`, 'application/connect+json'),
    Buffer.of(0, 0, 0, 99, 0),
    Buffer.from(' '),
  ],
  ['gRPC-Web', post(`${service}/CreateJob`, 'application/grpc-web'), Buffer.of(0, 0, 0, 99, 0), Buffer.from(' ')],
  ['gRPC', post(`${service}/CreateJob`, 'application/grpc'), Buffer.of(0, 0, 0, 99, 0), Buffer.of(1)],
  ['gRPC stream', post(`${service}/WatchJob`, 'application/grpc'), Buffer.of(0, 0, 0, 99, 0), Buffer.of(1)],
  ['gRPC, general', post(`${service}/CreateJob`, 'application/grpc+json'), Buffer.of(0, 0, 0, 99, 0), Buffer.of(1)],
];

/** Waits until the server has ended a stream. */
function endOf(connection: RawHttp2, stream: number): Promise<Frame> {
  return connection.frame(
    (each) =>
      each.stream === stream && (each.type === frames.rstStream || ((each.flags & endStream) !== 0 && each.type <= 1)),
  );
}

describe('HTTP/2', () => {
  test('half a request is ended, however it trickles', async () => {
    await atOnce(halves, async ([name, head, start, more]) => {
      const connection = await connectHttp2(app.current.url);
      connection.send(frame(frames.headers, endHeaders, 1, head), frame(frames.data, 0, 1, start));
      feed(() => connection.send(frame(frames.data, 0, 1, more)));
      await soon(`the end of ${name}`, endOf(connection, 1));
    });
    await stillServes();
  });

  test('is told so where it can be', async () => {
    const [json, grpc] = await Promise.all([
      openHalf(openSession(app.current.url), {
        ':path': '/v1/jobs',
        'content-type': 'application/json',
        'x-correlation-id': 'late',
      }),
      openHalf(openSession(app.current.url), {
        ':path': `${service}/CreateJob`,
        'content-type': 'application/grpc',
      }),
    ]);
    expect(json.headers[':status']).toBe(408);
    expect(json.said).toContain('"error":"deadline_exceeded"');
    expect(json.headers['x-correlation-id']).toBe('late');
    expect(grpc.headers).toMatchObject({ ':status': 200, 'grpc-status': '4' });
  });

  test('is told so in its own protocol where it has a word for it', async () => {
    const cases = [
      ['application/grpc', 'WatchJob'],
      ['application/grpc+json', 'CreateJob'],
      ['application/grpc', 'Work'],
      ['application/grpc-web', 'CreateJob'],
      ['application/connect+json', 'WatchJob'],
    ] as const;
    const answers = await Promise.all(
      cases.map(([type, method]) =>
        openHalf(openSession(app.current.url), { ':path': `${service}/${method}`, 'content-type': type }),
      ),
    );
    for (const { said, reset } of answers) {
      expect(said).toMatch(/"grpc-status":"4"|grpc-status: 4|"code":"deadline_exceeded"/);
      expect(reset).toBe(constants.NGHTTP2_NO_ERROR);
    }
  });

  test('and others of the connection go on', async () => {
    const connection = await connectHttp2(app.current.url);
    connection.send(frame(frames.headers, endHeaders, 1, post('/v1/jobs', 'application/json')));
    await endOf(connection, 1);
    connection.send(
      frame(frames.headers, endHeaders, 5, post(`${service}/CreateJob`, 'application/grpc')),
      frame(frames.data, endStream, 5, framed(message)),
    );
    await connection.frame(
      ({ type, stream, flags: flag }) => type === frames.headers && stream === 5 && (flag & endStream) !== 0,
    );
  });

  test('a stream of work that does not begin is ended, one that has begun goes on', async () => {
    const worker = await startWorker(app.current.url, { kinds: ['late'], capacity: 1 });
    await atOnce([1, 2, 3], async () => {
      const connection = await connectHttp2(app.current.url);
      connection.send(frame(frames.headers, endHeaders, 1, post(`${service}/Work`, 'application/grpc')));
      await endOf(connection, 1);
    });
    await rest(app.current.url, 'POST', '/v1/jobs', { kind: 'late' });
    await worker.until('the job has come', ({ jobs }) => jobs[0]);
  });

  test('who does not take an answer loses it', async () => {
    const id = await bigJob();
    // A window of nothing for every stream.
    const connection = await connectHttp2(app.current.url, { settings: [[4, 0]] });
    for (let n = 0; n < 20; n++) {
      connection.send(frame(frames.headers, endHeaders | endStream, n * 2 + 1, get(`/v1/jobs/${id}`)));
    }
    for (let n = 0; n < 20; n++) {
      await connection.frame(({ type, stream }) => type === frames.rstStream && stream === n * 2 + 1);
    }
    await stillServes();
  });

  test('who answers no pings is let go', async () => {
    const connection = await connectHttp2(app.current.url, { mute: true });
    await connection.closed();
    await stillServes();
  });
});

test('a long poll may wait for longer than a request may take to come', async () => {
  const answer = await rest(app.current.url, 'POST', '/v1/jobs/claim', {
    worker_id: 'w',
    kinds: ['none'],
    wait_sec: 1,
  });
  expect(answer).toMatchObject({ status: 200, json: [] });
});

test('a WebSocket that does not subscribe is told so and closed', async () => {
  const socket = openWebSocket(app.current.url, '/api/events/stream');
  await socket.opened;
  expect(await socket.closed).toBe(1008);
  expect(socket.messages).toMatchObject([{ type: 'error', error: 'deadline_exceeded' }]);
  await stillServes();
});

describe('connections of one address', () => {
  const limited = sharedTestApp({ flags: { 'connection-limit': '20' }, logLevel: 'warn' });

  test('beyond the limit are refused, and taken again when others have gone', async () => {
    const { url, logged } = limited.current;
    const held: RawConnection[] = [];
    for (let n = 0; n < 20; n++) held.push(await connectRaw(url));
    for (let n = 0; n < 5; n++) {
      const connection = await connectRaw(url);
      const answer = await connection.answer();
      expect(answer).toMatchObject({ status: 503, headers: { connection: 'close' } });
      expect(JSON.parse(answer.body)).toMatchObject({ error: 'unavailable' });
    }
    expect(logged).toMatchObject([{ event: 'connections_refused', address: '127.0.0.1', limit: 20 }]);
    for (const connection of held) connection.socket.destroy();
    await until('there is room', async () => {
      const answer = await rawRequest(url, ['GET /healthz HTTP/1.1', 'Host: localhost', 'Connection: close']);
      return answer.status === 200;
    });
  });
});

async function bigJob(): Promise<string> {
  const payload = 'x'.repeat(1_000_000);
  const { json } = await rest(app.current.url, 'POST', '/v1/jobs', { kind: 'big', payload });
  return (json as { id: string }).id;
}

/** Resolves when the server has closed a connection that nobody reads: what is sent to it is refused by then. */
async function goneAt({ socket }: RawConnection): Promise<void> {
  socket.on('error', () => undefined);
  feed(() => socket.writable && socket.write('\r\n'));
  await new Promise((resolve) => socket.once('close', resolve));
}
