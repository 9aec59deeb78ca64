import { expect, test } from 'vitest';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';

const app = sharedTestApp();
const service = '/muster.v1.JobService';
const long = '"é%'.repeat(8 * 1024);

/** Of one header, and of a body that has nothing but an error in it. */
const maxHeader = 4096;
const maxBody = 8192;

test.each([
  ['an unknown field', 'POST', '/v1/jobs', { kind: 'k', [long]: 1 }, 400],
  ['an unknown field far inside', 'POST', '/v1/jobs/claim', { [`${long}.${long}`]: [long] }, 400],
  ['an unknown parameter', 'GET', `/v1/jobs?${encodeURIComponent('x'.repeat(8192))}=1`, undefined, 400],
  ['an unknown path', 'GET', `/${'x'.repeat(8192)}`, undefined, 404],
  ['an unknown id', 'GET', `/v1/jobs/${'x'.repeat(8192)}`, undefined, 404],
  ['an unknown event', 'GET', `/api/events?type=${'x'.repeat(8192)}`, undefined, 400],
])('REST repeats no more than the beginning of %s', async (_name, method, path, body, status) => {
  const answer = await rest(app.current.url, method, path, body);
  expect(answer.status).toBe(status);
  expect(JSON.stringify(answer.json).length).toBeLessThan(maxBody);
});

const json = (value: unknown): Buffer => framed(Buffer.from(JSON.stringify(value)));
const grpcJson = { 'content-type': 'application/grpc+json' };

test.each<readonly [string, string, Readonly<Record<string, string>>, Uint8Array]>([
  ['an id', 'GetJob', grpcJson, json({ id: long })],
  ['a kind', 'CreateJob', grpcJson, json({ kind: long })],
  ['a cursor', 'ListJobs', grpcJson, json({ cursor: long })],
  ['a timeout', 'GetJob', { ...grpcJson, 'grpc-timeout': 'x'.repeat(8192) }, json({ id: 'a' })],
  [
    'a timeout, directly',
    'GetJob',
    { 'content-type': 'application/grpc', 'grpc-timeout': 'x'.repeat(8192) },
    framed(Buffer.alloc(0)),
  ],
  ['a packing', 'GetJob', { ...grpcJson, 'grpc-encoding': 'x'.repeat(8192) }, json({ id: 'a' })],
  ['a type', 'GetJob', { 'content-type': `application/grpc+${'x'.repeat(8192)}` }, json({ id: 'a' })],
])('no header of gRPC grows with %s', async (_name, method, head, body) => {
  const { headers, trailers } = await exchange(
    openSession(app.current.url),
    { ':path': `${service}/${method}`, ...head },
    [body],
  );
  const lengths = Object.entries({ ...headers, ...trailers }).map(
    ([name, value]) => [name, String(value).length] as const,
  );
  expect(lengths.filter(([, length]) => length > maxHeader)).toEqual([]);
  expect(Number(headers[':status']) === 415 || Number(trailers['grpc-status'] ?? headers['grpc-status']) > 0).toBe(
    true,
  );
});

test('Connect repeats no more than the beginning', async () => {
  const response = await fetch(`${app.current.url}${service}/GetJob`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: long, [long]: long }),
  });
  expect(response.status).toBe(404);
  expect((await response.text()).length).toBeLessThan(maxBody);
});
