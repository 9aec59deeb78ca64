import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';

const app = sharedTestApp({ flags: { 'max-message': '1MiB', 'max-body': '1MiB' } });
const service = '/muster.v1.JobService';
const size = 200 * 1024 * 1024;
/** Text that is far longer than it looks: 200 kB of gzip, less than 1 kB of brotli. */
const bombs = {
  gzip: gzipSync(Buffer.alloc(size, ' ')),
  br: brotliCompressSync(Buffer.alloc(size, ' '), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
};
const compressed = 1;

async function stillServes(): Promise<void> {
  expect((await rest(app.current.url, 'GET', '/healthz')).status).toBe(200);
}

describe.each(['gzip', 'br'] as const)('%s', (encoding) => {
  test.each(['application/json', 'application/proto'])('Connect, %s', async (type) => {
    const response = await fetch(`${app.current.url}${service}/CreateJob`, {
      method: 'POST',
      headers: { 'content-type': type, 'content-encoding': encoding },
      body: bombs[encoding],
    });
    expect(response.status).toBe(429);
    expect(await response.json()).toMatchObject({ code: 'resource_exhausted' });
    await stillServes();
  });

  test.each([
    ['gRPC', 'application/grpc', 'grpc-encoding', 'CreateJob'],
    ['gRPC stream', 'application/grpc', 'grpc-encoding', 'WatchJob'],
    ['gRPC both ways', 'application/grpc', 'grpc-encoding', 'Work'],
    ['gRPC-Web', 'application/grpc-web', 'grpc-encoding', 'CreateJob'],
    ['Connect stream', 'application/connect+json', 'connect-content-encoding', 'WatchJob'],
  ])('%s', async (_name, type, header, method) => {
    const answer = await exchange(
      openSession(app.current.url),
      { ':path': `${service}/${method}`, 'content-type': type, [header]: encoding },
      [framed(bombs[encoding], compressed)],
    );
    const said = `${JSON.stringify({ ...answer.headers, ...answer.trailers })}${answer.body.toString('latin1')}`;
    expect(said).toMatch(/"grpc-status":"8"|grpc-status: 8|resource_exhausted/);
    await stillServes();
  });

  test('REST takes nothing that is packed', async () => {
    const response = await fetch(`${app.current.url}/v1/jobs`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': encoding },
      body: bombs[encoding],
    });
    expect(response.status).toBe(415);
    await response.text();
  });
});

describe('a message that says that it is long', () => {
  const prefix = Buffer.of(0, 0xff, 0xff, 0xff, 0xff);
  test.each([
    ['gRPC', 'application/grpc', 'CreateJob'],
    ['gRPC stream', 'application/grpc', 'WatchJob'],
    ['gRPC both ways', 'application/grpc', 'Work'],
    ['gRPC-Web', 'application/grpc-web', 'CreateJob'],
    ['Connect stream', 'application/connect+json', 'WatchJob'],
  ])('%s', async (_name, type, method) => {
    const answer = await exchange(
      openSession(app.current.url),
      { ':path': `${service}/${method}`, 'content-type': type },
      [prefix, Buffer.from('and is not')],
    );
    const said = `${JSON.stringify({ ...answer.headers, ...answer.trailers })}${answer.body.toString('latin1')}`;
    expect(said).toMatch(/"grpc-status":"8"|grpc-status: 8|resource_exhausted/);
    await stillServes();
  });
});

test.each([
  ['a packing of nobody', 'zstd', Buffer.from('{}')],
  ['gzip that is none', 'gzip', Buffer.from('{"kind":"a"}')],
  ['half of gzip', 'gzip', gzipSync('{"kind":"a"}').subarray(0, 15)],
])('%s', async (_name, encoding, body) => {
  const response = await fetch(`${app.current.url}${service}/CreateJob`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-encoding': encoding },
    body,
  });
  expect(response.status).toBeGreaterThanOrEqual(400);
  expect(await response.json()).toMatchObject({ code: expect.any(String) as string });
  expect(response.status, _name).not.toBe(500);
  await stillServes();
});
