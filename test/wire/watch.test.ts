import { type ClientReadableStream, Metadata } from '@grpc/grpc-js';
import { ConnectError } from '@connectrpc/connect';
import { describe, expect, onTestFinished, test } from 'vitest';
import { JobStatus, type WatchJobResponse } from '../../gen/muster/v1/jobs_pb.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { failureOf, openClient, type TransportName } from '../support/wire/connect-client.js';
import { failureOf as grpcJsFailureOf, fromLoader, grpcJsClient, methodOf } from '../support/wire/grpc-js-api.js';

const app = sharedTestApp({ logLevel: 'info' });
const unknown = 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV';

async function submit(kind: string): Promise<string> {
  const { json } = await rest(app.current.url, 'POST', '/v1/jobs', { kind });
  return (json as { id: string }).id;
}

/** Claims and completes the job of this kind, as a worker somewhere else. */
function worker(kind: string) {
  let job: { id: string; lease_token: string } | undefined;
  return {
    claim: async (): Promise<void> => {
      const { json } = await rest(app.current.url, 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: [kind] });
      [job] = json as { id: string; lease_token: string }[];
    },
    complete: () =>
      rest(app.current.url, 'POST', `/v1/jobs/${job?.id}/complete`, { lease_token: job?.lease_token, result: [1] }),
  };
}

/** What the log has of a call, by its correlation id. */
const logOf = (id: string) => () =>
  app.current.logged.filter(({ corr_id }) => corr_id === id).map(({ event }) => event);

const names: readonly TransportName[] = [
  'Connect JSON',
  'Connect JSON, h2c',
  'Connect binary',
  'Connect binary, gzip, h2c',
  'gRPC',
  'gRPC, gzip',
  'gRPC JSON',
  'gRPC-Web',
  'gRPC-Web, h2c',
];

describe.each(names)('%s', (name) => {
  test('follows a job to its end', async () => {
    const kind = `follow-${names.indexOf(name)}`;
    const id = await submit(kind);
    const { claim, complete } = worker(kind);
    const stream = openClient(app.current.url, name).client.watchJob({ id })[Symbol.asyncIterator]();
    const next = async (): Promise<WatchJobResponse['job']> => ((await stream.next()).value as WatchJobResponse).job;
    expect(await next()).toMatchObject({ id, status: JobStatus.QUEUED });
    await claim();
    expect(await next()).toMatchObject({ status: JobStatus.RUNNING, attempts: 1 });
    await complete();
    expect(await next()).toMatchObject({ status: JobStatus.DONE, result: { kind: { case: 'listValue' } } });
    expect((await stream.next()).done).toBe(true);
  });

  test('a job that has ended is told once', async () => {
    const id = await submit('ended');
    await rest(app.current.url, 'DELETE', `/v1/jobs/${id}`);
    const seen = [];
    for await (const { job } of openClient(app.current.url, name).client.watchJob({ id })) seen.push(job?.status);
    expect(seen).toEqual([JobStatus.CANCELED]);
  });

  test('errors', async () => {
    const { client } = openClient(app.current.url, name);
    const first = (id: string, headers = {}) =>
      failureOf(client.watchJob({ id }, { headers })[Symbol.asyncIterator]().next());
    expect(await first(unknown)).toEqual({ code: 'NotFound', error: 'not_found' });
    expect(await first('42')).toEqual({ code: 'NotFound', error: 'not_found' });
    expect(await first(unknown, { authorization: 'Bearer x' })).toEqual({
      code: 'Unauthenticated',
      error: 'unauthorized',
    });
  });

  test('a deadline ends it', async () => {
    const id = await submit('deadline');
    const correlation = `deadline-${names.indexOf(name)}`;
    const { client } = openClient(app.current.url, name);
    // The header alone: the client's own timer would end the call without the server.
    const header = name.startsWith('Connect') ? { 'connect-timeout-ms': '300' } : { 'grpc-timeout': '300m' };
    const headers = { ...header, 'x-correlation-id': correlation };
    const stream = client.watchJob({ id }, { headers })[Symbol.asyncIterator]();
    expect((await stream.next()).value).toMatchObject({ job: { id } });
    expect(await failureOf(stream.next())).toEqual({ code: 'DeadlineExceeded', error: 'deadline_exceeded' });
    await expect.poll(logOf(correlation), { timeout: 30_000 }).toEqual(['request_start', 'request_end']);
  });

  test('a watcher who leaves is noticed', async () => {
    const id = await submit('left');
    const correlation = `left-${names.indexOf(name)}`;
    const leaving = new AbortController();
    const { client } = openClient(app.current.url, name);
    const options = { signal: leaving.signal, headers: { 'x-correlation-id': correlation } };
    const stream = client.watchJob({ id }, options)[Symbol.asyncIterator]();
    await stream.next();
    leaving.abort();
    await expect(stream.next()).rejects.toThrow(ConnectError);
    await expect.poll(logOf(correlation), { timeout: 30_000 }).toEqual(['request_start', 'request_end']);
  });
});

describe('@grpc/grpc-js', () => {
  function watch(id: string, headers: Record<string, string> = {}, deadline = Infinity): ClientReadableStream<object> {
    const { path, requestSerialize, responseDeserialize } = methodOf('WatchJob');
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const client = grpcJsClient(app.current.url);
    onTestFinished(() => client.close());
    return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, { id }, metadata, {
      deadline,
    });
  }

  test('follows a job to its end', async () => {
    const id = await submit('grpc-js');
    const { claim, complete } = worker('grpc-js');
    const statuses: unknown[] = [];
    for await (const message of watch(id)) {
      const { job } = fromLoader(message) as { job: { status: string } };
      statuses.push(job.status);
      if (job.status === 'JOB_STATUS_QUEUED') await claim();
      if (job.status === 'JOB_STATUS_RUNNING') await complete();
    }
    expect(statuses).toEqual(['JOB_STATUS_QUEUED', 'JOB_STATUS_RUNNING', 'JOB_STATUS_DONE']);
  });

  test('errors', async () => {
    const failed = async (stream: ClientReadableStream<object>) => {
      const error = await stream.toArray().catch((thrown: unknown) => thrown);
      return grpcJsFailureOf(error as Parameters<typeof grpcJsFailureOf>[0]);
    };
    expect(await failed(watch(unknown))).toMatchObject({ rpcCode: 'not_found', failed: { error: 'not_found' } });
    expect(await failed(watch(unknown, { authorization: 'x' }))).toMatchObject({ rpcCode: 'unauthenticated' });
  });
});
