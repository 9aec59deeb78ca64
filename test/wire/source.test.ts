import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createMusterClient } from '../../src/client/index.js';
import { replayEvents } from '../support/events-client.js';
import { sharedTestApp } from '../support/shared-app.js';

const app = sharedTestApp();

type Headers = Readonly<Record<string, string>>;

async function post(path: string, headers: Headers, body: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const response = await fetch(app.current.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  });
  return ((await response.json()) as { id: string }).id;
}

async function byClient(protocol: 'connect' | 'grpc', headers: Headers): Promise<string> {
  const client = createMusterClient({ url: app.current.url, protocol, headers });
  onTestFinished(() => client.close());
  return (await client.jobs.createJob({ kind: 'source' })).id;
}

const job = '{"kind":"source"}';
const createJob = '/muster.v1.JobService/CreateJob';

/** Each submits a job with some headers, and answers its id. */
const ways = {
  'Connect, binary': (headers) => byClient('connect', headers),
  gRPC: (headers) => byClient('grpc', headers),
  'Connect, JSON': (headers) => post(createJob, headers, job),
  // Not for the fast lane.
  'Connect, compressed': (headers) => post(createJob, { ...headers, 'content-encoding': 'gzip' }, gzipSync(job)),
  REST: (headers) => post('/v1/jobs', headers, job),
} satisfies Record<string, (headers: Headers) => Promise<string>>;

async function sourceOf(id: string): Promise<string | undefined> {
  return (await replayEvents(app.current.url, `?job_id=${id}&type=JobQueued`))[0]?.source;
}

describe.each(Object.entries(ways))('%s', (name, submit) => {
  const usual = name === 'REST' ? 'Rest' : 'Rpc';
  test.each([
    ['cli', name === 'REST' ? 'Rest' : 'Cli'],
    ['CLI', usual],
    ['cli, cli', usual],
    ['System', usual],
    ['', usual],
    [undefined, usual],
  ])('x-muster-source: %j makes it %s', async (said, source) => {
    expect(await sourceOf(await submit(said === undefined ? {} : { 'x-muster-source': said }))).toBe(source);
  });
});
