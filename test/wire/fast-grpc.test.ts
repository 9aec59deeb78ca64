import { create, toBinary } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import {
  ClaimJobsRequestSchema,
  ClaimJobsResponseSchema,
  GetJobRequestSchema,
  GetJobResponseSchema,
} from '../../gen/muster/v1/jobs_pb.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { exchange, framed, type Meaning, meaningOf, openSession } from '../support/wire/raw-grpc.js';

const maxMessage = 64 * 1024;
const app = sharedTestApp({ flags: { 'max-message': `${maxMessage}` }, logLevel: 'info' });
const service = '/muster.v1.JobService';
const head = { 'content-type': 'application/grpc', te: 'trailers', 'x-correlation-id': 'c' };
/** Nothing is compressed, but it could be: reason enough to leave the call to connect-node. */
const general = { 'grpc-encoding': 'gzip' };

const get = (id: string): Uint8Array => toBinary(GetJobRequestSchema, create(GetJobRequestSchema, { id }));
const claim = (waitSec: number, kind = 'none'): Buffer =>
  framed(toBinary(ClaimJobsRequestSchema, create(ClaimJobsRequestSchema, { workerId: 'w', kinds: [kind], waitSec })));
const unknown = get('job_01ARZ3NDEKTSV4RRFFQ69G5FAV');

/** Both `application/grpc` and `application/grpc+proto` say the same. */
function comparable({ type, ...meaning }: Meaning): unknown {
  expect(type).toMatch(/^application\/grpc(\+proto)?$/);
  return meaning;
}

interface Case {
  readonly headers?: Record<string, string>;
  readonly pieces: readonly Uint8Array[];
  readonly status: Code;
  /** A fault of the frames around messages, which connect-node tells without our detail. */
  readonly below?: true;
}

describe('the fast path says what connect-node says of', () => {
  const one = [framed(unknown)];
  const cases: Readonly<Record<string, Case>> = {
    'an unknown job': { pieces: one, status: Code.NotFound },
    'a message that has to be encoded': { pieces: [framed(get('é/%:\n"'))], status: Code.NotFound },
    'application/grpc+proto': {
      headers: { 'content-type': 'application/grpc+proto' },
      pieces: one,
      status: Code.NotFound,
    },
    'a request in small pieces': {
      pieces: [...framed(unknown)].map((byte) => Uint8Array.of(byte)),
      status: Code.NotFound,
    },
    'a field from the future': {
      pieces: [framed(Buffer.concat([unknown, Buffer.of(0xf8, 0x01, 0x01)]))],
      status: Code.NotFound,
    },
    'an empty message': { pieces: [framed(Buffer.alloc(0))], status: Code.NotFound },
    'an Authorization header': { headers: { authorization: 'Bearer x' }, pieces: one, status: Code.Unauthenticated },
    'a message that is none': { pieces: [framed(Buffer.of(0x0a, 0xff))], status: Code.Internal },
    'a text that is no UTF-8': { pieces: [framed(Buffer.of(0x0a, 0x01, 0xff))], status: Code.Internal },
    'no message': { pieces: [], status: Code.Unimplemented, below: true },
    'half a prefix': { pieces: [Buffer.of(0, 0, 0)], status: Code.InvalidArgument, below: true },
    'half a message': { pieces: [framed(unknown).subarray(0, 20)], status: Code.InvalidArgument, below: true },
    'two messages': { pieces: [...one, ...one], status: Code.Unimplemented, below: true },
    'two messages, together over the limit': {
      pieces: [framed(get('x'.repeat(maxMessage - 10))), framed(get('x'.repeat(100)))],
      status: Code.Unimplemented,
      below: true,
    },
    'a message over the limit': {
      pieces: [framed(Buffer.alloc(maxMessage + 1))],
      status: Code.ResourceExhausted,
    },
    'a message that says it is over the limit': {
      pieces: [Buffer.of(0, 0xff, 0xff, 0xff, 0xff)],
      status: Code.ResourceExhausted,
    },
    'no time at all': { headers: { 'grpc-timeout': '0m' }, pieces: one, status: Code.DeadlineExceeded },
    'plenty of time': { headers: { 'grpc-timeout': '600S' }, pieces: one, status: Code.NotFound },
    'more time than is allowed': { headers: { 'grpc-timeout': '601S' }, pieces: one, status: Code.InvalidArgument },
    'a timeout without unit': { headers: { 'grpc-timeout': '1000' }, pieces: one, status: Code.InvalidArgument },
    'a timeout with nine digits': {
      headers: { 'grpc-timeout': '123456789m' },
      pieces: one,
      status: Code.InvalidArgument,
    },
    'a negative timeout': { headers: { 'grpc-timeout': '-1S' }, pieces: one, status: Code.InvalidArgument },
    'an empty timeout': { headers: { 'grpc-timeout': '' }, pieces: one, status: Code.InvalidArgument },
  };
  test.each(Object.entries(cases))('%s', async (_name, { headers, pieces, status, below }) => {
    const session = openSession(app.current.url);
    const request = { ':path': `${service}/GetJob`, ...head, ...headers };
    const fast = meaningOf(GetJobResponseSchema, await exchange(session, request, pieces));
    const slow = meaningOf(GetJobResponseSchema, await exchange(session, { ...request, ...general }, pieces));
    expect({ fast: Code[Number(fast.status)], slow: Code[Number(slow.status)] }).toEqual({
      fast: Code[status],
      slow: Code[status],
    });
    expect(comparable(below === true ? { ...fast, info: undefined } : fast)).toEqual(comparable(slow));
    expect(fast).toMatchObject({ http: 200, correlationId: 'c', answer: undefined });
    expect(fast.info).toMatchObject({ error: expect.any(String) as unknown, correlationId: 'c' });
  });

  test('a success', async () => {
    const { json } = await rest(app.current.url, 'POST', '/v1/jobs', {
      kind: 'read',
      payload: [{ a: 'é' }, 1.5, null],
    });
    const pieces = [framed(get((json as { id: string }).id))];
    const session = openSession(app.current.url);
    const request = { ':path': `${service}/GetJob`, ...head };
    const fast = await exchange(session, request, pieces);
    const slow = await exchange(session, { ...request, ...general }, pieces);
    expect(fast.body.equals(slow.body)).toBe(true);
    expect(fast.trailers).toEqual(slow.trailers);
    expect(comparable(meaningOf(GetJobResponseSchema, fast))).toEqual(
      comparable(meaningOf(GetJobResponseSchema, slow)),
    );
    expect(fast).toMatchObject({ trailers: { 'grpc-status': '0' }, reset: 0 });
  });

  test('an answer without a single byte', async () => {
    const session = openSession(app.current.url);
    const request = { ':path': `${service}/ClaimJobs`, ...head };
    for (const headers of [request, { ...request, ...general }]) {
      const answer = await exchange(session, headers, [claim(0)]);
      expect(answer.body).toEqual(framed(Buffer.alloc(0)));
      expect(answer.trailers).toMatchObject({ 'grpc-status': '0' });
    }
  });

  test('a deadline that passes in mid call', async () => {
    const session = openSession(app.current.url);
    const request = { ':path': `${service}/ClaimJobs`, ...head, 'grpc-timeout': '50m' };
    const fast = meaningOf(ClaimJobsResponseSchema, await exchange(session, request, [claim(60)]));
    const slow = meaningOf(ClaimJobsResponseSchema, await exchange(session, { ...request, ...general }, [claim(60)]));
    expect(comparable(fast)).toEqual(comparable(slow));
    expect(fast).toMatchObject({
      status: String(Code.DeadlineExceeded),
      info: { error: 'deadline_exceeded', code: 504 },
    });
  });
});

test('a message flagged as compressed without grpc-encoding is told apart from garbage', async () => {
  const answer = await exchange(openSession(app.current.url), { ':path': `${service}/GetJob`, ...head }, [
    framed(unknown, 1),
  ]);
  expect(meaningOf(GetJobResponseSchema, answer)).toMatchObject({
    status: String(Code.Internal),
    message: 'received compressed envelope, but do not know how to decompress',
  });
});

test('grpc-message is encoded no more than the protocol asks for', async () => {
  const request = { ':path': `${service}/GetJob`, ...head };
  const { headers } = await exchange(openSession(app.current.url), request, [framed(get('a:b/c é%\n'))]);
  expect(headers['grpc-message']).toBe('There is no job a:b/c %C3%A9%25%0A.');
});

describe('what is no gRPC call of a method that there is', () => {
  const request = { ':path': `${service}/GetJob`, ...head };
  // A gRPC client makes a status of these: 404 is unimplemented, 415 unknown, 403 permission denied.
  test.each([
    ['an unknown method', { ...request, ':path': `${service}/NoSuchMethod` }, 404],
    ['an unknown service', { ...request, ':path': '/muster.v1.NoSuchService/GetJob' }, 404],
    ['a path with a query', { ...request, ':path': `${service}/GetJob/?a=1` }, 404],
    ['a content type of nobody', { ...request, 'content-type': 'application/grpc+thrift' }, 415],
    ['no content type', { ':path': `${service}/GetJob` }, 415],
    ['PUT', { ...request, ':method': 'PUT' }, 405],
    ['a compression of nobody', { ...request, 'grpc-encoding': 'snappy' }, 200],
  ])('%s', async (_name, headers, status) => {
    const answer = await exchange(openSession(app.current.url), headers, [framed(unknown)]);
    expect(answer.headers[':status']).toBe(status);
    expect(answer.headers['x-correlation-id']).toBeTruthy();
    if (status === 200)
      expect({ ...answer.headers, ...answer.trailers }['grpc-status']).toBe(String(Code.Unimplemented));
  });

  test('foreign hosts and pages', async () => {
    const session = openSession(app.current.url);
    const host = await exchange(session, { ...request, ':authority': 'evil.example' }, [framed(unknown)]);
    expect(meaningOf(GetJobResponseSchema, host)).toMatchObject({
      status: String(Code.PermissionDenied),
      info: { error: 'forbidden' },
    });
    const page = await exchange(session, { ...request, origin: 'http://evil.example' }, [framed(unknown)]);
    expect(meaningOf(GetJobResponseSchema, page)).toMatchObject({
      status: String(Code.PermissionDenied),
      info: { error: 'forbidden' },
    });
    const slow = await exchange(session, { ...request, ...general, origin: 'http://evil.example' }, [framed(unknown)]);
    expect(slow.headers[':status']).toBe(403);
  });
});

describe('a caller who hangs up in mid call', () => {
  test.each([
    ['fast', {}],
    ['general', general],
  ])('%s path: the next worker gets the job, the log has the end', async (name, more) => {
    const kind = `hung-up-${name}`;
    const id = kind;
    const session = openSession(app.current.url);
    const stream = session.request({
      ':method': 'POST',
      ':path': `${service}/ClaimJobs`,
      ...head,
      ...more,
      'x-correlation-id': id,
    });
    stream.on('error', () => undefined);
    stream.end(claim(60, kind));
    const lines = () => app.current.logged.filter(({ corr_id }) => corr_id === id).map(({ event }) => event);
    await expect.poll(lines, { timeout: 30_000 }).toEqual(['request_start']);
    stream.close(8);
    await expect.poll(lines, { timeout: 30_000 }).toEqual(['request_start', 'request_end']);

    await rest(app.current.url, 'POST', '/v1/jobs', { kind });
    const next = await rest(app.current.url, 'POST', '/v1/jobs/claim', {
      worker_id: 'next',
      kinds: [kind],
      wait_sec: 60,
    });
    expect(next.json).toMatchObject([{ kind, attempts: 1 }]);
  });

  test('before the request is whole', async () => {
    const session = openSession(app.current.url);
    const stream = session.request({
      ':method': 'POST',
      ':path': `${service}/GetJob`,
      ...head,
      'x-correlation-id': 'half',
    });
    stream.on('error', () => undefined);
    stream.write(framed(unknown).subarray(0, 10));
    const lines = () => app.current.logged.filter(({ corr_id }) => corr_id === 'half').map(({ event }) => event);
    await expect.poll(lines, { timeout: 30_000 }).toEqual(['request_start']);
    stream.close(8);
    await expect.poll(lines, { timeout: 30_000 }).toEqual(['request_start', 'request_end']);
  });
});
