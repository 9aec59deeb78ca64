import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { connectRaw, rawRequest } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';

const app = sharedTestApp();
const id = 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV';
const json = { 'content-type': 'application/json' };

function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  return rest(app.current.url, method, path, body, { 'x-correlation-id': 'c', ...headers });
}

/** An error body in its whole. */
function errorBody(error: string, code: number, message: string, details?: unknown): unknown {
  return { error, code, message, ...(details === undefined ? {} : { details }), correlation_id: 'c' };
}

describe('404: paths that lead nowhere', () => {
  test.each([
    ['GET', '/'],
    ['GET', '/v1'],
    ['GET', '/v2/jobs'],
    ['GET', '/v1/job'],
    ['GET', '/V1/jobs'],
    ['GET', '/v1/jobs/'],
    ['POST', '/v1/jobs/'],
    ['GET', `/v1/jobs/${id}/`],
    ['GET', '/v1//jobs'],
    ['GET', `/v1/jobs/${id}/result`],
    ['POST', `/v1/jobs/${id}/heartbeat/`],
    ['POST', '/v1/jobs//heartbeat'],
    ['OPTIONS', '/v1/nothing'],
    ['HEAD', '/v1/nothing'],
    ['POST', '/muster.v1.JobService/NoSuchMethod'],
    ['POST', '/muster.v1.NoSuchService/GetJob'],
  ])('%s %s', async (method, path) => {
    const answer = await call(method, path);
    expect(answer.status).toBe(404);
    if (method !== 'HEAD') expect(answer.json).toEqual(errorBody('not_found', 404, `No such path: ${path}`));
  });

  test('the query is not told again', async () => {
    expect((await call('GET', '/v1/nothing?token=secret')).text).not.toContain('secret');
  });
});

describe('404: ids that are unknown or malformed', () => {
  test.each([
    [id, id],
    ['claim', 'claim'],
    ['a:b', 'a:b'],
    ['%3A', ':'],
    ['a%2Fb', 'a/b'],
    ['%20', ' '],
    ['*', '*'],
    ['%00', '\0'],
    [`${id}%20`, `${id} `],
    [`${id};v=1`, `${id};v=1`],
  ])('/v1/jobs/%s', async (segment, shown) => {
    const answer = await call('GET', `/v1/jobs/${segment}`);
    expect(answer.json).toEqual(errorBody('not_found', 404, `There is no job ${shown}.`));
  });

  test('of a long one, the beginning is repeated', async () => {
    const answer = await call('GET', `/v1/jobs/${'x'.repeat(2000)}`);
    expect(answer.json).toEqual(errorBody('not_found', 404, `There is no job ${'x'.repeat(984)}…`));
  });
});

describe('405 tells the methods that there are', () => {
  const all = ['PUT', 'PATCH', 'DELETE', 'POST', 'GET'];
  test.each([
    ['/v1/jobs', ['GET', 'HEAD', 'OPTIONS', 'POST']],
    [`/v1/jobs/${id}`, ['DELETE', 'GET', 'HEAD', 'OPTIONS']],
    // Also the path of a job whose id is "claim".
    ['/v1/jobs/claim', ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'POST']],
    [`/v1/jobs/${id}/heartbeat`, ['OPTIONS', 'POST']],
    [`/v1/jobs/${id}/complete`, ['OPTIONS', 'POST']],
    [`/v1/jobs/${id}/fail`, ['OPTIONS', 'POST']],
    ['/healthz', ['GET', 'HEAD', 'OPTIONS']],
  ])('%s', async (path, allow) => {
    for (const method of all.filter((each) => !allow.includes(each))) {
      const answer = await call(method, path, method === 'GET' ? undefined : {});
      expect(answer.json).toEqual(errorBody('method_not_allowed', 405, `${path} takes ${allow.join(', ')}`, { allow }));
      expect({ status: answer.status, allow: answer.headers.get('allow') }).toEqual({
        status: 405,
        allow: allow.join(', '),
      });
    }
    const options = await call('OPTIONS', path);
    expect({ status: options.status, text: options.text, allow: options.headers.get('allow') }).toEqual({
      status: 204,
      text: '',
      allow: allow.join(', '),
    });
    // No open CORS: a page of another host may not read this.
    expect(options.headers.get('access-control-allow-origin')).toBeNull();
    const head = await call('HEAD', path);
    if (!allow.includes('HEAD')) expect(head).toMatchObject({ status: 405, text: '' });
  });

  test('methods of other protocols', async () => {
    const host = new URL(app.current.url).host;
    for (const method of ['PROPFIND', 'TRACE', 'MKCOL']) {
      const answer = await rawRequest(app.current.url, [`${method} /v1/jobs HTTP/1.1`, `Host: ${host}`]);
      expect({ method, status: answer.status }).toEqual({ method, status: 405 });
      expect(answer.headers['allow']).toBe('GET, HEAD, OPTIONS, POST');
    }
  });
});

test('HEAD answers the head of GET', async () => {
  const { json: made } = await call('POST', '/v1/jobs', { kind: 'a', payload: 'é' });
  const path = `/v1/jobs/${(made as { id: string }).id}`;
  const get = await call('GET', path);
  const head = await call('HEAD', path);
  expect({ status: head.status, text: head.text }).toEqual({ status: 200, text: '' });
  expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(get.text)));
  expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
  expect(await call('HEAD', '/v1/jobs/none')).toMatchObject({ status: 404, text: '' });
});

describe('415', () => {
  test.each([
    ['text/plain', 'must be application/json, not text/plain'],
    ['application/x-www-form-urlencoded', 'must be application/json, not application/x-www-form-urlencoded'],
    ['application/jsonp', 'must be application/json, not application/jsonp'],
    ['application/json5; charset=utf-8', 'must be application/json, not application/json5; charset=utf-8'],
    ['application/grpc', 'must be application/json, not application/grpc'],
    ['', 'must be application/json, not empty'],
    ['json', 'must be application/json, not json'],
    [';', 'must be application/json, not ;'],
  ])('%s', async (type, message) => {
    const answer = await call('POST', '/v1/jobs', '{"kind":"a"}', { 'content-type': type });
    expect(answer.status).toBe(415);
    expect(answer.json).toEqual(errorBody('unsupported_media_type', 415, `Content-Type: ${message}`));
  });

  test.each([
    ['', 'empty'],
    ['json', 'json'],
    ['a/b;;', 'a/b;;'],
  ])('%s on a path of an RPC', async (type, shown) => {
    const answer = await call('POST', '/muster.v1.JobService/CreateJob', '{"kind":"a"}', { 'content-type': type });
    expect(answer.status).toBe(415);
    expect(answer.json).toEqual(
      errorBody('unsupported_media_type', 415, `Content-Type: must be of Connect or gRPC, not ${shown}`),
    );
  });

  test('a compressed body', async () => {
    const response = await fetch(`${app.current.url}/v1/jobs`, {
      method: 'POST',
      headers: { ...json, 'content-encoding': 'gzip', 'x-correlation-id': 'c' },
      body: gzipSync('{"kind":"a"}'),
    });
    expect(response.status).toBe(415);
    expect(await response.json()).toEqual(
      errorBody('unsupported_media_type', 415, 'Content-Encoding: must be identity, not gzip'),
    );
  });

  test.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;charset=UTF-8', undefined])(
    'not for %s',
    async (type) => {
      const host = new URL(app.current.url).host;
      const answer = await rawRequest(
        app.current.url,
        [
          'POST /v1/jobs HTTP/1.1',
          `Host: ${host}`,
          'Content-Length: 12',
          ...(type === undefined ? [] : [`Content-Type: ${type}`]),
        ],
        '{"kind":"a"}',
      );
      expect(answer.status).toBe(201);
    },
  );
});

describe('bodies that are no request', () => {
  const bad = (message: string) => errorBody('invalid_request', 400, message);
  test.each([
    ['null', 'The body must be a JSON object.'],
    ['[]', 'The body must be a JSON object.'],
    ['[{"kind":"a"}]', 'The body must be a JSON object.'],
    ['"kind"', 'The body must be a JSON object.'],
    ['1', 'The body must be a JSON object.'],
    ['true', 'The body must be a JSON object.'],
  ])('%s', async (body, message) => {
    const answer = await call('POST', '/v1/jobs', body);
    expect(answer.status).toBe(400);
    expect(answer.json).toEqual(bad(message));
  });

  // The end of the message is the JSON parser's own.
  test.each([
    '{',
    '{"kind":"a"}}',
    '{kind:"a"}',
    "{'kind':'a'}",
    '{"kind":"a",}',
    '{"kind":NaN}',
    '{"kind":"\u0001"}',
    ' ',
  ])('malformed: %s', async (body) => {
    const answer = await call('POST', '/v1/jobs', body);
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({
      error: 'invalid_request',
      message: expect.stringMatching(/^The body is not JSON: /) as string,
    });
  });

  test.each([
    ['latin-1', Buffer.from('{"kind":"a","payload":"\xe9"}', 'latin1')],
    ['a lone continuation byte', Buffer.concat([Buffer.from('{"kind":"'), Buffer.of(0x80), Buffer.from('"}')])],
    ['UTF-16', Buffer.from('\ufeff{"kind":"a"}', 'utf16le')],
  ])('not UTF-8: %s', async (_name, body) => {
    const response = await fetch(`${app.current.url}/v1/jobs`, {
      method: 'POST',
      headers: { ...json, 'x-correlation-id': 'c' },
      body: Uint8Array.from(body),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual(bad('The body is not UTF-8.'));
  });

  test('an absent body is an empty request', async () => {
    const answer = await call('POST', '/v1/jobs');
    expect(answer.json).toEqual(errorBody('invalid_request', 400, 'kind: is required', { field: 'kind' }));
  });
});

describe('sizes', () => {
  const mib = 1024 * 1024;
  /** JSON text of so many bytes. */
  const textOf = (bytes: number): string => 'x'.repeat(bytes - 2);
  const tooLarge = (field: string, bytes: number, max: number) =>
    errorBody('too_large', 413, `${field}: has ${bytes} bytes of JSON; ${max} are allowed`, {
      field,
      bytes,
      max_bytes: max,
    });

  test('a payload of exactly 1 MiB comes back equal, one byte more is refused', async () => {
    for (const payload of [textOf(mib), { a: `${'é'.repeat((mib - 8) / 2)}` }]) {
      expect(Buffer.byteLength(JSON.stringify(payload))).toBe(mib);
      const made = await call('POST', '/v1/jobs', { kind: 'large', payload });
      expect(made.status).toBe(201);
      const got = await call('GET', made.headers.get('location') ?? '');
      expect((got.json as { payload: unknown }).payload).toEqual(payload);
    }
    const refused = await call('POST', '/v1/jobs', { kind: 'large', payload: textOf(mib + 1) });
    expect(refused.status).toBe(413);
    expect(refused.json).toEqual(tooLarge('payload', mib + 1, mib));
  });

  test('it is the compact text that counts', async () => {
    const spaced = `{"kind":"large","payload":[${' '.repeat(mib)}"${'x'.repeat(mib - 4)}"]}`;
    expect((await call('POST', '/v1/jobs', spaced)).status).toBe(201);
  });

  test('results and progress', async () => {
    const { json: made } = await call('POST', '/v1/jobs', { kind: 'report' });
    const [claimed] = (await call('POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['report'] })).json as [
      { id: string; lease_token: string },
    ];
    expect(claimed.id).toBe((made as { id: string }).id);
    const { lease_token } = claimed;
    const path = `/v1/jobs/${claimed.id}`;

    const progress = await call('POST', `${path}/heartbeat`, { lease_token, progress: textOf(64 * 1024 + 1) });
    expect(progress.json).toEqual(tooLarge('progress', 64 * 1024 + 1, 64 * 1024));
    expect((await call('POST', `${path}/heartbeat`, { lease_token, progress: textOf(64 * 1024) })).status).toBe(200);
    const result = await call('POST', `${path}/complete`, { lease_token, result: textOf(mib + 1) });
    expect(result.json).toEqual(tooLarge('result', mib + 1, mib));
    const done = await call('POST', `${path}/complete`, { lease_token, result: textOf(mib) });
    expect(done.json).toMatchObject({ status: 'done', result: textOf(mib), progress: textOf(64 * 1024) });
  });

  test("a worker's error message is cut at 16 KiB, not in the middle of a character", async () => {
    await call('POST', '/v1/jobs', { kind: 'fails' });
    const [claimed] = (await call('POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['fails'] })).json as [
      { id: string; lease_token: string },
    ];
    const failed = await call('POST', `/v1/jobs/${claimed.id}/fail`, {
      lease_token: claimed.lease_token,
      error: { code: 'x', message: `a${'é'.repeat(10_000)}` },
    });
    expect((failed.json as { error: unknown }).error).toEqual({ code: 'x', message: `a${'é'.repeat(8191)}` });
  });

  test('a body over the limit of the server', async () => {
    const answer = await call('POST', '/v1/jobs', `{"kind":"${'x'.repeat(8 * mib)}"}`);
    expect(answer.status).toBe(413);
    expect(answer.json).toEqual(errorBody('too_large', 413, 'Request body is too large', { max_bytes: 8 * mib }));
  });

  test('a body that is told to be over the limit is not waited for', async () => {
    const connection = await connectRaw(app.current.url);
    const host = new URL(app.current.url).host;
    connection.write(
      `POST /v1/jobs HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${9 * mib}\r\n\r\n{`,
    );
    const answer = await connection.answer();
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'too_large', details: { max_bytes: 8 * mib } });
  });

  test('a request head over the limit', async () => {
    const answer = await rawRequest(app.current.url, [
      'GET /v1/jobs HTTP/1.1',
      'Host: localhost',
      `X-Large: ${'x'.repeat(40 * 1024)}`,
    ]);
    expect(answer.status).toBe(431);
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'too_large', message: 'The request head is too large.' });
  });
});

describe('401: a token that is sent is never ignored, even where none is needed', () => {
  const unknown = 'The token is not valid.';
  const malformed = 'Authorization: must be a bearer token';
  test.each([
    ['Bearer x', unknown],
    ['bearer  mst_x', unknown],
    ['Bearer', malformed],
    ['Basic dXNlcjpwYXNz', malformed],
    ['x', malformed],
  ])('%s', async (authorization, message) => {
    for (const [method, path, body] of [
      ['GET', '/v1/jobs', undefined],
      ['POST', '/v1/jobs', { kind: 'a' }],
      ['GET', `/v1/jobs/${id}`, undefined],
      ['DELETE', `/v1/jobs/${id}`, undefined],
      ['POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['a'] }],
      ['POST', `/v1/jobs/${id}/heartbeat`, { lease_token: 'a' }],
      ['POST', `/v1/jobs/${id}/complete`, { lease_token: 'a' }],
      ['POST', `/v1/jobs/${id}/fail`, { lease_token: 'a', error: { code: 'x' } }],
    ] as const) {
      const answer = await call(method, path, body, { authorization });
      expect(answer.status).toBe(401);
      expect(answer.json).toEqual(errorBody('unauthorized', 401, message));
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    }
    expect((await call('GET', '/v1/jobs?kind=refused', undefined)).status).toBe(200);
  });

  test('an empty one, too', async () => {
    const host = new URL(app.current.url).host;
    const answer = await rawRequest(app.current.url, ['GET /v1/jobs HTTP/1.1', `Host: ${host}`, 'Authorization:']);
    expect(answer.status).toBe(401);
  });
});

describe('malformed paths', () => {
  test.each(['/v1/jobs/%', '/v1/jobs/%zz', '/v1/jobs/%ff', '/v1/%c3%28/jobs'])('%s', async (path) => {
    const host = new URL(app.current.url).host;
    const answer = await rawRequest(app.current.url, [`GET ${path} HTTP/1.1`, `Host: ${host}`, 'X-Correlation-Id: c']);
    expect(answer.headers['x-correlation-id']).toBe('c');
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toEqual(
      errorBody('invalid_request', 400, `'${path}' is not a valid url component`),
    );
  });

  test('a path is taken as it stands, dots included', async () => {
    const host = new URL(app.current.url).host;
    for (const path of ['/v1/x/../jobs', '/v1/./jobs', '/v1/jobs/%2e%2e']) {
      const answer = await rawRequest(app.current.url, [`GET ${path} HTTP/1.1`, `Host: ${host}`]);
      expect({ path, status: answer.status }).toEqual({ path, status: 404 });
    }
  });

  test('the absolute form of a target, as for a proxy', async () => {
    const { host } = new URL(app.current.url);
    const target = `http://${host}/v1/jobs?kind=none`;
    const answer = await rawRequest(app.current.url, [`GET ${target} HTTP/1.1`, `Host: ${host}`]);
    expect(answer).toMatchObject({ status: 200, body: '[]' });
  });
});
