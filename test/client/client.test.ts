import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createMusterClient, errorFactsOf, type Json, JobStatus, jsonOf, valueOf } from '../../src/client/index.js';
import { AppError } from '../../src/errors.js';
import { sharedTestApp } from '../support/shared-app.js';
import { soon } from '../support/until.js';
import { startProxy } from './support/proxy.js';
import { jobIn, testClient, testWorker } from './support/worker.js';

const app = sharedTestApp();
const protocols = ['connect', 'grpc'] as const;

async function errorOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (answer) => expect.unreachable(`answered ${String(answer)}`),
    (error: unknown) => error,
  );
}

describe.each(protocols)('over %s', (protocol) => {
  test('a job is submitted, listed, watched, worked on and read', async () => {
    const client = testClient(app.current.url, protocol);
    const kind = `trip-${protocol}`;
    const { id, status } = await client.jobs.createJob({ kind, payload: valueOf({ n: 1 }) });
    expect(status).toBe(JobStatus.QUEUED);
    const { jobs } = await client.jobs.listJobs({ kind: [kind] });
    expect(jobs.map((job) => job.id)).toEqual([id]);
    testWorker({ client, kinds: [kind], handler: ({ payload }) => ({ payload }) });
    const job = await jobIn(client, id, JobStatus.DONE);
    expect(job.result && jsonOf(job.result)).toEqual({ payload: { n: 1 } });
    expect((await client.jobs.getJob({ id })).job).toEqual(job);
  });

  test('payloads as deep as they may be come through', async () => {
    const client = testClient(app.current.url, protocol);
    let payload: Json = 1;
    for (let level = 0; level < 128; level += 1) payload = level % 2 === 0 ? [payload] : { a: payload };
    const { id } = await client.jobs.createJob({ kind: 'deep', payload: valueOf(payload) });
    const { job } = await client.jobs.getJob({ id });
    expect(job?.payload && jsonOf(job.payload)).toEqual(payload);
  });

  test('errors tell the documented word, their details and where to look', async () => {
    const client = testClient(app.current.url, protocol);
    const error = errorFactsOf(await errorOf(client.jobs.createJob({ kind: 'no kind' })));
    expect(error).toEqual({
      word: 'invalid_request',
      message: 'kind: must be 1 to 128 letters, digits or _ . : / -',
      details: { field: 'kind' },
      unreachable: false,
      correlationId: expect.stringMatching(/./),
    });
    const stream = errorFactsOf(await errorOf(jobIn(client, 'job_0', JobStatus.DONE)));
    expect(stream).toMatchObject({ word: 'not_found', message: 'There is no job job_0.', unreachable: false });
  });

  test('a token goes along with every call, streams included', async () => {
    const client = createMusterClient({ url: app.current.url, protocol, token: 'wrong' });
    onTestFinished(() => client.close());
    // Until tokens exist every one is a wrong one.
    const unary = errorFactsOf(await errorOf(client.jobs.getJob({ id: 'job_0' })));
    const stream = errorFactsOf(await errorOf(jobIn(client, 'job_0', JobStatus.DONE)));
    expect([unary.word, stream.word]).toEqual(['unauthorized', 'unauthorized']);
    const { worker } = testWorker({ client, kinds: ['a'], handler: () => 1 });
    await expect(worker.finished).rejects.toMatchObject({ message: expect.stringContaining('unauthenticated') });
  });

  test('a server that cannot be reached is told from one that refuses', async () => {
    const proxy = await startProxy(app.current.url);
    const client = testClient(proxy.url, protocol);
    await client.jobs.listJobs({});
    proxy.cut();
    const cut = errorFactsOf(await errorOf(client.jobs.listJobs({})));
    expect(cut).toMatchObject({ word: 'unavailable', unreachable: true });
    // The same client works again as soon as the server does.
    proxy.restore();
    await client.jobs.listJobs({});
  });

  test('a port where nobody listens', async () => {
    const url = await urlOfNobody();
    const error = errorFactsOf(await errorOf(testClient(url, protocol).jobs.listJobs({})));
    expect(error).toMatchObject({ word: 'unavailable', message: 'connection refused', unreachable: true });
  });

  test('a host that does not exist', async () => {
    const error = errorFactsOf(await errorOf(testClient('http://nowhere.invalid', protocol).jobs.listJobs({})));
    expect(error).toMatchObject({ word: 'unavailable', message: 'unknown host', unreachable: true });
  });

  test('a server of another make', async () => {
    const url = await urlOf(createServer((_request, response) => response.end('hello')));
    const error = errorFactsOf(await errorOf(testClient(url, protocol).jobs.listJobs({})));
    expect(error).toMatchObject({ word: 'unavailable', unreachable: true });
  });

  test('closing ends what is under way', async () => {
    const client = createMusterClient({ url: app.current.url, protocol });
    const { id } = await client.jobs.createJob({ kind: 'never' });
    const following = errorOf(jobIn(client, id, JobStatus.DONE));
    await client.jobs.getJob({ id });
    client.close();
    expect(errorFactsOf(await soon('the watch to end', following)).word).toBe('canceled');
  });
});

test('errors of our own, and of others, have facts too', () => {
  expect(errorFactsOf(new AppError('too_large', 'No.', { details: { field: 'x' } }))).toEqual({
    word: 'too_large',
    message: 'No.',
    details: { field: 'x' },
    unreachable: false,
  });
  expect(errorFactsOf(new TypeError('odd'))).toMatchObject({ word: 'internal_error', message: 'odd' });
});

const urls = ['', 'localhost:8080', 'ftp://localhost', 'http://', 'http:// x'];
test.each(urls)("'%s' is no URL of a server", (url) => {
  expect(() => createMusterClient({ url })).toThrow(`url: '${url}' is no URL such as http://127.0.0.1:8080`);
});

async function urlOf(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function urlOfNobody(): Promise<string> {
  const server = createServer();
  const url = await urlOf(server);
  await new Promise((resolve) => server.close(resolve));
  return url;
}
