import { create } from '@bufbuild/protobuf';
import { ValueSchema } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { JobService } from '../../gen/muster/v1/jobs_pb.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import type { Api, ApiKind, Fields, MethodName } from '../support/wire/api.js';
import { bufCurlApis } from '../support/wire/buf-curl-api.js';
import { failureOf } from '../support/wire/connect-client.js';
import { connectApis } from '../support/wire/connect-api.js';
import { grpcJsApis } from '../support/wire/grpc-js-api.js';
import { restApi } from '../support/wire/rest-api.js';

const app = sharedTestApp();

const deepest = nested(128);
const scalars: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  1,
  -1,
  0.1,
  1e308,
  -1e308,
  5e-324,
  2 ** 53,
  1.5e-7,
  '',
  'null',
  'é😀\0\n"\\/\u2028',
];
const objects: readonly unknown[] = [
  {},
  [],
  [[]],
  [null],
  { '': '' },
  { a: null, b: { c: [{}, []] } },
  { toString: 1, constructor: 2, hasOwnProperty: 3 },
  { 'a.b': 1, 'a b': 2, é: 3, '0': 4, $typeName: 'x' },
];
const proto = JSON.parse('{"__proto__":{"a":1},"b":[{"__proto__":null}]}') as unknown;

function nested(levels: number): unknown {
  return JSON.parse(`${'{"a":['.repeat(levels / 2)}1${']}'.repeat(levels / 2)}`);
}

/** JSON text with its keys in order: what a value is, whatever JavaScript makes of `__proto__` and -0. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`);
  return `{${members.sort().join()}}`;
}

async function ok(api: Api, method: MethodName, request: Fields): Promise<Fields> {
  const outcome = await api.call(method, request);
  if ('failed' in outcome) throw new Error(JSON.stringify(outcome.failed));
  return outcome.ok;
}

/** Submits the value, claims it, tells it as progress, completes with it and reads it: five journeys. */
async function roundTrip(api: Api, value: unknown): Promise<string[]> {
  const { id } = await ok(api, 'CreateJob', { kind: 'echo', payload: value });
  const claimed = await ok(api, 'ClaimJobs', { worker_id: 'w', kinds: ['echo'] });
  const [job] = claimed['jobs'] as [{ id: string; lease_token: string; payload?: unknown }];
  expect(job.id).toBe(id);
  const lease = { id, lease_token: job.lease_token };
  await ok(api, 'HeartbeatJob', { ...lease, progress: value });
  const done = (await ok(api, 'CompleteJob', { ...lease, result: value }))['job'] as Fields;
  const read = (await ok(api, 'GetJob', { id }))['job'] as Fields;
  // null is what an absent field means, and what the comparison takes it for.
  return [job.payload, done['progress'], done['result'], read['payload'], read['result']].map((each) =>
    canonical(each ?? null),
  );
}

function opened(kind: ApiKind): Api {
  const api = kind.open(app.current.url);
  onTestFinished(() => api.close());
  return api;
}

describe.each([restApi, ...connectApis, ...grpcJsApis].map((kind) => [kind.name, kind] as const))(
  '%s',
  (_name, kind) => {
    test('any JSON comes back equal', async () => {
      const api = opened(kind);
      for (const value of [...scalars, ...objects, [scalars, objects], nested(kind.maxDepth ?? 128)]) {
        expect(await roundTrip(api, value)).toEqual(Array(5).fill(canonical(value)));
      }
    });

    test('__proto__ is a key like any other', async () => {
      expect(await roundTrip(opened(kind), proto)).toEqual(Array(5).fill(canonical(proto)));
    });

    if (kind.maxDepth === undefined) {
      test('129 levels are refused', async () => {
        expect(await opened(kind).call('CreateJob', { kind: 'deep', payload: [deepest] })).toMatchObject({
          failed: {
            error: 'invalid_request',
            details: { field: 'payload' },
            message: 'payload: may be 128 levels deep',
          },
        });
      });
    }

    test('1 MiB comes back equal', async () => {
      const payload = ['x'.repeat(1024 * 1024 - 4)];
      expect(await roundTripOfPayload(opened(kind), payload)).toBe(canonical(payload));
    });
  },
);

describe.each(bufCurlApis.map((kind) => [kind.name, kind] as const))('%s', (_name, kind) => {
  test('any JSON comes back equal', async () => {
    const api = opened(kind);
    const all = [scalars, objects, proto];
    expect(await roundTripOfPayload(api, all)).toBe(canonical(all));
    expect(await roundTripOfPayload(api, deepest)).toBe(canonical(deepest));
    expect(await api.call('CreateJob', { kind: 'deep', payload: [deepest] })).toMatchObject({
      failed: { details: { field: 'payload' } },
    });
  });
});

async function roundTripOfPayload(api: Api, payload: unknown): Promise<string> {
  const { id } = await ok(api, 'CreateJob', { kind: 'read', payload });
  const { job } = await ok(api, 'GetJob', { id });
  return canonical((job as Fields)['payload']);
}

test('what one way stores, every other reads', async () => {
  const value = [scalars, objects, proto, nested(30)];
  const kinds = [restApi, ...connectApis, ...grpcJsApis];
  for (const writer of kinds) {
    const { id } = await ok(opened(writer), 'CreateJob', { kind: 'cross', payload: value });
    const { payload } = (await rest(app.current.url, 'GET', `/v1/jobs/${String(id)}`)).json as { payload: unknown };
    expect({ writer: writer.name, payload: canonical(payload) }).toEqual({
      writer: writer.name,
      payload: canonical(value),
    });
  }
});

describe('what JSON has no word for is refused, naming the field', () => {
  test.each(['1e999', '-1e999', '[{"a":[1e400]}]'])('%s over REST', async (payload) => {
    const answer = await rest(app.current.url, 'POST', '/v1/jobs', `{"kind":"a","payload":${payload}}`);
    expect(answer).toMatchObject({ status: 400, json: { error: 'invalid_request', details: { field: 'payload' } } });
  });

  test.each([NaN, Infinity, -Infinity])('%s over gRPC and Connect', async (number) => {
    const baseUrl = app.current.url;
    const payload = create(ValueSchema, { kind: { case: 'numberValue', value: number } });
    for (const transport of [
      createGrpcTransport({ baseUrl }),
      createConnectTransport({ baseUrl, httpVersion: '1.1', useBinaryFormat: true }),
    ]) {
      const call = createClient(JobService, transport).createJob({ kind: 'a', payload });
      expect(await failureOf(call)).toEqual({ code: 'InvalidArgument', error: 'invalid_request', field: 'payload' });
    }
  });

  test('1e999 over Connect JSON', async () => {
    const answer = await rest(
      app.current.url,
      'POST',
      '/muster.v1.JobService/CreateJob',
      '{"kind":"a","payload":[1e999]}',
    );
    expect(answer).toMatchObject({ status: 400, json: { code: 'invalid_argument' } });
  });
});

test('many more levels are refused like 129', async () => {
  const levels = 500_000;
  const body = `{"kind":"a","payload":${'['.repeat(levels)}${']'.repeat(levels)}}`;
  const answer = await rest(app.current.url, 'POST', '/v1/jobs', body);
  expect(answer).toMatchObject({ status: 400, json: { message: 'payload: may be 128 levels deep' } });
  const rpc = await rest(app.current.url, 'POST', '/muster.v1.JobService/CreateJob', body);
  expect(rpc).toMatchObject({ status: 400, json: { code: 'invalid_argument' } });
});

test('numbers are doubles: what has more digits is rounded the same way everywhere', async () => {
  const { url } = app.current;
  for (const path of ['/v1/jobs', '/muster.v1.JobService/CreateJob']) {
    const { json } = await rest(url, 'POST', path, '{"kind":"a","payload":12345678901234567890}');
    expect((await rest(url, 'GET', `/v1/jobs/${(json as { id: string }).id}`)).text).toContain(
      '"payload":12345678901234567000,',
    );
  }
});

// JSON can escape it, but protobuf has no bytes for it: what was sent over REST would be told otherwise over gRPC.
describe('half a surrogate pair is refused', () => {
  test.each(['"\\ud800"', '["a",{"b":"\\udc00a"}]', '{"a":{"\\ud83d":1}}'])('%s', async (payload) => {
    const { url } = app.current;
    const rested = await rest(url, 'POST', '/v1/jobs', `{"kind":"half","payload":${payload}}`);
    const message = 'payload: must be JSON without halves of surrogate pairs';
    expect(rested).toMatchObject({ status: 400, json: { message, details: { field: 'payload' } } });
    const called = await rest(url, 'POST', '/muster.v1.JobService/CreateJob', `{"kind":"half","payload":${payload}}`);
    expect(called).toMatchObject({
      status: 400,
      json: { message, details: [{ debug: { details: { field: 'payload' } } }] },
    });
    expect((await rest(url, 'GET', '/v1/jobs?kind=half')).json).toEqual([]);
  });

  test('also in the result of a worker, and a whole one is none of it', async () => {
    const { url } = app.current;
    await rest(url, 'POST', '/v1/jobs', '{"kind":"whole","payload":["\\ud83d\\ude00"]}');
    const claimed = await rest(url, 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['whole'] });
    const [{ id, lease_token, payload }] = claimed.json as [{ id: string; lease_token: string; payload: unknown }];
    expect(payload).toEqual(['\u{1f600}']);
    const body = `{"lease_token":"${lease_token}","result":["\\ude00\\ud83d"]}`;
    expect(await rest(url, 'POST', `/v1/jobs/${id}/complete`, body)).toMatchObject({
      status: 400,
      json: { details: { field: 'result' } },
    });
  });
});
