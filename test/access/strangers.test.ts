import { beforeAll, describe, expect, test } from 'vitest';
import type { OpenApi } from '../../src/platform/http/openapi-types.js';
import { connectRaw } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { soon } from '../support/until.js';
import { openSession } from '../support/wire/raw-grpc.js';
import { bearer, makeToken } from './support/tokens.js';

/** Beside roles.test.ts, which has every RPC: what else there is, and what is read of those who are nobody. */
const app = sharedTestApp();
let own: Record<string, string> = {};
beforeAll(async () => {
  own = bearer(await makeToken(app.current, { role: 'human' }));
});

test('without a token there is nothing to read but /healthz and /readyz', async () => {
  const document = (await rest(app.current.url, 'GET', '/openapi.json', undefined, own)).json as OpenApi;
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => [method.toUpperCase(), path] as const),
  );
  const all = [...operations, ['GET', '/openapi.json'], ['GET', '/docs'], ['HEAD', '/v1/jobs']] as const;
  const open = [];
  for (const [method, path] of all) {
    const response = await fetch(app.current.url + path.replaceAll(/\{\w+\}/g, 'x'), { method });
    await response.body?.cancel();
    if (response.status !== 401) open.push(`${method} ${path} ${response.status}`);
    else expect(response.headers.get('www-authenticate')).toBe('Bearer');
  }
  expect(open).toEqual(['GET /healthz 200', 'GET /readyz 200']);
});

describe('of a stranger nothing is read but the head', () => {
  test.each([
    ['POST /v1/jobs', 'application/json'],
    ['POST /v1/jobs/claim', 'application/json'],
    ['POST /muster.v1.JobService/CreateJob', 'application/json'],
    ['POST /muster.v1.JobService/CreateJob', 'application/json; charset=utf8'],
    ['POST /muster.v1.JobService/CreateJob', 'application/proto'],
    ['POST /muster.v1.JobService/CreateJob', 'application/grpc-web+proto'],
    ['POST /muster.v1.JobService/WatchJob', 'application/connect+json'],
  ])('%s of %s', async (line, type) => {
    const connection = await connectRaw(app.current.url);
    // A body that never comes.
    const { host } = new URL(app.current.url);
    connection.write(`${line} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: ${type}\r\nContent-Length: 1000000\r\n\r\n`);
    const { body } = await soon('an answer', connection.answer());
    expect(body).toMatch(/"unauth|grpc-status: 16/);
  });

  test.each([
    ['the fast path', {}],
    ['the general path', { 'grpc-encoding': 'gzip' }],
  ])('gRPC, %s', async (_name, headers) => {
    const stream = openSession(app.current.url).request({
      ':method': 'POST',
      ':path': '/muster.v1.JobService/CreateJob',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const answer = new Promise<Record<string, unknown>>((resolve) => stream.once('response', resolve));
    expect(await soon('an answer', answer)).toMatchObject({ ':status': 200, 'grpc-status': '16' });
  });
});
