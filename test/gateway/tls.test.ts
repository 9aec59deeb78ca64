import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TLSSocket } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { EventService } from '../../gen/muster/v1/events_pb.js';
import { JobService } from '../../gen/muster/v1/jobs_pb.js';
import type { TlsFiles } from '../../src/platform/http/tls.js';
import { launchTestApp, startTestApp, type TestApp } from '../support/app.js';
import { makeTempDir } from '../support/built-server.js';
import { createAuthority, writeCertificate } from '../support/certificates.js';
import { connectRaw, rawRequest } from '../support/raw-http.js';
import { soon, until } from '../support/until.js';
import { commonNameOf, handshake, openTlsCaller, openTlsSession } from '../support/tls-clients.js';
import { openWebSocket } from '../support/websocket.js';
import { runBuf } from '../support/wire/buf-curl-api.js';
import { methodOf } from '../support/wire/grpc-js-api.js';
import { exchange } from '../support/wire/raw-grpc.js';

const authority = createAuthority();
const { ca } = authority;
const first = authority.issue('first');

interface TlsApp extends TestApp {
  readonly files: TlsFiles;
}

async function launchTlsApp(dir: string, flags: Readonly<Record<string, string>> = {}): Promise<TlsApp> {
  const files = await writeCertificate(dir, first);
  const app = await launchTestApp({
    flags: { 'tls-cert': files.cert, 'tls-key': files.key, ...flags },
    logLevel: 'debug',
  });
  expect(app.url).toMatch(/^https:/);
  return { ...app, files };
}

/** For a test that changes its certificate, stops it, or reads what it logs. */
async function startTlsApp(flags?: Readonly<Record<string, string>>): Promise<TlsApp> {
  const app = await launchTlsApp(await makeTempDir(), flags);
  onTestFinished(() => app.stop());
  return app;
}

/** One for all tests of a `describe` or of this file. */
function sharedTlsApp(flags?: Readonly<Record<string, string>>): { readonly current: TlsApp } {
  let app: TlsApp | undefined;
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'muster-test-'));
    app = await launchTlsApp(dir, flags);
  });
  afterAll(async () => {
    await app?.stop();
    await rm(dir, { recursive: true });
  });
  return {
    get current() {
      if (app === undefined) throw new Error('the server has not been started yet');
      return app;
    },
  };
}

const shared = sharedTlsApp();

// That nobody needs a token shows that the peer's address is known.
describe('every way in', () => {
  test('REST over HTTP/1.1 and HTTP/2', async () => {
    const { url } = shared.current;
    const caller = openTlsCaller(url, ca);
    const created = await caller.call('POST', '/v1/jobs', { kind: 'build' });
    expect(created.status).toBe(201);
    const { id } = JSON.parse(created.text) as { id: string };
    expect((await caller.call('GET', `/v1/jobs/${id}`)).status).toBe(200);
    const session = openTlsSession(url, ca);
    const read = await exchange(session, { ':method': 'GET', ':path': `/v1/jobs/${id}` });
    expect(read.headers[':status']).toBe(200);
    expect((session.socket as TLSSocket).alpnProtocol).toBe('h2');
  });

  test.each<readonly [string, (url: string) => Transport]>([
    ['gRPC', (baseUrl) => createGrpcTransport({ baseUrl, nodeOptions: { ca } })],
    ['gRPC-Web', (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { ca } })],
    ['Connect', (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { ca } })],
    ['Connect, HTTP/2', (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '2', nodeOptions: { ca } })],
  ])('%s, unary and streams', async (_name, transportTo) => {
    const { url } = shared.current;
    const transport = transportTo(url);
    const jobs = createClient(JobService, transport);
    const { id } = await jobs.createJob({ kind: 'build' });
    expect((await jobs.getJob({ id })).job?.id).toBe(id);
    const given = new AbortController();
    const events = createClient(EventService, transport).subscribeEvents({ after: 0n }, { signal: given.signal });
    for await (const { events: some } of events) {
      if (some.length > 0) break;
    }
    given.abort();
  });

  test('@grpc/grpc-js', async () => {
    const { url } = shared.current;
    const client = new grpc.Client(new URL(url).host, grpc.credentials.createSsl(Buffer.from(ca)));
    onTestFinished(() => client.close());
    const { path, requestSerialize, responseDeserialize } = methodOf('CreateJob');
    const answer = await new Promise((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { kind: 'build' }, (error, value) =>
        error === null ? resolve(value) : reject(error),
      );
    });
    expect(answer).toMatchObject({ id: expect.any(String) as string });
  });

  test.each(['connect', 'grpc', 'grpcweb'])('buf curl, %s', async (protocol) => {
    const { url, files } = shared.current;
    await writeFile(`${files.cert}.ca`, ca);
    const { code, stderr } = await runBuf(
      [
        ...['curl', '--cacert', `${files.cert}.ca`, '--schema', 'proto', '--protocol', protocol],
        ...['-d', '{"kind":"build"}', `${url}/muster.v1.JobService/CreateJob`],
      ],
      '',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  test('server-sent events and WebSockets', async () => {
    const { url } = shared.current;
    await openTlsCaller(url, ca).call('POST', '/v1/jobs', { kind: 'build' });
    const socket = await handshake(url, { ca });
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.write('GET /api/events/subscribe?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('the event has come', () => text.includes('JobQueued'));
    const web = openWebSocket(url, '/api/events/stream', { ca });
    await web.opened;
    web.send({ type: 'subscribe', after: 0 });
    await web.until('the event has come', (messages) => messages.some(({ type }) => type === 'event'));
  });
});

describe('the handshake', () => {
  test.each([
    [['h2', 'http/1.1'], 'h2'],
    [['http/1.1', 'h2'], 'h2'],
    [['http/1.1'], 'http/1.1'],
    [[], false],
  ])('agrees on a protocol: %j', async (ALPNProtocols, agreed) => {
    const { url } = shared.current;
    expect((await handshake(url, { ca, ALPNProtocols })).alpnProtocol).toBe(agreed);
  });

  test('of TLS 1.2 and 1.3, and nothing older', async () => {
    const { url } = shared.current;
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await handshake(url, { ca, minVersion: version, maxVersion: version });
      expect(socket.getProtocol()).toBe(version);
    }
    const old = handshake(url, { ca, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
    await expect(old).rejects.toThrow(/protocol version/);
  });

  describe('that goes no further', () => {
    const impatient = sharedTlsApp({ 'request-timeout': '300ms' });
    test.each([
      ['that does not begin', Buffer.alloc(0)],
      ['of which half has come', Buffer.of(0x16, 0x03, 0x01, 0x02, 0x00, 0x01)],
    ])('%s is given up', async (_name, bytes) => {
      const { url } = impatient.current;
      const connection = await connectRaw(url);
      connection.write(bytes);
      await soon('the end', connection.closed());
    });
  });

  test('that goes wrong is told to the log, and nobody else is the worse for it', async () => {
    const app = await startTlsApp();
    await expect(handshake(app.url, { ca: createAuthority().ca })).rejects.toThrow(/certificate/);
    const noise = await connectRaw(app.url);
    noise.write(Buffer.concat([Buffer.of(0x16, 0x03, 0x01, 0x00, 0x10), Buffer.alloc(16, 0xff)]));
    await noise.closed();
    await until('it is logged', () => app.logged.some(({ event }) => event === 'tls_handshake_failed'));
    expect((await openTlsCaller(app.url, ca).call('GET', '/healthz')).status).toBe(200);
  });
});

test.each([
  ['a request', 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['half a request', 'GE'],
  ['HTTP/2 with prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['noise', '\0\0\0'],
])('plain HTTP is answered with 400 and closed: %s', async (_name, bytes) => {
  const { url } = shared.current;
  const connection = await connectRaw(url);
  connection.write(bytes);
  const answer = await connection.answer();
  expect(answer).toMatchObject({ status: 400, headers: { connection: 'close' } });
  expect(JSON.parse(answer.body)).toMatchObject({
    error: 'invalid_request',
    message: expect.stringContaining('https') as string,
  });
  // It does not wait for a caller who stays.
  await until('the connection is gone', () => connection.socket.destroyed || connection.socket.readableEnded);
  await connection.closed();
  expect((await openTlsCaller(url, ca).call('GET', '/healthz')).status).toBe(200);
});

test('plain HTTP over TLS that is none is answered like anywhere', async () => {
  const { url } = shared.current;
  const socket = await handshake(url, { ca });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  socket.write('How do you do?\r\n\r\n');
  await new Promise((resolve) => socket.once('close', resolve));
  expect(text).toMatch(/^HTTP\/1\.1 400 /);
});

describe('reload', () => {
  test('new connections get the new certificate, open ones live on', async () => {
    const app = await startTlsApp();
    const kept = openTlsCaller(app.url, ca);
    const session = openTlsSession(app.url, ca);
    expect((await kept.call('GET', '/healthz')).server).toBe('first');
    const get = { ':method': 'GET', ':path': '/healthz' };
    expect((await exchange(session, get)).headers[':status']).toBe(200);

    await writeCertificate(dirOf(app.files), authority.issue('second'));
    app.app.reload();
    expect(app.logged.at(-1)).toMatchObject({ event: 'tls_reloaded', subject: 'CN=second' });
    expect((await kept.call('GET', '/healthz')).server).toBe('first');
    expect((await exchange(session, get)).headers[':status']).toBe(200);
    expect((await openTlsCaller(app.url, ca).call('GET', '/healthz')).server).toBe('second');
    const anew = await handshake(app.url, { ca, ALPNProtocols: ['h2'], minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' });
    expect(commonNameOf(anew)).toBe('second');
    await expect(
      handshake(app.url, { ca, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ).rejects.toThrow(/protocol version/);
  });

  test.each<readonly [string, (files: TlsFiles) => Promise<void>, RegExp]>([
    ['a certificate that is none', ({ cert }) => writeFile(cert, 'nonsense'), /MUSTER_TLS_CERT: '.*cert\.pem'/],
    ['half a certificate', ({ cert }) => writeFile(cert, authority.issue('x').cert.slice(0, 300)), /MUSTER_TLS_CERT/],
    ['a key that is none', ({ key }) => writeFile(key, ''), /MUSTER_TLS_KEY: '.*key\.pem'/],
    ['the key of another', ({ key }) => writeFile(key, authority.issue('x').key), /MUSTER_TLS_KEY: .* is not the key/],
  ])('with %s keeps the old one and says why', async (_name, spoil, words) => {
    const app = await startTlsApp();
    await spoil(app.files);
    app.app.reload();
    const line = app.logged.at(-1);
    expect(line).toMatchObject({ event: 'tls_reload_failed', level: 'ERROR' });
    expect(line?.['message']).toMatch(words);
    expect((await openTlsCaller(app.url, ca).call('GET', '/healthz')).server).toBe('first');
    await writeCertificate(dirOf(app.files), authority.issue('third'));
    app.app.reload();
    expect((await openTlsCaller(app.url, ca).call('GET', '/healthz')).server).toBe('third');
  });

  test('without TLS there is nothing to do, which the log tells', async () => {
    const app = await startTestApp({ logLevel: 'info' });
    app.app.reload();
    expect(app.logged.at(-1)).toMatchObject({ event: 'nothing_to_reload' });
    expect((await rawRequest(app.url, ['GET /healthz HTTP/1.1', 'Host: localhost'])).status).toBe(200);
  });
});

test('the stop closes idle connections and lets what is under way end', async () => {
  const app = await startTlsApp({ 'shutdown-grace': '60s' });
  const caller = openTlsCaller(app.url, ca);
  await caller.call('GET', '/healthz');
  const idle = openTlsSession(app.url, ca);
  await exchange(idle, { ':method': 'GET', ':path': '/healthz' });
  const half = await handshake(app.url, { ca });
  let text = '';
  half.on('data', (chunk: Buffer) => (text += chunk.toString()));
  half.write(
    'POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"kind"',
  );
  await until('it is under way', () => app.logged.some(({ method }) => method === 'POST'));
  const stopped = app.stop();
  const silent = connect({ host: '127.0.0.1', port: Number(new URL(app.url).port) });
  silent.on('error', () => undefined);
  half.write(':"build"}');
  await until('it is answered', () => text.includes('HTTP/1.1 201'));
  await soon('the stop', stopped);
});

function dirOf({ cert }: TlsFiles): string {
  return cert.slice(0, cert.lastIndexOf('/'));
}
