import type { MessageInitShape } from '@bufbuild/protobuf';
import { type ClientDuplexStream, Metadata } from '@grpc/grpc-js';
import { Code } from '@connectrpc/connect';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  JobStatus,
  type WorkRequestSchema,
  type WorkResponse,
  WorkResponseSchema,
} from '../../gen/muster/v1/jobs_pb.js';
import { openRelay } from '../support/relay.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { failureOf, openClient, type TransportName } from '../support/wire/connect-client.js';
import { failureOf as grpcJsFailureOf, fromLoader, grpcJsClient, methodOf } from '../support/wire/grpc-js-api.js';
import { exchange, framed, meaningOf, openSession } from '../support/wire/raw-grpc.js';
import { createQueue } from '../support/wire/queue.js';

const app = sharedTestApp({ logLevel: 'info' });

type Request = MessageInitShape<typeof WorkRequestSchema>;

// Both directions at a time take HTTP/2; gRPC-Web has no such streams.
const names: readonly TransportName[] = [
  'Connect JSON, h2c',
  'Connect binary, gzip, h2c',
  'gRPC',
  'gRPC, gzip',
  'gRPC JSON',
];

const start = (kind: string, more = {}): Request => ({
  message: { case: 'start', value: { workerId: 'w', kinds: [kind], capacity: 1, leaseSec: 30, ...more } },
});
const update = (value: object): Request => ({ message: { case: 'update', value } });

/** What the log has of a call, by its correlation id; where the connection breaks, which end comes first is left to chance. */
const logOf = (id: string) => () =>
  app.current.logged
    .filter(({ corr_id }) => corr_id === id)
    .map(({ event }) => event)
    .sort();
/** The same of a stream that has been welcomed and is over, for both who carry it and who serves it. */
const endToEnd = ['request_end', 'request_start', 'worker_connected', 'worker_disconnected'];

async function submit(kind: string, payload?: unknown): Promise<string> {
  const { json } = await rest(app.current.url, 'POST', '/v1/jobs', { kind, payload });
  return (json as { id: string }).id;
}

const statusOf = async (id: string): Promise<unknown> =>
  ((await rest(app.current.url, 'GET', `/v1/jobs/${id}`)).json as { status: string }).status;

function openWork(name: TransportName, headers: Record<string, string> = {}) {
  const { client, breakOff } = openClient(app.current.url, name);
  const say = createQueue<Request>();
  const hear = client.work(say, { headers })[Symbol.asyncIterator]();
  onTestFinished(() => say.end());
  /** The next message; fails at the stream's end. */
  const next = async (): Promise<WorkResponse> => {
    const { value, done } = await hear.next();
    if (done === true) throw new Error('the stream has ended');
    return value;
  };
  return { say, hear, next, breakOff };
}

describe.each(names)('%s', (name) => {
  const tag = `${names.indexOf(name)}`;

  test('a worker at work', async () => {
    const kind = `work-${tag}`;
    const { say, hear, next } = openWork(name);
    say.push(start(kind));
    expect(await next()).toMatchObject({ started: { leaseSec: 30 }, jobs: [], drain: false });

    const first = await submit(kind, { a: 1 });
    const second = await submit(kind);
    const { jobs } = await next();
    expect(jobs).toMatchObject([{ id: first, attempts: 1, kind, payloadJson: '{"a":1}' }]);
    const lease = { id: first, leaseToken: jobs[0]?.leaseToken ?? '' };

    say.push(update({ held: [{ ...lease, progressJson: '"half"' }] }));
    expect(await next()).toMatchObject({ outcomes: [{ ...lease, status: JobStatus.RUNNING, leaseExpiresAt: {} }] });

    // Room for the second one is there as soon as the first is reported.
    say.push(update({ completed: [{ ...lease, resultJson: ' true ' }] }));
    const after = [await next()];
    while (!after.some((message) => message.jobs.length > 0)) after.push(await next());
    expect(after.flatMap(({ completed }) => completed)).toEqual([first]);
    const [given] = after.flatMap((message) => message.jobs);
    expect(given?.id).toBe(second);

    await rest(app.current.url, 'DELETE', `/v1/jobs/${second}`);
    expect(await next()).toMatchObject({
      stopped: [{ id: second, leaseToken: given?.leaseToken, reason: 'canceled' }],
    });

    // What is still held when the worker ends its side goes back to the queue.
    const third = await submit(kind);
    expect(await next()).toMatchObject({ jobs: [{ id: third }] });
    say.end();
    expect((await hear.next()).done).toBe(true);
    expect(await statusOf(third)).toBe('queued');
    expect((await rest(app.current.url, 'GET', `/v1/jobs/${first}`)).json).toMatchObject({
      status: 'done',
      result: true,
      progress: 'half',
    });
  });

  test('a refused report is answered with its error word', async () => {
    const { say, next } = openWork(name, { 'x-correlation-id': `refused-${tag}` });
    say.push(start(`refused-${tag}`));
    await next();
    const id = 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV';
    say.push(update({ completed: [{ id, leaseToken: 'x' }] }));
    expect(await next()).toMatchObject({
      outcomes: [{ id, leaseToken: 'x', error: { error: 'not_found', code: 404, correlationId: `refused-${tag}` } }],
    });
  });

  test.each<readonly [string, readonly Request[], string]>([
    ['an update before the start', [update({})], 'start: must be the first message'],
    ['nothing', [{}], 'message: must be start or update'],
    ['a start without kinds', [start('x', { kinds: [] })], 'kinds: must name 1 to 50 kinds'],
    ['a start with too much capacity', [start('x', { capacity: 5001 })], 'capacity: must be between 0 and 5000'],
    ['a start without a name', [start('x', { workerId: '' })], 'worker_id: is required'],
    ['two starts', [start('x'), start('x')], 'start: comes once, as the first message'],
  ])('%s ends the stream', async (_name, requests, message) => {
    const { say, hear } = openWork(name);
    for (const request of requests) say.push(request);
    const all = async (): Promise<void> => {
      while ((await hear.next()).done !== true);
    };
    const failed = all();
    expect(await failureOf(failed)).toMatchObject({ code: 'InvalidArgument', error: 'invalid_request' });
    await expect(failed).rejects.toMatchObject({ rawMessage: message });
  });

  test('a stranger', async () => {
    const { say, hear } = openWork(name, { authorization: 'Bearer x' });
    say.push(start('x'));
    expect(await failureOf(hear.next())).toEqual({ code: 'Unauthenticated', error: 'unauthorized' });
  });

  test('a deadline ends it, though the worker says nothing', async () => {
    const kind = `work-deadline-${tag}`;
    const header = name.startsWith('Connect') ? { 'connect-timeout-ms': '300' } : { 'grpc-timeout': '300m' };
    const { say, hear, next } = openWork(name, { ...header, 'x-correlation-id': kind });
    say.push(start(kind));
    await next();
    expect(await failureOf(hear.next())).toEqual({ code: 'DeadlineExceeded', error: 'deadline_exceeded' });
    await expect.poll(logOf(kind), { timeout: 30_000 }).toEqual(endToEnd);
  });

  test('a connection that breaks is noticed, and its leases run on', async () => {
    const kind = `work-broken-${tag}`;
    const { say, next, breakOff } = openWork(name, { 'x-correlation-id': kind });
    say.push(start(kind));
    await next();
    const id = await submit(kind);
    await next();
    breakOff();
    await expect.poll(logOf(kind), { timeout: 30_000 }).toEqual(endToEnd);
    expect(await statusOf(id)).toBe('running');
  });
});

test('a worker that is killed is noticed, though it says no goodbye', async () => {
  const kind = 'work-killed';
  const relay = await openRelay(app.current.url);
  const say = createQueue<Request>();
  const headers = { 'x-correlation-id': kind };
  const hear = openClient(relay.url, 'gRPC').client.work(say, { headers })[Symbol.asyncIterator]();
  onTestFinished(() => say.end());
  say.push(start(kind));
  await hear.next();
  relay.cut();
  await expect.poll(logOf(kind), { timeout: 30_000 }).toEqual(endToEnd);
  expect(await statusOf(await submit(kind))).toBe('queued');
});

describe('a worker that talks nonsense', () => {
  const head = { ':path': '/muster.v1.JobService/Work', 'content-type': 'application/grpc', te: 'trailers' };
  test.each([
    ['a message that is none', [framed(Buffer.of(0x0a, 0xff))], Code.InvalidArgument, 'invalid_request'],
    ['half a message', [Buffer.of(0, 0, 0, 0, 9, 1)], Code.InvalidArgument, 'invalid_request'],
    ['a message over the limit', [Buffer.of(0, 0xff, 0xff, 0xff, 0xff)], Code.ResourceExhausted, 'too_large'],
  ] as const)('%s', async (name, pieces, code, error) => {
    const answer = await exchange(
      openSession(app.current.url),
      { ...head, 'x-correlation-id': name.replaceAll(' ', '-') },
      pieces,
    );
    expect(meaningOf(WorkResponseSchema, answer)).toMatchObject({ status: String(code), info: { error } });
  });
});

test('none of this is a fault of ours', () => {
  expect(app.current.logged.filter(({ level }) => level === 'ERROR')).toEqual([]);
});

test('@grpc/grpc-js: no message is larger than it takes by default, whatever the payloads', async () => {
  const kind = 'work-large';
  const { path, requestSerialize, responseDeserialize } = methodOf('Work');
  const client = grpcJsClient(app.current.url);
  onTestFinished(() => client.close());
  // Characters of three bytes; the last one of them fills its 1 MiB.
  const sizes = [1, 100_000, 174_000, 1, 349_524, 349_524, 1, 349_524];
  const ids = new Map<string, string>();
  for (const size of sizes) {
    const payload = '€'.repeat(size);
    ids.set(await submit(kind, payload), JSON.stringify(payload));
  }
  const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
  onTestFinished(() => stream.cancel());
  stream.write({ start: { worker_id: 'w', kinds: [kind], capacity: sizes.length } });
  const come = new Map<string, string>();
  for await (const message of stream as AsyncIterable<unknown>) {
    const { jobs } = fromLoader(message) as { jobs: { id: string; payload_json: string }[] };
    for (const { id, payload_json: payload } of jobs) come.set(id, payload);
    if (come.size === sizes.length) break;
  }
  expect([...come]).toEqual([...ids]);
});

test('@grpc/grpc-js: a worker at work', async () => {
  const kind = 'work-grpc-js';
  const { path, requestSerialize, responseDeserialize } = methodOf('Work');
  const client = grpcJsClient(app.current.url);
  onTestFinished(() => client.close());
  const open = (): ClientDuplexStream<object, object> =>
    client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
  const stream = open();
  const hear = stream[Symbol.asyncIterator]() as AsyncIterator<unknown>;
  const next = async (): Promise<unknown> => fromLoader((await hear.next()).value);

  stream.write({ start: { worker_id: 'w', kinds: [kind], capacity: 2 } });
  expect(await next()).toMatchObject({ started: { lease_sec: 60 } });
  const id = await submit(kind, { a: [1] });
  const { jobs } = (await next()) as { jobs: { lease_token: string }[] };
  expect(jobs).toMatchObject([{ id, payload_json: '{"a":[1]}', attempts: 1 }]);
  const lease = { id, lease_token: jobs[0]?.lease_token };
  stream.write({ update: { failed: [{ ...lease, error: { code: 'x', message: 'é' } }] } });
  expect(await next()).toMatchObject({ outcomes: [{ ...lease, status: 'JOB_STATUS_ERROR', error: null }] });
  stream.end();
  expect((await hear.next()).done).toBe(true);
  expect(await statusOf(id)).toBe('error');

  const bad = open();
  bad.write({ update: {} });
  const error = await bad.toArray().catch((thrown: unknown) => thrown);
  expect(grpcJsFailureOf(error as Parameters<typeof grpcJsFailureOf>[0])).toMatchObject({
    rpcCode: 'invalid_argument',
    failed: { message: 'start: must be the first message' },
  });
});
