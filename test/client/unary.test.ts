import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { CreateJobResponseSchema, JobService } from '../../gen/muster/v1/jobs_pb.js';
import { createMusterClient, errorFactsOf, valueOf } from '../../src/client/index.js';
import { flags, frame, frames, headerBlock, resetFrame, settingsFrame } from '../hostile/support/raw-http2.js';
import { sharedTestApp } from '../support/shared-app.js';
import { soon } from '../support/until.js';

const app = sharedTestApp();

type Handler = (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void;

/** A server that answers each call as the test wants. */
async function serverOf(handler: Handler): Promise<string> {
  const server: Http2Server = createServer();
  const sessions = new Set<{ destroy: () => void }>();
  server.on('session', (session) => sessions.add(session));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    handler(stream, headers);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A server of which each frame is made by hand, once it has the headers of the first call. */
async function rawServer(answered: () => readonly Buffer[]): Promise<string> {
  const server = createTcpServer((socket) => {
    let rest = Buffer.alloc(0);
    let offset = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'.length;
    socket.on('error', () => undefined);
    socket.write(settingsFrame());
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (; rest.length >= offset + 9; offset += 9 + rest.readUIntBE(offset, 3)) {
        if (rest.readUInt8(offset + 3) === frames.headers) socket.write(Buffer.concat(answered()));
      }
    });
    onTestFinished(() => void socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function clientOf(url: string, headers?: Record<string, string>) {
  const client = createMusterClient({ url, ...(headers !== undefined && { headers }) });
  onTestFinished(() => client.close());
  return client.jobs;
}

async function errorOf(call: Promise<unknown>): Promise<ConnectError> {
  const error = await soon(
    'the call to fail',
    call.then(
      (answer) => expect.unreachable(`answered ${JSON.stringify(answer)}`),
      (thrown: unknown) => thrown,
    ),
  );
  expect(error).toBeInstanceOf(ConnectError);
  return error as ConnectError;
}

const answer = toBinary(CreateJobResponseSchema, create(CreateJobResponseSchema, { id: 'job_1' }));
const proto = { ':status': 200, 'content-type': 'application/proto' };

/** What is no success, as proxies and servers of other makes tell it. */
const odd: Record<string, Handler> = {
  'a page of a proxy': (stream) => {
    stream.respond({ ':status': 502, 'content-type': 'text/html' });
    stream.end('<h1>Bad Gateway</h1>');
  },
  'an error without a body': (stream) => stream.respond({ ':status': 429 }, { endStream: true }),
  'an error of the protocol': (stream) => {
    stream.respond({ ':status': 404, 'content-type': 'application/json', 'trailer-hint': 'a' });
    stream.end(JSON.stringify({ code: 'not_found', message: 'gone' }));
  },
  'an error that is no JSON': (stream) => {
    stream.respond({ ':status': 500, 'content-type': 'application/json' });
    stream.end('{');
  },
  'a success that is JSON': (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/json' });
    stream.end('{}');
  },
  'a success of no type': (stream) => {
    stream.respond({ ':status': 200 });
    stream.end(answer);
  },
  'a squeezed answer': (stream) => {
    stream.respond({ ...proto, 'content-encoding': 'br' });
    stream.end(answer);
  },
};

describe('an answer that is no success means what it means to the library', () => {
  test.each(Object.entries(odd))('%s', async (_what, handler) => {
    const url = await serverOf(handler);
    const library = createClient(
      JobService,
      createConnectTransport({ baseUrl: url, httpVersion: '2', useBinaryFormat: true, acceptCompression: [] }),
    );
    const facts = ({ code, rawMessage, metadata }: ConnectError) => ({ code, rawMessage, metadata: [...metadata] });
    const own = facts(await errorOf(clientOf(url).createJob({ kind: 'a' })));
    const { metadata, ...theirs } = facts(await errorOf(library.createJob({ kind: 'a' })));
    const withoutDate = (list: [string, string][]) => list.filter(([name]) => name !== 'date');
    expect({ ...own, metadata: withoutDate(own.metadata) }).toEqual({ ...theirs, metadata: withoutDate(metadata) });
  });
});

describe('an answer that is not whole is none', () => {
  const cuts: Record<string, Handler> = {
    'cut off before its headers': (stream) => stream.close(0x2),
    'given up by the server before its headers': (stream) => stream.close(0x8),
    'cut off behind its headers': (stream) => {
      stream.respond(proto);
      stream.write(answer.subarray(0, 2), () => stream.destroy(new Error('cut off')));
    },
    'shorter than it says': (stream) => {
      stream.respond({ ...proto, 'content-length': answer.length });
      // To end it would be an error of the protocol, which Node looks after.
      stream.write(answer.subarray(0, 2), () => stream.destroy());
    },
    'the end of the connection': (stream) => {
      stream.respond(proto);
      stream.write(answer.subarray(0, 2), () => stream.session?.destroy());
    },
  };
  test.each(Object.entries(cuts))('%s', async (_what, handler) => {
    const error = await errorOf(clientOf(await serverOf(handler)).createJob({ kind: 'a' }));
    expect(errorFactsOf(error).unreachable).toBe(true);
  });
});

test('an answer that its server gives up in the middle is none', async () => {
  const { headers, data } = frames;
  const block = headerBlock([
    [':status', '200'],
    ['content-type', 'application/proto'],
  ]);
  // Node's own server cannot be brought to do this: it ends a stream before it resets it.
  const url = await rawServer(() => [
    frame(headers, flags.endHeaders, 1, block),
    frame(data, 0, 1, Buffer.from(answer.subarray(0, 2))),
    resetFrame(1),
  ]);
  const error = await errorOf(clientOf(url).createJob({ kind: 'a' }));
  expect(errorFactsOf(error).unreachable).toBe(true);
});

test('an answer that is no message is the fault of the server', async () => {
  const url = await serverOf((stream) => {
    stream.respond(proto);
    stream.end(answer.subarray(0, 2));
  });
  expect((await errorOf(clientOf(url).createJob({ kind: 'a' }))).code).toBe(Code.Internal);
});

/** A server that never answers; tells with what code a call of it was ended. */
async function silence(): Promise<{ url: string; begun: Promise<void>; ended: Promise<number> }> {
  let begin = (): void => undefined;
  let end: (code: number) => void = () => undefined;
  const begun = new Promise<void>((resolve) => (begin = resolve));
  const ended = new Promise<number>((resolve) => (end = resolve));
  const url = await serverOf((stream) => {
    stream.on('close', () => end(stream.rstCode ?? 0));
    stream.resume();
    begin();
  });
  return { url, begun, ended };
}

test('who gives a call up is told so at once, and the server, too', async () => {
  const { url, begun, ended } = await silence();
  const controller = new AbortController();
  const failed = errorOf(clientOf(url).createJob({ kind: 'a' }, { signal: controller.signal }));
  await begun;
  controller.abort();
  expect((await failed).code).toBe(Code.Canceled);
  expect(await soon('the server to be told', ended)).toBe(8);
});

test('a call that was given up before it began is not made', async () => {
  let calls = 0;
  const url = await serverOf((stream) => {
    calls += 1;
    stream.respond(proto);
    stream.end(answer);
  });
  const jobs = clientOf(url);
  const error = await errorOf(jobs.createJob({ kind: 'a' }, { signal: AbortSignal.abort() }));
  expect(error.code).toBe(Code.Canceled);
  expect((await jobs.createJob({ kind: 'a' })).id).toBe('job_1');
  expect(calls).toBe(1);
});

test('a deadline is told to the server, and kept', async () => {
  const { url, ended } = await silence();
  const error = await errorOf(clientOf(url).createJob({ kind: 'a' }, { timeoutMs: 50 }));
  expect(error.code).toBe(Code.DeadlineExceeded);
  expect(await soon('the server to be told', ended)).toBe(8);
});

test('headers go and come with a call', async () => {
  let told: Record<string, unknown> = {};
  const url = await serverOf((stream, headers) => {
    told = headers;
    stream.respond({ ...proto, 'x-many': ['a', 'b'], 'trailer-x-late': 'c' });
    stream.end(answer);
  });
  const seen: Headers[] = [];
  await clientOf(`${url}/below/`, { 'x-all': 'all', 'x-both': 'the client' }).createJob(
    { kind: 'a' },
    {
      headers: { 'x-one': 'one', 'X-Both': 'the call' },
      timeoutMs: 60_000,
      onHeader: (header) => seen.push(header),
      onTrailer: (trailer) => seen.push(trailer),
    },
  );
  expect(told).toMatchObject({
    ':method': 'POST',
    ':path': '/below/muster.v1.JobService/CreateJob',
    'content-type': 'application/proto',
    'connect-protocol-version': '1',
    'connect-timeout-ms': '60000',
    'x-all': 'all',
    'x-one': 'one',
    'x-both': 'the client',
  });
  expect(seen.map((headers) => [headers.get('x-many'), headers.get('x-late')])).toEqual([
    ['a, b', null],
    [null, 'c'],
  ]);
});

test('messages larger than all windows go there and come back', async () => {
  const jobs = clientOf(app.current.url);
  const text = 'x'.repeat(1_000_000);
  const made = await Promise.all(
    Array.from({ length: 8 }, () => jobs.createJob({ kind: 'a', payload: valueOf(text) })),
  );
  const read = await Promise.all(made.map(({ id }) => jobs.getJob({ id })));
  expect(read.map(({ job }) => job?.payload)).toEqual(made.map(() => valueOf(text)));
});

test('what cannot be sent is the fault of the caller alone', async () => {
  const jobs = clientOf(app.current.url);
  await expect(jobs.createJob({ kind: 'a', priority: 1.5 })).rejects.toThrow('priority');
  await expect(jobs.createJob({ kind: 'a' }, { headers: { 'not a name': 'x' } })).rejects.toThrow('not a name');
  expect((await jobs.createJob({ kind: 'a' })).id).toMatch(/^job_/);
});
