import { describe, expect, test } from 'vitest';
import { rest } from '../support/rest.js';
import { sharedLibrary } from '../support/fixtures/library.js';

const library = sharedLibrary();

/** What LibraryService.Echo sees of a query, but for the fields that have their defaults. */
async function echo(query: string): Promise<unknown> {
  const answer = await rest(library.current.url, 'GET', `/v1/echo?${query}`);
  expect(answer.json).not.toHaveProperty('error');
  const { method, input } = library.current.seen();
  expect(method).toBe('echo');
  return Object.fromEntries(Object.entries(input).filter(([name, value]) => !isDefault(name, value)));
}

function isDefault(name: string, value: unknown): boolean {
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length === 0 && !name.startsWith('maybe');
  return (
    (value === '' || value === 0 || value === false) && !name.startsWith('maybe') && name !== 'left' && name !== 'right'
  );
}

describe('a query becomes', () => {
  const at = new Date('2026-01-31T12:00:00Z');
  test.each<readonly [query: string, seen: object]>([
    ['', {}],
    ['&&', {}],
    ['text=a', { text: 'a' }],
    ['text=', {}],
    ['text=a%20b+c%2B', { text: 'a b c+' }],
    ['text=a=b&flag=true', { text: 'a=b', flag: true }],
    ['te%78t=a', { text: 'a' }],
    ['text=%C3%A9%00', { text: 'é\0' }],
    ['text=true', { text: 'true' }],
    ['text=1', { text: '1' }],
    ['flag=true', { flag: true }],
    ['flag=false', {}],
    ['maybe=false', { maybe: false }],
    ['small=-2147483648', { small: -(2 ** 31) }],
    ['natural=4294967295', { natural: 2 ** 32 - 1 }],
    ['large=-9007199254740991', { large: Number.MIN_SAFE_INTEGER }],
    ['large_natural=9007199254740991', { largeNatural: Number.MAX_SAFE_INTEGER }],
    ['maybe_large=0', { maybeLarge: 0 }],
    ['number=1.5&half=-0.25', { number: 1.5, half: -0.25 }],
    ['number=1e308', { number: 1e308 }],
    ['number=1.5E-7', { number: 1.5e-7 }],
    ['maybe_number=0', { maybeNumber: 0 }],
    ['genre=ScienceFiction', { genre: 'ScienceFiction' }],
    ['at=2026-01-31T12:00:00Z', { at }],
    ['at=2026-01-31T13:00:00%2B01:00', { at }],
    ['at=2026-01-31t12:00:00.000z', { at }],
    ['data=AQID', { data: Buffer.of(1, 2, 3) }],
    ['data=_-8', { data: Buffer.of(255, 239) }],
    ['maybe_data=', { maybeData: Buffer.alloc(0) }],
    // Repeated: one value a time, in order, apart or together.
    ['texts=a', { texts: ['a'] }],
    ['texts=a&texts=', { texts: ['a', ''] }],
    ['texts=b&flag=true&texts=a&texts=b', { texts: ['b', 'a', 'b'], flag: true }],
    ['texts=a,b', { texts: ['a,b'] }],
    ['numbers=1&numbers=-2', { numbers: [1, -2] }],
    ['flags=true&flags=false', { flags: [true, false] }],
    ['genres=Crime&genres=ScienceFiction&genres=Crime', { genres: ['Crime', 'ScienceFiction', 'Crime'] }],
    ['times=2026-01-31T12:00:00Z', { times: [at] }],
    // Nested, by dotted names; what is not told has its default, as it has over RPC.
    ['words.words=a&words.words=b', { words: { words: ['a', 'b'] } }],
    ['person.name=a&person.born=1900', { person: { name: 'a', born: 1900, names: [] } }],
    ['person.born=1900', { person: { name: '', born: 1900, names: [] } }],
    ['person.names=a&person.names=b', { person: { name: '', names: ['a', 'b'] } }],
    [
      'person.teacher.teacher.name=c&person.teacher.born=1',
      { person: { name: '', names: [], teacher: { name: '', born: 1, names: [], teacher: { name: 'c', names: [] } } } },
    ],
    // One of several.
    ['left=', { left: '' }],
    ['right=0', { right: 0 }],
    ['both.words=a', { both: { words: ['a'] } }],
  ])('%s', async (query, seen) => {
    expect(await echo(query)).toEqual(seen);
  });
});

describe('names what is wrong', () => {
  const integer = 'must be an integer';
  const number = 'must be a number';
  const time = 'must be an RFC 3339 time such as 2026-01-31T12:00:00Z';
  const safe = 'must be between -9007199254740991 and 9007199254740991';
  const none = 'no such query parameter';
  const once = 'may be given only once';
  test.each([
    ['unknown=1', 'unknown', none],
    ['Text=a', 'Text', none],
    ['largeNatural=1', 'largeNatural', none],
    ['text[]=a', 'text[]', none],
    ['=a', '', none],
    ['toString=a', 'toString', none],
    ['__proto__=a', '__proto__', none],
    ['flag', 'flag', 'must be true or false'],
    ['flag=1', 'flag', 'must be true or false'],
    ['flag=TRUE', 'flag', 'must be true or false'],
    ['small=', 'small', integer],
    ['small=a', 'small', integer],
    ['small=1.5', 'small', integer],
    ['small=%201', 'small', integer],
    ['small=+1', 'small', integer],
    ['small=1e3', 'small', integer],
    ['small=0x1', 'small', integer],
    ['small=true', 'small', integer],
    ['small=2147483648', 'small', 'must be between -2147483648 and 2147483647'],
    ['natural=-1', 'natural', 'must be between 0 and 4294967295'],
    ['large=9007199254740992', 'large', safe],
    ['large=-9007199254740992', 'large', safe],
    ['signed_large=99999999999999999999', 'signed_large', safe],
    ['large_natural=-1', 'large_natural', 'must be between 0 and 9007199254740991'],
    ['number=a', 'number', number],
    ['number=', 'number', number],
    ['number=NaN', 'number', number],
    ['number=Infinity', 'number', number],
    ['number=1e999', 'number', number],
    ['number=.5', 'number', number],
    ['genre=', 'genre', 'must be one of Crime, ScienceFiction'],
    ['genre=crime', 'genre', 'must be one of Crime, ScienceFiction'],
    ['genre=GENRE_CRIME', 'genre', 'must be one of Crime, ScienceFiction'],
    ['at=2026-01-31', 'at', time],
    ['at=1769860800', 'at', time],
    ['at=2026-01-31T13:00:00+01:00', 'at', time],
    ['data=a', 'data', 'must be a base64 string'],
    ['data=AQI%21', 'data', 'must be a base64 string'],
    ['text=a&text=a', 'text', once],
    ['text=&text=', 'text', once],
    ['flag=false&flag=false', 'flag', once],
    ['left=a&left=a', 'left', once],
    ['person.name=a&person.name=a', 'person.name', once],
    ['numbers=1&numbers=a', 'numbers', integer],
    ['genres=Crime&genres=Cooking', 'genres', 'must be one of Crime, ScienceFiction'],
    ['times=never', 'times', time],
    // What a text cannot say.
    ['any=1', 'any', none],
    ['object.a=1', 'object.a', none],
    ['words=a', 'words', none],
    ['lists.words=a', 'lists.words', none],
    ['person=a', 'person', none],
    ['person.unknown=a', 'person.unknown', none],
    ['person.teacher.teacher.teacher.teacher.name=a', 'person.teacher.teacher.teacher.teacher.name', none],
    ['at.seconds=1', 'at.seconds', none],
    // One of several.
    ['left=a&right=1', 'right', 'only one field of choice can be set'],
    ['right=1&left=', 'left', 'only one field of choice can be set'],
    ['left=a&both.words=a', 'both.words', 'only one field of choice can be set'],
    ['both.words=a&left=a', 'left', 'only one field of choice can be set'],
    // Encoding.
    ['text=%', 'text', 'is not percent-encoded UTF-8'],
    ['text=%zz', 'text', 'is not percent-encoded UTF-8'],
    ['text=%ff', 'text', 'is not percent-encoded UTF-8'],
    ['%ff=a', '%ff', 'is not percent-encoded UTF-8'],
  ])('%s', async (query, field, message) => {
    const answer = await rest(library.current.url, 'GET', `/v1/echo?${query}`);
    expect({ status: answer.status, json: answer.json }).toMatchObject({
      status: 400,
      json: { error: 'invalid_request', message: `${field}: ${message}`, details: { field } },
    });
    expect(library.current.calls).toEqual([]);
  });
});

describe('beside a path and a body', () => {
  test('a field of the path is no parameter', async () => {
    const answer = await rest(library.current.url, 'GET', '/v1/books/a?id=b');
    expect(answer.json).toMatchObject({ message: 'id: no such query parameter' });
    const nested = await rest(library.current.url, 'PUT', '/v1/shelf/a?book.id=b', {});
    expect(nested.json).toMatchObject({ message: 'book.id: no such query parameter' });
  });

  test('nor is the field that is the body, or what is in it', async () => {
    const { url, seen } = library.current;
    const path = '/v1/shelves/s/books';
    for (const name of ['book', 'book.title']) {
      const answer = await rest(url, 'POST', `${path}?${name}=x`, { title: 'T' });
      expect(answer.json).toMatchObject({ message: `${name}: no such query parameter` });
    }
    await rest(url, 'POST', `${path}?dry_run=true`, { title: 'T' });
    expect(seen().input).toEqual({ shelf: 's', dryRun: true, book: { id: '', title: 'T', tags: [] } });
  });

  test('a body that is the whole request leaves nothing to a query', async () => {
    const answer = await rest(library.current.url, 'POST', '/v1/echo?text=a', {});
    expect(answer.json).toMatchObject({ message: 'text: no such query parameter' });
  });
});
