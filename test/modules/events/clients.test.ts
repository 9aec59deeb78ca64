import { createClient } from '@connectrpc/connect';
import { Http2SessionManager } from '@connectrpc/connect-node';
import { credentials, Client as GrpcClient } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';
import { EventSource } from 'eventsource';
import { describe, expect, onTestFinished, test } from 'vitest';
import { EventService } from '../../../gen/muster/v1/events_pb.js';
import { startTestApp } from '../../support/app.js';
import { createTestDatabase } from '../../support/database.js';
import { createJobsClient } from '../../support/jobs-client.js';
import { soon, until } from '../../support/until.js';
import { transports } from '../../support/wire/connect-api.js';
import { failureOf, type TransportName } from '../../support/wire/connect-client.js';

const upTo = (last: number): number[] => Array.from({ length: last }, (_, n) => n + 1);

async function submit(url: string, count: number): Promise<void> {
  const jobs = createJobsClient(url);
  for (let n = 0; n < count; n++) await jobs.submit({ kind: 'build' });
}

test('eventsource: comes back by itself after its server has gone, and has everything once', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const first = await startTestApp({ database });
  const seqs: number[] = [];
  const source = new EventSource(`${first.url}/api/events/subscribe?after=0`);
  onTestFinished(() => source.close());
  source.addEventListener('message', ({ lastEventId, data }) => {
    const event = JSON.parse(String(data)) as { seq: number };
    expect(Number(lastEventId)).toBe(event.seq);
    seqs.push(event.seq);
  });
  await submit(first.url, 5);
  await until('the first have come', () => seqs.length === 5);
  await soon('the server to stop', first.app.stop());
  const second = await startTestApp({ database, flags: { port: new URL(first.url).port } });
  await submit(second.url, 5);
  await until('the others have come', () => seqs.length >= 10);
  expect(seqs).toEqual(upTo(10));
});

describe.each(Object.keys(transports) as TransportName[])('%s', (name) => {
  test('follows, and is refused with the field at fault', async () => {
    const { url } = await startTestApp();
    const sessions = new Http2SessionManager(url);
    onTestFinished(() => sessions.abort());
    const client = createClient(EventService, transports[name](url, sessions));
    await submit(url, 2);
    const given = new AbortController();
    onTestFinished(() => given.abort());
    const seqs: number[] = [];
    const first: string[] = [];
    const over = (async () => {
      for await (const { events } of client.subscribeEvents({ after: 0n }, { signal: given.signal })) {
        if (seqs.length === 0 && events.length > 0) await submit(url, 2);
        seqs.push(...events.map(({ seq }) => Number(seq)));
        first.push(...events.map(({ type }) => type));
        if (seqs.length >= 4) return;
      }
    })();
    await soon('all to come', over);
    expect([seqs, new Set(first)]).toEqual([upTo(4), new Set(['JobQueued'])]);
    const refused = client.subscribeEvents({ after: 99n })[Symbol.asyncIterator]().next();
    expect(await failureOf(refused)).toEqual({ code: 'InvalidArgument', error: 'invalid_request', field: 'after' });
  });
});

test('@grpc/grpc-js: lists, replays and follows', async () => {
  const { url } = await startTestApp();
  await submit(url, 3);
  const service = loadSync('muster/v1/events.proto', {
    includeDirs: ['proto', 'node_modules/google-proto-files'],
    keepCase: true,
    enums: String,
    longs: Number,
  })['muster.v1.EventService'] as unknown as Readonly<Record<string, MethodDefinition<object, object>>>;
  const client = new GrpcClient(new URL(url).host, credentials.createInsecure());
  onTestFinished(() => client.close());
  type Page = { readonly events?: readonly { readonly seq: number; readonly type: string; readonly source: string }[] };
  const unary = (name: string, request: object): Promise<Page> =>
    new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = service[name] as MethodDefinition<object, object>;
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, answer) => {
        if (error === null) resolve(answer as Page);
        else reject(error);
      });
    });
  expect((await unary('ListEvents', { limit: 2 })).events?.map(({ seq }) => seq)).toEqual([3, 2]);
  expect((await unary('ReplayEvents', { after: 1 })).events).toMatchObject([
    { seq: 2, type: 'JobQueued', source: 'EVENT_SOURCE_REST' },
    { seq: 3, type: 'JobQueued', source: 'EVENT_SOURCE_REST' },
  ]);
  const { path, requestSerialize, responseDeserialize } = service['SubscribeEvents'] as MethodDefinition<
    object,
    object
  >;
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { after: 0 });
  onTestFinished(() => stream.cancel());
  stream.on('error', () => undefined);
  const seqs: number[] = [];
  stream.on('data', ({ events = [] }: Page) => seqs.push(...events.map(({ seq }) => seq)));
  await until('the first have come', () => seqs.length === 3);
  await submit(url, 2);
  await until('all have come', () => seqs.length === 5);
  expect(seqs).toEqual(upTo(5));
});
