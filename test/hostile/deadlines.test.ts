import { constants } from 'node:http2';
import { describe, expect, test } from 'vitest';
import { connectRaw } from '../support/raw-http.js';
import { sharedTestApp } from '../support/shared-app.js';
import { openSession } from '../support/wire/raw-grpc.js';
import { openHalf } from './support/half-open.js';

const app = sharedTestApp();
const service = '/muster.v1.JobService';
const prefix = Buffer.of(0, 0, 0, 99, 0);

describe('a deadline counts from the head of a request, also while its message does not come', () => {
  test.each<readonly [string, string, string, Uint8Array]>([
    ['Connect', 'application/json', 'CreateJob', Buffer.from('{"kind":')],
    ['Connect, nothing yet', 'application/proto', 'CreateJob', Buffer.alloc(0)],
    ['Connect stream', 'application/connect+json', 'WatchJob', prefix],
    ['gRPC', 'application/grpc', 'CreateJob', prefix],
    ['gRPC, general', 'application/grpc+json', 'CreateJob', prefix],
    ['gRPC stream', 'application/grpc', 'WatchJob', prefix],
    ['gRPC stream of work', 'application/grpc', 'Work', prefix],
    ['gRPC-Web', 'application/grpc-web', 'CreateJob', prefix],
  ])('%s', async (_name, type, method, start) => {
    const head = { ':path': `${service}/${method}`, 'content-type': type };
    const timeout = type.startsWith('application/grpc') ? { 'grpc-timeout': '100m' } : { 'connect-timeout-ms': '100' };
    const { said, headers, reset } = await openHalf(openSession(app.current.url), { ...head, ...timeout }, start);
    expect(said).toMatch(/"grpc-status":"4"|grpc-status: 4|"code":"deadline_exceeded"/);
    if (type === 'application/json') expect(headers[':status']).toBe(504);
    expect(reset).toBe(constants.NGHTTP2_NO_ERROR);
  });

  test.each([
    ['Connect', 'application/json', 'CreateJob', '504'],
    ['gRPC-Web', 'application/grpc-web', 'CreateJob', '200'],
  ])('%s over HTTP/1', async (_name, type, method, status) => {
    const connection = await connectRaw(app.current.url);
    const timeout = type.startsWith('application/grpc') ? 'grpc-timeout: 100m' : 'connect-timeout-ms: 100';
    const lines = ['Host: localhost', `Content-Type: ${type}`, timeout, 'Content-Length: 1000', '', '{'];
    connection.write([`POST ${service}/${method} HTTP/1.1`, ...lines].join('\r\n'));
    const answer = await connection.answer();
    expect(String(answer.status)).toBe(status);
    expect(`${answer.body}${JSON.stringify(answer.headers)}`).toMatch(/deadline_exceeded|grpc-status: 4/);
  });
});
