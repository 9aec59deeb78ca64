import { create, fromBinary, type JsonObject, toBinary, toJson } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { ErrorInfoSchema } from '../../gen/muster/v1/errors_pb.js';
import { GetJobRequestSchema, GetJobResponseSchema } from '../../gen/muster/v1/jobs_pb.js';
import { connectRaw, type RawAnswer, rawRequest } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { exchange, openSession } from '../support/wire/raw-grpc.js';

const maxMessage = 64 * 1024;
const app = sharedTestApp({ flags: { 'max-message': `${maxMessage}` }, logLevel: 'info' });
const service = '/muster.v1.JobService';
const id = 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV';

const types = { json: 'application/json', proto: 'application/proto' };
/** Say the same, but are not what the fast path looks for. */
const generalTypes = { json: 'application/json; charset=utf8', proto: 'Application/Proto' };

interface Case {
  readonly format?: keyof typeof types;
  readonly method?: string;
  readonly headers?: readonly string[];
  readonly body: string | Uint8Array;
  readonly status: number;
  readonly code: string;
}

const post = (path: string, type: string, headers: readonly string[], body: string | Uint8Array): Promise<RawAnswer> =>
  rawRequest(
    app.current.url,
    [
      `POST ${service}/${path} HTTP/1.1`,
      `Host: ${new URL(app.current.url).host}`,
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      'X-Correlation-Id: c',
      ...headers,
    ],
    body,
  );

interface ConnectErrorBody {
  readonly code: string;
  readonly message: string;
  readonly details?: readonly { type: string; value: string; debug?: unknown }[];
}

/** An error's body with its details read. */
function errorOf({ body }: RawAnswer): { code: string; message: string; info: unknown } {
  const { code, message, details = [] } = JSON.parse(body) as ConnectErrorBody;
  const value = details.find(({ type }) => type === 'muster.v1.ErrorInfo')?.value;
  const info = value && toJson(ErrorInfoSchema, fromBinary(ErrorInfoSchema, Buffer.from(value, 'base64')));
  return { code, message, info };
}

describe('the fast path says what connect-node says of', () => {
  const request = JSON.stringify({ id });
  const binary = toBinary(GetJobRequestSchema, create(GetJobRequestSchema, { id }));
  const notFound = { status: 404, code: 'not_found' };
  const invalid = { status: 400, code: 'invalid_argument' };
  const timeout = (value: string) => ({ headers: [`Connect-Timeout-Ms: ${value}`], body: request });
  const cases: Readonly<Record<string, Case>> = {
    'an unknown job': { body: request, ...notFound },
    'an unknown job, in binary': { format: 'proto', body: binary, ...notFound },
    'a field from the future': { body: `{"id":"${id}","future":[1]}`, ...notFound },
    'a field given by its JSON name and null': { method: 'ListJobs', body: '{"limit":null,"cursor":"x"}', ...invalid },
    'an empty object': { body: '{}', ...notFound },
    'an empty message': { format: 'proto', body: '', ...notFound },
    'a byte order mark': { body: `\ufeff${request}`, ...notFound },
    'an Authorization header': {
      headers: ['Authorization: Bearer x'],
      body: request,
      status: 401,
      code: 'unauthenticated',
    },
    'another version of the protocol': { headers: ['Connect-Protocol-Version: 2'], body: request, ...notFound },
    'Content-Encoding: identity': { headers: ['Content-Encoding: identity'], body: request, ...notFound },
    'no body': { body: '', ...invalid },
    'malformed JSON': { body: '{', ...invalid },
    'an array': { body: '[]', ...invalid },
    'a field of the wrong type': { body: '{"id":1}', ...invalid },
    'an enum value of nobody': { method: 'ListJobs', body: '{"status":[99]}', ...invalid },
    'a message over the limit': {
      body: `{"id":"${'x'.repeat(maxMessage)}"}`,
      status: 429,
      code: 'resource_exhausted',
    },
    'no time at all': { ...timeout('0'), status: 504, code: 'deadline_exceeded' },
    'plenty of time': { ...timeout('600000'), ...notFound },
    'more time than is allowed': { ...timeout('600001'), ...invalid },
    'a timeout that is no number': { ...timeout('1s'), ...invalid },
    'a negative timeout': { ...timeout('-1'), ...invalid },
    'a timeout with eleven digits': { ...timeout('12345678901'), ...invalid },
    'an empty timeout': { ...timeout(''), ...invalid },
  };
  test.each(Object.entries(cases))(
    '%s',
    async (_name, { format = 'json', method = 'GetJob', headers = [], body, ...told }) => {
      const fast = await post(method, types[format], headers, body);
      const slow = await post(method, generalTypes[format], headers, body);
      expect({ status: fast.status, code: errorOf(fast).code }).toEqual({ status: told.status, code: told.code });
      expect({ status: slow.status, code: errorOf(slow).code }).toEqual({ status: told.status, code: told.code });
      expect(errorOf(fast)).toEqual(errorOf(slow));
      expect(errorOf(fast).info).toMatchObject({ correlationId: 'c' });
      for (const name of ['content-type', 'x-correlation-id']) expect(fast.headers[name]).toBe(slow.headers[name]);
      expect(fast.headers).toMatchObject({ 'content-type': 'application/json', 'x-correlation-id': 'c' });
    },
  );

  test('a success', async () => {
    const made = await rest(app.current.url, 'POST', '/v1/jobs', { kind: 'read', payload: [{ a: 'é' }, 1.5, null] });
    const job = { id: (made.json as { id: string }).id };
    const fast = await post('GetJob', types.json, [], JSON.stringify(job));
    const slow = await post('GetJob', generalTypes.json, [], JSON.stringify(job));
    expect(fast.body).toBe(slow.body);
    expect(fast.headers['content-type']).toBe(slow.headers['content-type']);

    const message = Buffer.from(toBinary(GetJobRequestSchema, create(GetJobRequestSchema, job)));
    const session = openSession(app.current.url);
    const [fastBinary, slowBinary] = await Promise.all(
      [types.proto, generalTypes.proto].map((type) =>
        exchange(session, { ':path': `${service}/GetJob`, 'content-type': type }, [message]),
      ),
    );
    expect(fastBinary?.body).toEqual(slowBinary?.body);
    expect(fastBinary?.headers['content-type']).toBe('application/proto');
    const decoded = toJson(GetJobResponseSchema, fromBinary(GetJobResponseSchema, fastBinary?.body ?? Buffer.alloc(0)));
    expect(decoded).toEqual(JSON.parse(fast.body) as JsonObject);
  });

  test('a deadline that passes in mid call', async () => {
    const body = '{"workerId":"w","kinds":["none"],"waitSec":60}';
    const headers = ['Connect-Timeout-Ms: 50'];
    const fast = await post('ClaimJobs', types.json, headers, body);
    const slow = await post('ClaimJobs', generalTypes.json, headers, body);
    expect(errorOf(fast)).toEqual(errorOf(slow));
    expect(errorOf(fast)).toMatchObject({ code: 'deadline_exceeded', info: { error: 'deadline_exceeded', code: 504 } });
    expect([fast.status, slow.status]).toEqual([504, 504]);
  });
});

// connect-node calls this a fault of its own (500 internal); here it is the caller's.
test.each([types.proto, generalTypes.proto])('a message that is none, as %s, is refused as such', async (type) => {
  const answer = await post('GetJob', type, [], Buffer.of(0x0a, 0xff));
  expect(errorOf(answer)).toMatchObject({ code: 'invalid_argument', info: { error: 'invalid_request' } });
});

test('a message over the limit that comes in chunks of unknown number', async () => {
  const connection = await connectRaw(app.current.url);
  const { host } = new URL(app.current.url);
  connection.write(
    `POST ${service}/GetJob HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  const chunk = `4000\r\n${' '.repeat(0x4000)}\r\n`;
  for (let sent = 0; sent <= maxMessage; sent += 0x4000) connection.write(chunk);
  const answer = await connection.answer();
  expect(errorOf(answer)).toMatchObject({
    code: 'resource_exhausted',
    info: { error: 'too_large', details: { max_bytes: maxMessage } },
  });
});

describe('what is no unary Connect call', () => {
  const body = JSON.stringify({ id });
  const call = (lines: readonly string[], sent = body) =>
    rawRequest(
      app.current.url,
      [...lines, `Host: ${new URL(app.current.url).host}`, `Content-Length: ${Buffer.byteLength(sent)}`],
      sent,
    );
  test('GET of a method with side effects', async () => {
    const answer = await call([`GET ${service}/CreateJob?encoding=json&message=%7B%7D HTTP/1.1`], '');
    expect(answer).toMatchObject({ status: 405, headers: { allow: 'POST' } });
  });

  test('GET of one without', async () => {
    const message = encodeURIComponent(body);
    const answer = await call([`GET ${service}/GetJob?connect=v1&encoding=json&message=${message} HTTP/1.1`], '');
    expect(answer.status).toBe(404);
    expect(errorOf(answer)).toMatchObject({ code: 'not_found', info: { error: 'not_found' } });
  });

  test.each(['text/plain', 'application/xml', 'application/json; charset=latin1', 'application/connect+json'])(
    '415 for %s',
    async (type) => {
      const answer = await call([`POST ${service}/GetJob HTTP/1.1`, `Content-Type: ${type}`]);
      expect(answer.status).toBe(415);
    },
  );

  test('an unknown method is a path that leads nowhere', async () => {
    const answer = await call([`POST ${service}/NoSuchMethod HTTP/1.1`, 'Content-Type: application/json']);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body)).toMatchObject({
      error: 'not_found',
      message: `No such path: ${service}/NoSuchMethod`,
    });
  });
});

describe('a caller who hangs up in mid call', () => {
  test.each([
    ['fast', types.json],
    ['general', generalTypes.json],
  ])('%s path, HTTP/1.1: the next worker gets the job', async (name, type) => {
    const kind = `hung-up-1-${name}`;
    const body = JSON.stringify({ workerId: 'w', kinds: [kind], waitSec: 60 });
    const connection = await connectRaw(app.current.url);
    connection.write(
      [
        `POST ${service}/ClaimJobs HTTP/1.1`,
        `Host: ${new URL(app.current.url).host}`,
        `Content-Type: ${type}`,
        `Content-Length: ${body.length}`,
        `X-Correlation-Id: ${kind}`,
        '',
        body,
      ].join('\r\n'),
    );
    await hangUp(kind, () => connection.socket.destroy());
  });

  test.each([
    ['fast', types.json, 'ClaimJobs'],
    ['general', generalTypes.json, 'ClaimJobs'],
    ['REST', types.json, undefined],
  ])('%s, HTTP/2: the next worker gets the job', async (name, type, method) => {
    const kind = `hung-up-2-${name}`;
    const wait = method === undefined ? { worker_id: 'w', wait_sec: 60 } : { workerId: 'w', waitSec: 60 };
    const stream = openSession(app.current.url).request({
      ':method': 'POST',
      ':path': method === undefined ? '/v1/jobs/claim' : `${service}/${method}`,
      'content-type': type,
      'x-correlation-id': kind,
    });
    stream.on('error', () => undefined);
    stream.end(JSON.stringify({ kinds: [kind], ...wait }));
    await hangUp(kind, () => stream.close(8));
  });

  test('the whole session breaks', async () => {
    const kind = 'hung-up-session';
    const session = openSession(app.current.url);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/v1/jobs/claim',
      'content-type': 'application/json',
      'x-correlation-id': kind,
    });
    stream.on('error', () => undefined);
    stream.end(JSON.stringify({ kinds: [kind], worker_id: 'w', wait_sec: 60 }));
    await hangUp(kind, () => session.destroy());
  });
});

/** Hangs up once the server has the call, waits until it has noticed, and sees who gets the next job. */
async function hangUp(kind: string, act: () => void): Promise<void> {
  const lines = () =>
    app.current.logged.filter(({ corr_id }) => corr_id === kind).map(({ event, status }) => status ?? event);
  await expect.poll(lines, { timeout: 30_000 }).toEqual(['request_start']);
  act();
  await expect.poll(lines, { timeout: 30_000 }).toEqual(['request_start', 'aborted']);
  await rest(app.current.url, 'POST', '/v1/jobs', { kind });
  const next = await rest(app.current.url, 'POST', '/v1/jobs/claim', {
    worker_id: 'next',
    kinds: [kind],
    wait_sec: 60,
  });
  expect(next.json).toMatchObject([{ kind, attempts: 1 }]);
}

test('over HTTP/2, too, the log has the status of what was answered', async () => {
  const session = openSession(app.current.url);
  for (const [correlationId, path] of [
    ['status-2-rest', '/v1/jobs'],
    ['status-2-rpc', `${service}/ListJobs`],
  ] as const) {
    await exchange(
      session,
      {
        ':method': path.startsWith('/v1') ? 'GET' : 'POST',
        ':path': path,
        'content-type': types.json,
        'x-correlation-id': correlationId,
      },
      path.startsWith('/v1') ? [] : [Buffer.from('{}')],
    );
    const lines = () =>
      app.current.logged
        .filter((line) => line['corr_id'] === correlationId && line.event === 'request_end')
        .map(({ status }) => status);
    await expect.poll(lines, { timeout: 30_000 }).toEqual([200]);
  }
});
