import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createPort } from '../../src/platform/http/port.js';
import { createLog } from '../../src/platform/log.js';
import { connectRaw, rawRequest } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedLibrary } from '../support/fixtures/library.js';
import { openTrickle } from '../support/trickle.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';

const library = sharedLibrary();
const host = (): string => new URL(library.current.url).host;
const getBook = '/fixture.v1.LibraryService/GetBook';

async function stillServes(): Promise<void> {
  expect((await rest(library.current.url, 'GET', '/plain')).status).toBe(200);
}

describe('one port', () => {
  test('HTTP/1.1 and HTTP/2 side by side', async () => {
    const { url } = library.current;
    const session = openSession(url);
    const raw = await connectRaw(url);
    for (let turn = 0; turn < 3; turn++) {
      raw.write(`GET /v1/books/a HTTP/1.1\r\nHost: ${host()}\r\n\r\n`);
      const [one, two, rpc] = await Promise.all([
        raw.answer(),
        exchange(session, { ':method': 'GET', ':path': '/v1/books/a' }),
        exchange(session, { ':path': getBook, 'content-type': 'application/grpc' }, [framed(Buffer.of(10, 1, 97))]),
      ]);
      expect(one.status).toBe(200);
      expect(two.headers[':status']).toBe(200);
      expect(two.body.toString()).toBe(one.body);
      expect(rpc.trailers['grpc-status']).toBe('0');
    }
  });

  test('one byte at a time', async () => {
    const slow = await openTrickle(library.current.url);
    expect((await rest(slow, 'POST', '/v1/shelves/s/books', { title: 'T' })).status).toBe(201);
    const session = openSession(slow);
    const get = await exchange(session, { ':method': 'GET', ':path': '/v1/books/a', ':authority': host() });
    expect(get.headers[':status']).toBe(200);
    const rpc = { ':path': getBook, ':authority': host(), 'content-type': 'application/grpc' };
    expect((await exchange(session, rpc, [framed(Buffer.of(10, 1, 97))])).trailers['grpc-status']).toBe('0');
  });

  test('methods that begin like the HTTP/2 preface', async () => {
    for (const method of ['PROPFIND', 'PURGE', 'PUT', 'PATCH']) {
      expect((await rawRequest(library.current.url, [`${method} /plain HTTP/1.1`, `Host: ${host()}`])).status).toBe(
        405,
      );
    }
  });
});

describe('what is no HTTP', () => {
  test.each([
    ['noise', Buffer.of(0, 1, 2, 3, 255)],
    ['a TLS handshake', Buffer.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03)],
    ['a line of prose', Buffer.from('How do you do?\r\n\r\n')],
    ['HTTP/0.9', Buffer.from('GET /\r\n\r\n')],
    ['a method of nobody', Buffer.from('BREW /plain HTTP/1.1\r\nHost: localhost\r\n\r\n')],
    ['a header that is none', Buffer.from('GET /plain HTTP/1.1\r\nHost localhost\r\n\r\n')],
    [
      'two lengths',
      Buffer.from('POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'),
    ],
    [
      'a length and chunks',
      Buffer.from(
        'POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      ),
    ],
    [
      'chunks that are none',
      Buffer.from('POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'),
    ],
  ])('%s is answered with 400, and the connection closed', async (_name, bytes) => {
    const connection = await connectRaw(library.current.url);
    connection.write(bytes);
    const answer = await connection.answer();
    expect(answer).toMatchObject({ status: 400, headers: { connection: 'close' } });
    const body = JSON.parse(answer.body) as { correlation_id: string };
    expect(body).toMatchObject({ error: 'invalid_request', code: 400 });
    expect(answer.headers['x-correlation-id']).toBe(body.correlation_id);
    expect((await connection.closed()).length).toBe(0);
    await stillServes();
  });

  test.each([
    ['a preface that goes wrong', 'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n'],
    ['a method that begins like it', 'PRINT /plain HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a preface with noise behind it', `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\xff'.repeat(40)}`],
  ])('%s closes the connection', async (_name, bytes) => {
    const connection = await connectRaw(library.current.url);
    connection.write(Buffer.from(bytes, 'latin1'));
    await connection.closed();
    await stillServes();
  });

  test.each([
    ['nothing', ''],
    ['half a preface', 'PR'],
    ['half a request', 'GET /plain HTTP/1.1\r\nHo'],
    ['a preface and no more', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('a caller who says %s and leaves is let go', async (_name, bytes) => {
    const connection = await connectRaw(library.current.url);
    if (bytes !== '') connection.write(bytes);
    connection.socket.end();
    await connection.closed();
    await stillServes();
  });

  test('a caller who resets the connection', async () => {
    for (const bytes of ['', 'P', 'GET /v1/books/a HTTP/1.1\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']) {
      const connection = await connectRaw(library.current.url);
      if (bytes !== '') connection.write(bytes);
      connection.socket.resetAndDestroy();
    }
    await stillServes();
  });
});

/** The same request by every way in. Answers the HTTP statuses, or what the gRPC status maps to. */
async function knock(headers: readonly string[], authority: string | undefined, origin?: string): Promise<number[]> {
  const { url } = library.current;
  const lines = [...headers, ...(origin === undefined ? [] : [`Origin: ${origin}`])];
  const body = '{"id":"a"}';
  const answers = [
    await rawRequest(url, ['GET /v1/books/a HTTP/1.1', ...lines]),
    await rawRequest(url, ['GET /plain HTTP/1.1', ...lines]),
    await rawRequest(url, ['GET /v1/nothing%zz HTTP/1.1', ...lines]),
    await rawRequest(
      url,
      [`POST ${getBook} HTTP/1.1`, ...lines, 'Content-Type: application/json', 'Content-Length: 10'],
      body,
    ),
    await rawRequest(url, [
      `POST ${getBook} HTTP/1.1`,
      ...lines,
      'Content-Type: application/grpc-web',
      'Content-Length: 0',
    ]),
  ];
  const session = openSession(url);
  const two = {
    ...(authority === undefined ? {} : { ':authority': authority }),
    ...(origin === undefined ? {} : { origin }),
  };
  const get = await exchange(session, { ':method': 'GET', ':path': '/v1/books/a', ...two });
  const connect = await exchange(session, { ':path': getBook, 'content-type': 'application/json', ...two }, [
    Buffer.from(body),
  ]);
  const grpc = await exchange(session, { ':path': getBook, 'content-type': 'application/grpc', ...two }, [
    framed(Buffer.of(10, 1, 97)),
  ]);
  const code = { ...grpc.headers, ...grpc.trailers }['grpc-status'];
  return [
    ...answers.map(({ status }) => status),
    Number(get.headers[':status']),
    Number(connect.headers[':status']),
    code === '0' ? 200 : code === '7' ? 403 : code === '3' ? 400 : Number(code),
  ];
}

/** What a request that is let in gets: the third is malformed all the same, the fifth has no message. */
const letIn = [200, 200, 400, 200, 200, 200, 200, 200];

describe('Host', () => {
  test.each([
    'localhost',
    'localhost:1234',
    'LOCALHOST',
    '127.0.0.1',
    '127.8.9.10:80',
    '[::1]',
    '[::1]:80',
    'app.localhost',
  ])('%s is this machine', async (name) => {
    expect(await knock([`Host: ${name}`], name)).toEqual(letIn);
  });

  test.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.nip.io',
    'evillocalhost',
    '10.0.0.1',
    '0.0.0.0',
    '127.1',
    '[::2]',
  ])('%s is another', async (name) => {
    expect(await knock([`Host: ${name}`], name)).toEqual(letIn.map(() => 403));
  });

  test.each(['a b', 'user@localhost', 'localhost/', 'localhost:port', 'localhost:1:2', '[::1', '::1', '?'])(
    '%s is none',
    async (name) => {
      const { url } = library.current;
      const answer = await rawRequest(url, ['GET /v1/books/a HTTP/1.1', `Host: ${name}`]);
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body)).toMatchObject({
        message: 'Host: missing or malformed',
        details: { field: 'Host' },
      });
      const rpc = await rawRequest(
        url,
        [`POST ${getBook} HTTP/1.1`, `Host: ${name}`, 'Content-Type: application/json', 'Content-Length: 10'],
        '{"id":"a"}',
      );
      expect(rpc.status).toBe(400);
    },
  );

  test('none at all', async () => {
    const { url } = library.current;
    for (const head of [
      ['GET /v1/books/a HTTP/1.1'],
      ['GET /v1/books/a HTTP/1.0'],
      [`POST ${getBook} HTTP/1.1`],
      ['GET / HTTP/1.1', 'Host:'],
    ]) {
      const answer = await rawRequest(url, head);
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body)).toMatchObject({
        message: 'Host: missing or malformed',
        details: { field: 'Host' },
      });
      expect(answer.headers['x-correlation-id']).toBeTruthy();
    }
    await stillServes();
  });
});

describe('Origin', () => {
  test.each([
    'http://localhost:3000',
    'https://localhost',
    'http://127.0.0.1',
    'http://[::1]:80',
    'http://app.localhost',
  ])('%s is a page of this machine', async (origin) => {
    expect(await knock(['Host: localhost'], 'localhost', origin)).toEqual(letIn);
  });

  test.each([
    'http://evil.example',
    'null',
    'file://',
    'http://localhost@evil.example',
    'http://localhost.evil.example',
    'ws://localhost',
    '',
  ])('%s is not', async (origin) => {
    expect(await knock(['Host: localhost'], 'localhost', origin)).toEqual(letIn.map(() => 403));
  });

  test('no answer invites pages of other hosts', async () => {
    const answer = await rawRequest(library.current.url, [
      'OPTIONS /v1/books/a HTTP/1.1',
      'Host: localhost',
      'Origin: http://localhost:3000',
      'Access-Control-Request-Method: PUT',
    ]);
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });
});

describe('HTTP/1', () => {
  const get = (path: string, ...more: readonly string[]): string =>
    [`GET ${path} HTTP/1.1`, `Host: ${host()}`, ...more, '', ''].join('\r\n');

  test('requests that come all at once are answered in order', async () => {
    const connection = await connectRaw(library.current.url);
    const body = '{"title":"T"}';
    connection.write(
      [
        get('/v1/books/a'),
        `POST /v1/shelves/s/books HTTP/1.1\r\nHost: ${host()}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        get('/v1/nothing'),
        get('/v1/books/b'),
      ].join(''),
    );
    const answers = [];
    for (let count = 0; count < 4; count++) answers.push(await connection.answer());
    expect(answers.map(({ status }) => status)).toEqual([200, 201, 404, 200]);
    expect(answers.map(({ body: text }) => (JSON.parse(text) as { id?: string }).id)).toEqual([
      'a',
      'new/1:2 é',
      undefined,
      'b',
    ]);
  });

  test('a connection stays until it is to be closed', async () => {
    const connection = await connectRaw(library.current.url);
    for (const path of ['/v1/books/a', '/v1/nothing', '/v1/books/b']) {
      connection.write(get(path));
      expect((await connection.answer()).headers['connection']).toBe('keep-alive');
    }
    connection.write(get('/v1/books/c', 'Connection: close'));
    expect((await connection.answer()).headers['connection']).toBe('close');
    expect((await connection.closed()).length).toBe(0);
  });

  test('HTTP/1.0', async () => {
    const connection = await connectRaw(library.current.url);
    connection.write(`GET /v1/books/a HTTP/1.0\r\nHost: ${host()}\r\n\r\n`);
    expect(await connection.answer()).toMatchObject({ status: 200, headers: { connection: 'close' } });
    await connection.closed();

    const kept = await connectRaw(library.current.url);
    for (let turn = 0; turn < 2; turn++) {
      kept.write(`GET /v1/books/a HTTP/1.0\r\nHost: ${host()}\r\nConnection: keep-alive\r\n\r\n`);
      expect(await kept.answer()).toMatchObject({ status: 200, headers: { connection: 'keep-alive' } });
    }
  });

  test('Expect: 100-continue', async () => {
    const connection = await connectRaw(library.current.url);
    const body = '{"title":"T"}';
    connection.write(
      `POST /v1/shelves/s/books HTTP/1.1\r\nHost: ${host()}\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    expect((await connection.answer()).status).toBe(100);
    connection.write(body);
    expect((await connection.answer()).status).toBe(201);
  });

  test.each([
    ['h2c', ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA']],
    [
      'websocket',
      [
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      ],
    ],
  ])('Upgrade: %s is not taken up', async (_name, headers) => {
    const connection = await connectRaw(library.current.url);
    for (const path of ['/v1/books/a', '/plain']) {
      connection.write(get(path, ...headers));
      expect((await connection.answer()).status).toBe(200);
    }
  });

  test('CONNECT is no method here', async () => {
    const connection = await connectRaw(library.current.url);
    connection.write(`CONNECT ${host()} HTTP/1.1\r\nHost: ${host()}\r\n\r\n`);
    await connection.closed();
    await stillServes();
  });
});

test('a request whose head never ends is given up', async () => {
  const port = createPort(
    {
      log: createLog('silent'),
      tls: undefined,
      maxHeaderBytes: 1024,
      maxHeaderCount: 10,
      maxConcurrentStreams: 1,
      requestTimeoutMs: 200,
      connectionLimit: undefined,
      maxInFlightBytes: 64 * 1024 * 1024,
    },
    () => undefined,
    { onStream: () => false, onWebSocket: () => false, streamingOf: () => 'none', onLate: () => undefined },
  );
  onTestFinished(() => port.close(0));
  await new Promise<void>((resolve) => port.server.listen(0, '127.0.0.1', resolve));
  const { port: number } = port.server.address() as AddressInfo;
  const caller = await connectRaw(`http://127.0.0.1:${number}`);
  caller.write('GET / HTTP/1.1\r\nHost: loc');
  expect(await caller.answer()).toMatchObject({ status: 408, headers: { connection: 'close' } });
  await caller.closed();
});
