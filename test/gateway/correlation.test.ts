import { describe, expect, test } from 'vitest';
import { rawRequest } from '../support/raw-http.js';
import { sharedTestApp } from '../support/shared-app.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';

const app = sharedTestApp({ logLevel: 'info', flags: { 'max-body': '1KiB' } });
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const service = '/muster.v1.JobService';
const unknown = 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV';

interface Request {
  readonly line: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly status: number;
}

/** One request for each kind of answer that there is over HTTP/1. */
const requests: Readonly<Record<string, Request>> = {
  'a success': { line: 'GET /v1/jobs', status: 200 },
  'a create': { line: 'POST /v1/jobs', body: '{"kind":"a"}', status: 201 },
  'no content': { line: 'OPTIONS /v1/jobs', status: 204 },
  HEAD: { line: 'HEAD /v1/jobs', status: 200 },
  health: { line: 'GET /healthz', status: 200 },
  'a bad field': { line: 'POST /v1/jobs', body: '{}', status: 400 },
  'malformed JSON': { line: 'POST /v1/jobs', body: '{', status: 400 },
  'a malformed path': { line: 'GET /v1/jobs/%zz', status: 400 },
  'a token': { line: 'GET /v1/jobs', headers: ['Authorization: Bearer x'], status: 401 },
  'a foreign host': { line: 'GET /v1/jobs', headers: ['Host: evil.example'], status: 403 },
  'no host': { line: 'GET /v1/jobs', headers: ['Host:'], status: 400 },
  'a foreign page': { line: 'GET /v1/jobs', headers: ['Origin: http://evil.example'], status: 403 },
  'an unknown path': { line: 'GET /v1/nothing', status: 404 },
  'an unknown id': { line: `GET /v1/jobs/${unknown}`, status: 404 },
  'a wrong method': { line: 'PUT /v1/jobs', status: 405 },
  'a body too large': { line: 'POST /v1/jobs', body: ' '.repeat(2048), status: 413 },
  'a wrong type': { line: 'POST /v1/jobs', headers: ['Content-Type: text/plain'], body: 'a', status: 415 },
  'Connect, fast': {
    line: `POST ${service}/ListJobs`,
    headers: ['Content-Type: application/json'],
    body: '{}',
    status: 200,
  },
  'Connect, general': {
    line: `POST ${service}/ListJobs`,
    headers: ['Content-Type: application/json; charset=utf8'],
    body: '{}',
    status: 200,
  },
  'Connect, GET': { line: `GET ${service}/ListJobs?connect=v1&encoding=json&message=%7B%7D`, status: 200 },
  'Connect, an error': {
    line: `POST ${service}/GetJob`,
    headers: ['Content-Type: application/json'],
    body: '{}',
    status: 404,
  },
  'Connect, a wrong method': { line: `PUT ${service}/GetJob`, status: 405 },
  'Connect, a wrong type': {
    line: `POST ${service}/GetJob`,
    headers: ['Content-Type: text/plain'],
    body: 'a',
    status: 415,
  },
  'gRPC-Web': {
    line: `POST ${service}/GetJob`,
    headers: ['Content-Type: application/grpc-web'],
    body: '\0\0\0\0\0',
    status: 200,
  },
  'an RPC that there is not': {
    line: `POST ${service}/Nothing`,
    headers: ['Content-Type: application/json'],
    body: '{}',
    status: 404,
  },
};

function send({ line, headers = [], body = '' }: Request, correlationId?: string) {
  const given = headers.some((header) => header.startsWith('Host:'));
  return rawRequest(
    app.current.url,
    [
      `${line} HTTP/1.1`,
      ...(given ? [] : [`Host: ${new URL(app.current.url).host}`]),
      ...headers,
      ...(body === '' ? [] : [`Content-Length: ${body.length}`]),
      ...(correlationId === undefined ? [] : [`X-Correlation-Id: ${correlationId}`]),
    ],
    body,
  );
}

describe.each(Object.entries(requests))('%s', (name, request) => {
  test('gives back the id that came, in header, body and log', async () => {
    const id = `given:${name.replaceAll(/[^a-zA-Z]/g, '-')}`;
    const answer = await send(request, id);
    expect(answer.status).toBe(request.status);
    expect(answer.headers['x-correlation-id']).toBe(id);
    if (answer.status >= 400 && answer.headers['content-type']?.startsWith('application/json; charset') === true) {
      expect(JSON.parse(answer.body)).toMatchObject({ correlation_id: id });
    }
    const lines = () =>
      app.current.logged.filter(({ corr_id }) => corr_id === id).map(({ event, status }) => [event, status]);
    await expect
      .poll(lines, { timeout: 30_000 })
      .toEqual([
        ['request_start', undefined],
        ...(request.status === 401 ? [['call_refused', undefined]] : []),
        ['request_end', request.status],
      ]);
  });

  test('makes one where none came', async () => {
    const [one, two] = [await send(request), await send(request)];
    expect(one.headers['x-correlation-id']).toMatch(uuid);
    expect(two.headers['x-correlation-id']).not.toBe(one.headers['x-correlation-id']);
  });
});

test.each(['', 'a b', 'a\tb', 'é', 'x'.repeat(129), 'a,b', '<script>', '"a"'])(
  '%j is none, and not given back',
  async (id) => {
    const answer = await send({ line: 'GET /v1/nothing', status: 404 }, id);
    expect(answer.headers['x-correlation-id']).toMatch(uuid);
    expect(JSON.parse(answer.body)).toMatchObject({ correlation_id: answer.headers['x-correlation-id'] });
  },
);

test.each(['a', 'A-Z_a.z:0', 'x'.repeat(128)])('%s is one', async (id) => {
  expect((await send({ line: 'GET /healthz', status: 200 }, id)).headers['x-correlation-id']).toBe(id);
});

test('two of them are none', async () => {
  const answer = await send({ line: 'GET /healthz', headers: ['X-Correlation-Id: a'], status: 200 }, 'b');
  expect(answer.headers['x-correlation-id']).toMatch(uuid);
});

describe('over HTTP/2', () => {
  const grpc = { 'content-type': 'application/grpc', te: 'trailers' };
  const get = framed(Buffer.concat([Buffer.of(10, unknown.length), Buffer.from(unknown)]));
  test.each<readonly [string, Record<string, string>, readonly Uint8Array[], number | string]>([
    ['REST', { ':method': 'GET', ':path': '/v1/jobs' }, [], 200],
    ['an unknown path', { ':method': 'GET', ':path': '/v1/nothing' }, [], 404],
    ['gRPC, fast', { ':path': `${service}/ListJobs`, ...grpc }, [framed(Buffer.alloc(0))], 0],
    ['gRPC, fast, an error', { ':path': `${service}/GetJob`, ...grpc }, [get], 5],
    [
      'gRPC, general',
      { ':path': `${service}/ListJobs`, ...grpc, 'grpc-encoding': 'gzip' },
      [framed(Buffer.alloc(0))],
      200,
    ],
    ['gRPC, general, an error', { ':path': `${service}/GetJob`, ...grpc, 'grpc-encoding': 'gzip' }, [get], 200],
    ['a stream', { ':path': `${service}/WatchJob`, ...grpc }, [get], 200],
    ['a foreign host', { ':method': 'GET', ':path': '/v1/jobs', ':authority': 'evil.example' }, [], 403],
    ['a foreign host, gRPC', { ':path': `${service}/GetJob`, ':authority': 'evil.example', ...grpc }, [get], 7],
  ])('%s', async (name, headers, pieces, status) => {
    const id = `two:${name.replaceAll(/[^a-zA-Z]/g, '-')}`;
    const session = openSession(app.current.url);
    const answer = await exchange(session, { ...headers, 'x-correlation-id': id }, pieces);
    expect(answer.headers['x-correlation-id']).toBe(id);
    const made = await exchange(session, headers, pieces);
    expect(made.headers['x-correlation-id']).toMatch(uuid);
    const lines = () =>
      app.current.logged.filter(({ corr_id }) => corr_id === id).map((line) => [line.event, line['status']]);
    await expect.poll(lines, { timeout: 30_000 }).toEqual([
      ['request_start', undefined],
      ['request_end', status],
    ]);
  });
});

test('what a request carries stays out of the log', async () => {
  await send({ line: 'GET /v1/jobs?kind=hush-1', headers: ['Authorization: Bearer hush-2'], status: 401 });
  await send({
    line: 'POST /v1/jobs',
    body: '{"kind":"a","payload":"hush-3","idempotency_key":"hush-4"}',
    status: 201,
  });
  expect(JSON.stringify(app.current.logged)).not.toContain('hush');
});
