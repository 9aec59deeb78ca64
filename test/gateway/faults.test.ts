import { create, type DescMessage, type Registry, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { localCaller } from '../../src/platform/auth/local.js';
import { createLog } from '../../src/platform/log.js';
import { createDispatch } from '../../src/platform/rpc/dispatch.js';
import { rest } from '../support/rest.js';
import { libraryService, sharedLibrary } from '../support/fixtures/library.js';
import { readInfo } from '../support/wire/error-info.js';
import { exchange, framed, meaningOf, openSession } from '../support/wire/raw-grpc.js';

const library = sharedLibrary();
const service = '/fixture.v1.LibraryService';
const nobody = { authorization: undefined, remoteAddress: undefined, forwarded: false };

function messageOf(registry: Registry, name: string): DescMessage {
  const desc = registry.getMessage(`fixture.v1.${name}`);
  if (desc === undefined) throw new Error(`there is no message ${name}`);
  return desc;
}

/** Calls Fail, or Tail, in every way there is, and answers what REST and ErrorInfo say of it. */
const ways: Readonly<Record<string, (how: string, id: string) => Promise<unknown>>> = {
  REST: async (how, id) => {
    const { status, json } = await rest(library.current.url, 'GET', `/v1/fail/${how}`, undefined, {
      'x-correlation-id': id,
    });
    expect(json).toMatchObject({ code: status });
    return plain(json as Record<string, unknown>);
  },
  'Connect, fast': (how, id) => connect(how, id, 'application/json'),
  'Connect, general': (how, id) => connect(how, id, 'application/json; charset=utf8'),
  'gRPC, fast': (how, id) => grpc('Fail', how, id, {}),
  'gRPC, general': (how, id) => grpc('Fail', how, id, { 'grpc-encoding': 'gzip' }),
  'gRPC, stream': (how, id) => grpc('Tail', how, id, {}),
};

async function connect(how: string, id: string, type: string): Promise<unknown> {
  const { json } = await rest(
    library.current.url,
    'POST',
    `${service}/Fail`,
    { how },
    { 'content-type': type, 'x-correlation-id': id },
  );
  const [detail] = (json as { details: { value: string }[] }).details;
  return plain(readInfo(Buffer.from(detail?.value ?? '', 'base64')) as Record<string, unknown>);
}

async function grpc(method: string, how: string, id: string, headers: Record<string, string>): Promise<unknown> {
  const desc = messageOf(library.current.registry, `${method}Request`);
  const head = {
    ':path': `${service}/${method}`,
    'content-type': 'application/grpc',
    'x-correlation-id': id,
    ...headers,
  };
  const body = framed(toBinary(desc, create(desc, { how })));
  const answer = await exchange(openSession(library.current.url), head, [body]);
  const { info } = meaningOf(messageOf(library.current.registry, `${method}Response`), answer);
  return plain(info as Record<string, unknown>);
}

/** Keys as ErrorInfo's JSON names have them; empty details are none. */
function plain({ details, correlation_id, ...info }: Record<string, unknown>): unknown {
  if (correlation_id !== undefined) info['correlationId'] = correlation_id;
  return Object.keys((details as object | undefined) ?? {}).length === 0 ? info : { ...info, details };
}

const internal = {
  error: 'internal_error',
  code: 500,
  message: 'Something went wrong on our side; the log has it by the correlation id.',
};

describe.each(Object.keys(ways))('%s', (way) => {
  const call = (how: string, id: string): Promise<unknown> => ways[way]?.(how, id) ?? Promise.reject(new Error(way));
  const lines = (id: string) =>
    library.current.logged.filter(({ corr_id, level }) => corr_id === id && level === 'ERROR');

  test.each(['thrown', 'text'])('what is thrown is told to the log alone: %s', async (how) => {
    const id = `${how}-${Object.keys(ways).indexOf(way)}`;
    expect(await call(how, id)).toEqual({ ...internal, correlationId: id });
    expect(lines(id)).toMatchObject([{ event: 'internal_error', error: 'a secret' }]);
  });

  const refusals = (id: string) =>
    library.current.logged.filter(({ corr_id, event }) => corr_id === id && event === 'call_refused');

  test('an error of ours keeps its words, and is no refusal', async () => {
    const id = `unavailable-${Object.keys(ways).indexOf(way)}`;
    expect(await call('unavailable', id)).toEqual({
      error: 'unavailable',
      code: 503,
      message: 'Come back later.',
      correlationId: id,
    });
    expect(refusals(id)).toEqual([]);
  });

  test('what a rule refuses is logged once, like a scope that is lacking', async () => {
    const id = `forbidden-${Object.keys(ways).indexOf(way)}`;
    expect(await call('forbidden', id)).toMatchObject({ error: 'forbidden', details: { rule: 'not_for_you' } });
    expect(refusals(id)).toMatchObject([
      {
        level: 'WARN',
        method: `${service}/${way === 'gRPC, stream' ? 'Tail' : 'Fail'}`,
        principal: 'local',
        address: '127.0.0.1',
        reason: 'forbidden',
        message: 'This book is not for you.',
      },
    ]);
  });
});

describe('RPC', () => {
  test.each(Object.keys(ways).filter((way) => way !== 'REST'))(
    '%s: an answer that cannot be encoded is our fault',
    async (way) => {
      const id = `unwritable-${Object.keys(ways).indexOf(way)}`;
      expect(await ways[way]?.('unwritable', id)).toEqual({ ...internal, correlationId: id });
      const logged = library.current.logged.filter(({ corr_id, level }) => corr_id === id && level === 'ERROR');
      expect(logged).toMatchObject([
        { event: 'internal_error', error: expect.stringContaining('NoSuchWord') as string },
      ]);
    },
  );
});

// Over the wire connect-node leaves a stream that nobody reads where it stands; a handler cleans up on its signal.
test.each([undefined, 50_000])(
  'a stream that is not wanted any more ends its handler (timeout: %s)',
  async (timeoutMs) => {
    const { registry, calls } = library.current;
    const tail = libraryService(registry, calls).methods.find(({ desc }) => desc.name === 'Tail');
    const dispatch = createDispatch({
      authenticate: async () => localCaller,
      policy: { authorize: () => undefined },
      log: createLog('silent'),
      maxTimeoutMs: 60_000,
    });
    if (tail === undefined) throw new Error('there is no Tail');
    const admission = await dispatch.admit(tail, { source: 'Rpc', correlationId: 'c', credentials: nobody });
    const life = { timeoutMs, onGone: () => undefined };
    for await (const answer of dispatch.serverStream(tail, { how: 'endless' }, admission, life)) {
      expect(answer).toEqual({ genre: 'Crime' });
      break;
    }
    await expect.poll(() => calls.map(({ method }) => method)).toEqual(['tail', 'tail ended']);
  },
);

describe('REST', () => {
  test('a scope that the caller lacks', async () => {
    const answer = await rest(library.current.url, 'GET', '/v1/secret', undefined, { 'x-correlation-id': 'secret' });
    expect(answer).toMatchObject({
      status: 403,
      json: {
        error: 'forbidden',
        code: 403,
        message: 'The role human lacks the scope secrets.read.',
        details: { scope: 'secrets.read' },
        correlation_id: 'secret',
      },
    });
    expect(library.current.calls).toEqual([]);
    expect(library.current.logged.filter(({ corr_id }) => corr_id === 'secret')).toMatchObject([
      { event: 'request_start' },
      { event: 'call_refused', level: 'WARN', principal: 'local' },
      { event: 'request_end', status: 403 },
    ]);
  });

  test('rate_limited has its figures at the top level', async () => {
    const answer = await rest(library.current.url, 'GET', '/v1/fail/limited', undefined, { 'x-correlation-id': 'c' });
    expect(answer.status).toBe(429);
    expect(answer.json).toEqual({
      error: 'rate_limited',
      code: 429,
      message: 'Too many.',
      limit: 10,
      remaining: 0,
      reset_sec: 7,
      scope: 'ip',
      correlation_id: 'c',
    });
  });

  test('a path of no service that fails', async () => {
    const answer = await rest(library.current.url, 'GET', '/plain/broken', undefined, { 'x-correlation-id': 'broken' });
    expect(answer.status).toBe(500);
    expect(answer.json).toEqual({
      error: 'internal_error',
      code: 500,
      message: 'Something went wrong on our side.',
      correlation_id: 'broken',
    });
    expect(library.current.logged.filter(({ corr_id }) => corr_id === 'broken')).toMatchObject([
      { event: 'request_start' },
      { event: 'internal_error', level: 'ERROR', error: 'a secret' },
      { event: 'request_end', status: 500 },
    ]);
  });
});
