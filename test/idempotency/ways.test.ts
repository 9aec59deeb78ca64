import { Code } from '@connectrpc/connect';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createMusterClient, idempotencyKey, valueOf } from '../../src/client/index.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { transports } from '../support/wire/connect-api.js';
import { failureOf, openClient, type TransportName } from '../support/wire/connect-client.js';

const app = sharedTestApp();

/** What a call needs to be made under a key, and whether its answer was a replay. */
function under(key: string) {
  let replayed = false;
  return {
    options: {
      headers: { 'idempotency-key': key },
      onHeader: (headers: Headers) => void (replayed = headers.get('idempotency-replayed') === 'true'),
    },
    wasReplayed: () => replayed,
  };
}

describe.each(Object.keys(transports) as TransportName[])('%s', (name) => {
  const request = { kind: 'build', payload: valueOf({ a: ['é', 1.5, null] }), runAt: undefined };

  test('a write is carried out once, whichever way it comes again', async () => {
    const { client } = openClient(app.current.url, name);
    const first = under(name);
    const made = await client.createJob(request, first.options);
    const again = under(name);
    expect(await client.createJob(request, again.options)).toEqual(made);
    expect([first.wasReplayed(), again.wasReplayed()]).toEqual([false, true]);
    const body = { kind: 'build', payload: { a: ['é', 1.5, null] } };
    const answer = await rest(app.current.url, 'POST', '/v1/jobs', body, { 'idempotency-key': name });
    expect(answer).toMatchObject({ status: 201, json: { id: made.id } });
    const other = client.createJob({ ...request, priority: 0 }, under(name).options);
    expect(await failureOf(other)).toEqual({
      code: Code[Code.AlreadyExists],
      error: 'conflict',
      field: 'Idempotency-Key',
    });
  });

  test('a key that cannot be one is refused, and one with a read is nothing to it', async () => {
    const { client } = openClient(app.current.url, name);
    const long = under('k'.repeat(256));
    expect(await failureOf(client.createJob(request, long.options))).toMatchObject({
      error: 'invalid_request',
      field: 'Idempotency-Key',
    });
    await client.listJobs({}, long.options);
    expect(long.wasReplayed()).toBe(false);
  });
});

test.each<TransportName>(['gRPC', 'Connect binary, gzip, h2c'])('a stream both ways takes no key: %s', async (name) => {
  const { client } = openClient(app.current.url, name);
  const stream = client.work((async function* () {})(), under('k').options)[Symbol.asyncIterator]();
  expect(await failureOf(stream.next())).toMatchObject({ error: 'invalid_request', field: 'Idempotency-Key' });
});

test('the client takes a key with a call', async () => {
  const muster = createMusterClient({ url: app.current.url });
  onTestFinished(() => muster.close());
  const { id } = await muster.jobs.createJob({ kind: 'build' }, idempotencyKey('client'));
  expect(await muster.jobs.createJob({ kind: 'build' }, idempotencyKey('client'))).toMatchObject({ id });
  expect(await muster.jobs.createJob({ kind: 'build' })).not.toMatchObject({ id });
});

test('keys of callers who have shown who they are are their own', async () => {
  const { url } = app.current;
  const token = async (headers: Record<string, string>) => {
    const { json } = await rest(url, 'POST', '/api/tokens', { role: 'human', name: 'x' }, headers);
    return { authorization: `Bearer ${(json as { secret: string }).secret}` };
  };
  const first = await token({});
  const second = await token(first);
  const submit = async (headers: Record<string, string>) => {
    const answer = await rest(url, 'POST', '/v1/jobs', { kind: 'mine' }, { ...headers, 'idempotency-key': 'mine' });
    return (answer.json as { id: string }).id;
  };
  const id = await submit(first);
  expect(await submit(second)).not.toBe(id);
  expect(await submit(first)).toBe(id);
});
