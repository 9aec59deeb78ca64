import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { connectRaw, rawRequest } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/work-client.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';
import { openHalf } from './support/half-open.js';
import { connectHttp2, flags, frame, frames, get } from './support/raw-http2.js';

/** Four of the largest requests in all, two on a connection. */
const mib = 1024 * 1024;
const app = sharedTestApp({ flags: { 'max-body': '1MiB', 'max-message': '1MiB', 'max-in-flight': '4MiB' } });
const service = '/muster.v1.JobService';
const compressed = 1;

type Head = Readonly<Record<string, string>>;

/** What is refused is taken when the others have gone. */
async function roomAgain(): Promise<void> {
  const payload = 'x'.repeat(900_000);
  await until('there is room again', async () => {
    const { status } = await rest(app.current.url, 'POST', '/v1/jobs', { kind: 'large', payload });
    return status === 201;
  });
}

const refusal = /"grpc-status":"14"|grpc-status: 14|"error":"unavailable"|"code":"unavailable"/;
const start = Buffer.from('{"kind":"');
const halves: readonly (readonly [string, Head, Uint8Array])[] = [
  ['REST', { ':path': '/v1/jobs', 'content-type': 'application/json' }, start],
  ['Connect', { ':path': `${service}/CreateJob`, 'content-type': 'application/json' }, start],
  ['gRPC', { ':path': `${service}/CreateJob`, 'content-type': 'application/grpc' }, Buffer.of(0, 0, 0x0f, 0, 0)],
  ['gRPC stream', { ':path': `${service}/WatchJob`, 'content-type': 'application/grpc' }, Buffer.of(0, 0, 0x0f, 0, 0)],
  [
    'gRPC-Web',
    { ':path': `${service}/CreateJob`, 'content-type': 'application/grpc-web' },
    Buffer.of(0, 0, 0x0f, 0, 0),
  ],
  [
    'Connect stream',
    { ':path': `${service}/WatchJob`, 'content-type': 'application/connect+json' },
    Buffer.of(0, 0, 0x0f, 0, 0),
  ],
];

describe('bodies that are not whole yet', () => {
  test.each(halves)(
    '%s: a connection may have half of all, and is told of what is more',
    async (_name, head, prefix) => {
      const session = openSession(app.current.url);
      const bytes = Buffer.concat([prefix, Buffer.alloc(700_000, 'x')]);
      const streams = [1, 2, 3].map(() => openHalf(session, head, bytes));
      // The first to be refused makes room for the others.
      const { headers, said } = await Promise.race(streams);
      expect(said).toMatch(refusal);
      if (head[':path'] === '/v1/jobs') expect(headers).toMatchObject({ ':status': 503, 'retry-after': '1' });
      // Another one has its own half.
      await roomAgain();
      session.destroy();
    },
  );

  test('what a head says that it will send counts at once, over all connections', async () => {
    const { url } = app.current;
    const lines = ['POST /v1/jobs HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
    const declared = [...lines, `Content-Length: ${mib}`, '', ''].join('\r\n');
    const held = await Promise.all(Array.from({ length: 4 }, () => connectRaw(url)));
    for (const each of held) each.write(declared);
    const answer = await until('there is no room', async () => {
      const refused = await rawRequest(url, [...lines, 'Content-Length: 2'], '{}');
      return refused.status === 503 && refused;
    });
    expect(answer.headers['retry-after']).toBe('1');
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'unavailable', details: { retry_after_sec: 1 } });
    expect((await rest(url, 'GET', '/v1/jobs?limit=1')).status).toBe(200);
    for (const each of held) each.socket.destroy();
    await roomAgain();
  });

  test('strangers to a path take no room', async () => {
    const { url } = app.current;
    const held = await Promise.all(Array.from({ length: 8 }, () => connectRaw(url)));
    for (const each of held) each.write(`POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${mib}\r\n\r\n`);
    for (const each of held) expect((await each.answer()).status).toBe(404);
    await roomAgain();
  });
});

describe('what is small until it is unpacked', () => {
  /** A claim that waits, in 900 kB of which hardly anything is sent. */
  const json = gzipSync(`${JSON.stringify({ workerId: 'w', kinds: ['none'], waitSec: 30 })}${' '.repeat(900_000)}`);
  test.each<readonly [string, Head, Uint8Array]>([
    ['Connect', { 'content-type': 'application/json', 'content-encoding': 'gzip' }, json],
    ['gRPC', { 'content-type': 'application/grpc+json', 'grpc-encoding': 'gzip' }, framed(json, compressed)],
    ['gRPC-Web', { 'content-type': 'application/grpc-web+json', 'grpc-encoding': 'gzip' }, framed(json, compressed)],
  ])('%s', async (_name, head, bytes) => {
    const session = openSession(app.current.url);
    const path = { ':path': `${service}/ClaimJobs` };
    const waiting = [1, 2, 3].map(() => exchange(session, { ...path, ...head }, [bytes]));
    for (const each of waiting) each.catch(() => undefined);
    const { headers, trailers, body } = await Promise.race(waiting);
    expect(`${JSON.stringify({ ...headers, ...trailers })} ${body.toString('latin1')}`).toMatch(refusal);
    session.destroy();
    await roomAgain();
  });
});

describe('answers that wait to be taken', () => {
  test('of HTTP/2: reads are told so, and who takes theirs goes on', async () => {
    const { url } = app.current;
    const id = await largeJob();
    const stuck = await connectHttp2(url, { settings: [[4, 0]] });
    const { endHeaders, endStream } = flags;
    for (let n = 0; n < 20; n++)
      stuck.send(frame(frames.headers, endHeaders | endStream, n * 2 + 1, get(`/v1/jobs/${id}`)));
    await stuck.frame(({ type, payload }) => type === frames.headers && payload.includes('503'));
    expect((await rest(url, 'GET', `/v1/jobs/${id}`)).status).toBe(200);
    stuck.leave();
  });

  test('in all: the connection that holds most is closed', async () => {
    const { url } = app.current;
    const id = await largeJob();
    const stuck = await Promise.all([1, 2, 3].map(() => connectHttp2(url, { settings: [[4, 0]] })));
    const { endHeaders, endStream } = flags;
    for (const { send } of stuck) {
      for (const stream of [1, 3]) send(frame(frames.headers, endHeaders | endStream, stream, get(`/v1/jobs/${id}`)));
    }
    await Promise.race(stuck.map(({ closed }) => closed()));
    expect((await rest(url, 'GET', `/v1/jobs/${id}`)).status).toBe(200);
    for (const { leave } of stuck) leave();
  });

  test('one that would be more than all is refused, and less of it is given', async () => {
    const { url } = app.current;
    for (let n = 0; n < 5; n++) await largeJob();
    expect(await rest(url, 'GET', '/v1/jobs?limit=5')).toMatchObject({ status: 413, json: { error: 'too_large' } });
    expect((await rest(url, 'GET', '/v1/jobs?limit=2')).status).toBe(200);
  });

  test('more than 128 requests of HTTP/1 ahead of their answers end the connection', async () => {
    const { url } = app.current;
    const some = await connectRaw(url);
    const request = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';
    some.write(request.repeat(100));
    for (let n = 0; n < 100; n++) expect((await some.answer()).status).toBe(200);
    const many = await connectRaw(url);
    many.write(request.repeat(1000));
    expect((await many.closed()).toString().split('HTTP/1.1 200').length).toBeLessThan(1000);
  });
});

test('a stream of work gives back what it has dealt with', async () => {
  const worker = await startWorker(app.current.url, { kinds: ['none'], capacity: 1 });
  // Five times as much as there is.
  const resultJson = JSON.stringify('x'.repeat(100_000));
  for (let n = 0; n < 200; n++) {
    worker.update({ completed: [{ id: `none-${n}`, leaseToken: 'none', resultJson }] });
  }
  await worker.until('all have been answered', ({ outcomes }) => outcomes.length === 200);
  worker.end();
  await worker.over;
});

async function largeJob(): Promise<string> {
  const payload = 'x'.repeat(900_000);
  return until('it is there', async () => {
    const { json } = await rest(app.current.url, 'POST', '/v1/jobs', { kind: 'large', payload });
    return (json as { id?: string }).id;
  });
}
