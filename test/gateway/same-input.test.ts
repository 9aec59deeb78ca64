import { type DescMessage, fromBinary, fromJson, type JsonObject, toBinary, toJson } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from 'vitest';
import { rest } from '../support/rest.js';
import { sharedLibrary } from '../support/fixtures/library.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';

const library = sharedLibrary();
const service = '/fixture.v1.LibraryService/Echo';

/** As protobuf's JSON has the words of Genre. */
const genres: Readonly<Record<string, string>> = { Crime: 'GENRE_CRIME', ScienceFiction: 'GENRE_SCIENCE_FICTION' };

const bodies: Readonly<Record<string, object>> = {
  nothing: {},
  scalars: {
    text: 'é',
    flag: true,
    data: 'AQL/',
    number: -1.5e-7,
    half: 0.5,
    small: -(2 ** 31),
    natural: 2 ** 32 - 1,
    large: Number.MIN_SAFE_INTEGER,
    large_natural: Number.MAX_SAFE_INTEGER,
    signed_large: -1,
  },
  'optional ones that are zero': { maybe: false, maybe_data: '', maybe_number: 0, maybe_large: 0, right: 0 },
  words: { genre: 'ScienceFiction', genres: ['Crime', 'ScienceFiction', 'Crime'] },
  times: {
    at: '2026-01-31T12:00:00.500Z',
    times: ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999Z', '1969-12-31T23:59:59.999Z'],
  },
  JSON: { any: { a: [null, 1, { b: [] }], '': false }, object: { c: { d: 'e' } } },
  'JSON that is null': { any: null },
  lists: { texts: ['', 'a'], numbers: [0, -1], flags: [false], lists: [{ words: ['a'] }, {}], words: { words: [] } },
  nested: { person: { name: 'p', born: 0, names: ['q'], teacher: { name: 't', teacher: {} } }, left: '' },
  'a message in a oneof': { both: { words: ['a'] } },
};

/** Bytes as bytes, whatever holds them. */
function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (value instanceof Date || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(comparable);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, comparable(member)]));
}

function message(name: string): DescMessage {
  const desc = library.current.registry.getMessage(`fixture.v1.${name}`);
  if (desc === undefined) throw new Error(`there is no message ${name}`);
  return desc;
}

describe.each(Object.entries(bodies))('%s', (_name, body) => {
  const proto = JSON.parse(
    JSON.stringify(body),
    (_key, value: unknown) => genres[String(value)] ?? value,
  ) as JsonObject;

  const echoed = () => toJson(message('EchoResponse'), fromJson(message('EchoResponse'), { seen: proto }));

  test('is the same to a handler, whichever way it came, and the same on its way back', async () => {
    const { url, seen } = library.current;
    const { json } = await rest(url, 'POST', '/v1/echo', body);
    const input = comparable(seen().input);

    for (const type of ['application/json', 'application/json; charset=utf8']) {
      const answer = await rest(url, 'POST', service, proto, { 'content-type': type });
      expect(comparable(seen().input)).toEqual(input);
      expect(answer.json).toEqual(echoed());
    }
    const bytes = toBinary(message('EchoRequest'), fromJson(message('EchoRequest'), proto));
    for (const encoding of ['identity', 'gzip']) {
      const head = { ':path': service, 'content-type': 'application/grpc', 'grpc-encoding': encoding };
      const answer = await exchange(openSession(url), head, [framed(bytes)]);
      expect(comparable(seen().input)).toEqual(input);
      const decoded = fromBinary(message('EchoResponse'), answer.body.subarray(5));
      expect(toJson(message('EchoResponse'), decoded)).toEqual(echoed());
    }
    // What REST printed reads as the same request again.
    await rest(url, 'POST', '/v1/echo', (json as { seen: object }).seen);
    expect(comparable(seen().input)).toMatchObject(input as object);
  });
});

test('a 64-bit integer that JavaScript cannot hold is refused, naming it', async () => {
  for (const [field, value] of [
    ['large', '9007199254740993'],
    ['largeNatural', '18446744073709551615'],
    ['signedLarge', '-9007199254740993'],
  ] as const) {
    const answer = await rest(library.current.url, 'POST', service, { [field]: value });
    const name = field.replace(/[A-Z]/, (letter) => `_${letter.toLowerCase()}`);
    expect(answer).toMatchObject({ status: 400, json: { message: `${name}: must be an integer of up to 53 bits` } });
  }
});

test.each([253_402_300_800, -62_135_596_801])(
  'a time that REST has no word for is refused, naming it: %d',
  async (seconds) => {
    const writer = new BinaryWriter().tag(10, WireType.LengthDelimited).fork();
    const request = writer.tag(1, WireType.Varint).int64(seconds).join().finish();
    const head = { ':path': service, 'content-type': 'application/grpc' };
    const answer = await exchange(openSession(library.current.url), head, [framed(request)]);
    expect(answer.headers).toMatchObject({
      'grpc-status': '3',
      'grpc-message': 'at: must be between the years 1 and 9999',
    });
  },
);
