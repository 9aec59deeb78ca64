import { gzipSync } from 'node:zlib';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { trailerParse } from '@connectrpc/connect/protocol-grpc-web';
import { describe, expect, test } from 'vitest';
import { ErrorInfoSchema } from '../../gen/muster/v1/errors_pb.js';
import { sharedLibrary } from '../support/fixtures/library.js';
import { sharedTestApp } from '../support/shared-app.js';
import { readInfo } from '../support/wire/error-info.js';
import { exchange, framed, openSession, type RawStream } from '../support/wire/raw-grpc.js';

/** A protocol, by which what cannot be read is told with the documented facts. */
interface Way {
  readonly head: Readonly<Record<string, string>>;
  readonly pack: (message: Uint8Array) => Uint8Array;
  readonly infoOf: (answer: RawStream) => unknown;
}

type ConnectError = { readonly details?: readonly { readonly value: string }[] };

const compressed = 1;
const same = (message: Uint8Array): Uint8Array => message;
const ofConnect = ({ details = [] }: ConnectError) => details[0] && readInfo(Buffer.from(details[0].value, 'base64'));
const ofUnary = ({ body }: RawStream) => ofConnect(JSON.parse(body.toString()) as ConnectError);
const ofStream = ({ body }: RawStream) =>
  ofConnect((JSON.parse(body.subarray(5).toString()) as { error: ConnectError }).error);
const ofWeb = ({ body }: RawStream) => ofTrailers(trailerParse(body.subarray(5)));
const ofGrpc = ({ headers, trailers }: RawStream) => {
  const all = Object.entries({ ...headers, ...trailers }).filter(([name]) => !name.startsWith(':'));
  return ofTrailers(new Headers(all.map(([name, value]) => [name, String(value)] as const) as [string, string][]));
};

function ofTrailers(headers: Headers): unknown {
  const [info] = findTrailerError(headers)?.findDetails(ErrorInfoSchema) ?? [];
  return info && { error: info.error, code: info.code, message: info.message, details: info.details };
}

const unary: Readonly<Record<string, Way>> = {
  Connect: { head: { 'content-type': 'application/json' }, pack: same, infoOf: ofUnary },
  'Connect, general': { head: { 'content-type': 'application/json; charset=utf8' }, pack: same, infoOf: ofUnary },
  'Connect, packed': {
    head: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    pack: gzipSync,
    infoOf: ofUnary,
  },
  gRPC: { head: { 'content-type': 'application/grpc+json' }, pack: framed, infoOf: ofGrpc },
  'gRPC, packed': {
    head: { 'content-type': 'application/grpc+json', 'grpc-encoding': 'gzip' },
    pack: (message) => framed(gzipSync(message), compressed),
    infoOf: ofGrpc,
  },
  'gRPC-Web': { head: { 'content-type': 'application/grpc-web+json' }, pack: framed, infoOf: ofWeb },
};
const stream: Readonly<Record<string, Way>> = {
  Connect: { head: { 'content-type': 'application/connect+json' }, pack: framed, infoOf: ofStream },
  'Connect, packed': {
    head: { 'content-type': 'application/connect+json', 'connect-content-encoding': 'gzip' },
    pack: (message) => framed(gzipSync(message), compressed),
    infoOf: ofStream,
  },
  gRPC: { head: { 'content-type': 'application/grpc+json' }, pack: framed, infoOf: ofGrpc },
  'gRPC-Web': { head: { 'content-type': 'application/grpc-web+json' }, pack: framed, infoOf: ofWeb },
};

async function told(url: string, path: string, way: Way, message: string | Uint8Array, more = {}): Promise<unknown> {
  const head = { ':path': path, ...way.head, ...more };
  return way.infoOf(await exchange(openSession(url), head, [way.pack(Buffer.from(message))]));
}

const library = sharedLibrary();

describe('a message of a call', () => {
  const number = (max: number): string => `expected number (int32): ${max} out of range`;
  const cases: readonly (readonly [json: string, field: string | undefined, message: string | RegExp])[] = [
    ['{"at":"tomorrow"}', 'at', 'invalid RFC 3339 string'],
    ['{"at":{"seconds":"x"}}', 'at', /^at: /],
    ['{"text":1}', 'text', 'expected string, got 1'],
    ['{"large_natural":-1}', 'large_natural', /out of range|invalid/],
    ['{"largeNatural":-1}', 'large_natural', /out of range|invalid/],
    ['{"small":99999999999}', 'small', number(99999999999)],
    ['{"genre":{}}', 'genre', /^genre: /],
    ['{"object":[]}', 'object', /^object: /],
    ['{"texts":"a"}', 'texts', 'expected Array, got "a"'],
    ['{"texts":["a","b",3,"d",null]}', 'texts[2]', 'expected string, got 3'],
    ['{"times":["2026-01-01T00:00:00Z","never"]}', 'times[1]', 'invalid RFC 3339 string'],
    ['{"flag":true,"lists":[{},{"words":["a",1]}]}', 'lists[1].words[1]', 'expected string, got 1'],
    ['{"lists":[{},7]}', 'lists[1]', '7'],
    ['{"person":{"teacher":{"teacher":{"name":1}}}}', 'person.teacher.teacher.name', 'expected string, got 1'],
    ['{"both":{"words":[1]}}', 'both.words[0]', 'expected string, got 1'],
    ['{"text":"\\ud800"}', 'text', /invalid UTF/],
    ['{"text":"a","text":"b"}', undefined, /duplicate object key "text"/],
    ['{', undefined, /^The message cannot be decoded: /],
    ['', undefined, /^The message cannot be decoded: /],
    ['[]', undefined, /^The message cannot be decoded: /],
  ];
  describe.each(Object.keys(unary))('%s', (name) => {
    test.each(cases)('%s', async (json, field, message) => {
      const way = unary[name];
      if (way === undefined) throw new Error(name);
      const info = await told(library.current.url, '/fixture.v1.LibraryService/Echo', way, json);
      expect(info).toMatchObject({
        error: 'invalid_request',
        code: 400,
        message: typeof message === 'string' ? `${field}: ${message}` : (expect.stringMatching(message) as unknown),
      });
      // Empty details are left out of JSON.
      const { details = {} } = info as { details?: unknown };
      expect(details).toEqual(field === undefined ? {} : { field });
      expect(library.current.calls).toEqual([]);
    });
  });

  test.each(Object.keys(stream))('that asks for a stream: %s', async (name) => {
    const way = stream[name];
    if (way === undefined) throw new Error(name);
    const path = '/fixture.v1.LibraryService/Tail';
    expect(await told(library.current.url, path, way, '{"how":1}')).toMatchObject({
      error: 'invalid_request',
      message: 'how: expected string, got 1',
      details: { field: 'how' },
    });
    expect(await told(library.current.url, path, way, '{')).toMatchObject({ error: 'invalid_request', code: 400 });
    expect(library.current.calls).toEqual([]);
  });

  test('of many items, one that cannot be read is found among those that can', async () => {
    const texts: unknown[] = Array.from({ length: 50_000 }, () => 'a');
    texts[40_001] = 1;
    const { Connect } = unary;
    if (Connect === undefined) throw new Error('there is no Connect');
    const path = '/fixture.v1.LibraryService/Echo';
    expect(await told(library.current.url, path, Connect, JSON.stringify({ texts }))).toMatchObject({
      details: { field: 'texts[40001]' },
    });
  });

  test('of a message within messages without end, the way there is not told without end', async () => {
    const depth = 20_000;
    const json = `{"person":${'{"teacher":'.repeat(depth)}1${'}'.repeat(depth)}}`;
    const { Connect } = unary;
    if (Connect === undefined) throw new Error('there is no Connect');
    const path = '/fixture.v1.LibraryService/Echo';
    expect(await told(library.current.url, path, Connect, json)).toMatchObject({ error: 'invalid_request' });
  });

  test.each([...Object.entries(unary), ...Object.entries(stream)])('a timeout that is none: %s', async (_name, way) => {
    const path = `/fixture.v1.LibraryService/${Object.values(stream).includes(way) ? 'Tail' : 'Echo'}`;
    const header = way.infoOf === ofGrpc || way.infoOf === ofWeb ? 'Grpc-Timeout' : 'Connect-Timeout-Ms';
    const info = await told(library.current.url, path, way, '{}', { [header.toLowerCase()]: 'soon' });
    expect(info).toMatchObject({ error: 'invalid_request', code: 400, details: { field: header } });
    expect(library.current.calls).toEqual([]);
  });
});

describe('what is larger than a message may be, and what cannot be unpacked', () => {
  const max = 64 * 1024;
  const app = sharedTestApp({ flags: { 'max-message': `${max}` } });
  const ways = [
    ...Object.entries(unary).map(([name, way]) => ['CreateJob', name, way] as const),
    ...Object.entries(stream).map(([name, way]) => ['WatchJob', name, way] as const),
  ];
  test.each(ways)('%s, %s', async (method, name, way) => {
    const path = `/muster.v1.JobService/${method}`;
    const long = JSON.stringify({ id: 'x'.repeat(max) });
    const info = await told(app.current.url, path, way, long);
    expect(info).toMatchObject({ error: 'too_large', code: 413 });
    if (!name.includes('packed')) expect(info).toMatchObject({ details: { max_bytes: max } });
    else {
      const torn = { ...way, pack: way.pack === gzipSync ? same : (bytes: Uint8Array) => framed(bytes, compressed) };
      expect(await told(app.current.url, path, torn, 'not packed')).toMatchObject({
        error: 'invalid_request',
        message: 'The message cannot be unpacked.',
      });
    }
  });
});

test.each([
  ['gRPC', 'application/grpc', {}],
  ['gRPC, packed', 'application/grpc', { 'grpc-encoding': 'gzip' }],
] as const)('a message in binary that is none, over %s', async (_name, type, more) => {
  const way: Way = { head: { 'content-type': type, ...more }, pack: framed, infoOf: ofGrpc };
  for (const method of ['Echo', 'Tail']) {
    const info = await told(library.current.url, `/fixture.v1.LibraryService/${method}`, way, Buffer.of(0x0a, 0xff));
    expect(info).toMatchObject({ error: 'invalid_request', code: 400 });
  }
});
