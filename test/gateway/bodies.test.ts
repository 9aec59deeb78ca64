import { describe, expect, test } from 'vitest';
import { rest } from '../support/rest.js';
import { sharedLibrary } from '../support/fixtures/library.js';

const library = sharedLibrary();

const defaults = {
  text: '',
  flag: false,
  data: new Uint8Array(),
  number: 0,
  small: 0,
  natural: 0,
  large: 0,
  largeNatural: 0,
  signedLarge: 0,
  half: 0,
  texts: [],
  numbers: [],
  genres: [],
  times: [],
  flags: [],
  lists: [],
};

async function seen(method: string, path: string, body: unknown): Promise<unknown> {
  const answer = await rest(library.current.url, method, path, body);
  expect(answer.json ?? {}).not.toHaveProperty('error');
  return library.current.seen().input;
}

const at = new Date('2026-01-31T12:00:00.500Z');

/** A body with everything, what the handler sees of it, and what comes back. */
const full = {
  text: 'é\0',
  flag: true,
  data: 'AQL/',
  number: -1.5e-7,
  small: -(2 ** 31),
  natural: 2 ** 32 - 1,
  large: Number.MIN_SAFE_INTEGER,
  large_natural: Number.MAX_SAFE_INTEGER,
  genre: 'ScienceFiction',
  at: '2026-01-31T13:00:00.5+01:00',
  any: { a: [null, 1, { __proto__: null }] },
  object: { b: {} },
  words: { words: ['a', ''] },
  texts: ['', 'b'],
  numbers: [0, -1],
  genres: ['Crime', 'Crime'],
  times: ['2026-01-31T12:00:00.5Z'],
  flags: [false, true],
  lists: [{ words: ['c'] }, {}],
  person: { name: 'p', born: 0, names: [], teacher: { name: 't' } },
  right: 0,
  maybe: false,
  maybe_data: '',
  maybe_number: 0,
  maybe_large: 0,
  signed_large: -1,
  half: 0.5,
};

test('every kind of field is read and printed', async () => {
  const { url } = library.current;
  const answer = await rest(url, 'POST', '/v1/echo', full);
  expect(library.current.seen().input).toEqual({
    text: 'é\0',
    flag: true,
    data: Buffer.of(1, 2, 255),
    number: -1.5e-7,
    small: -(2 ** 31),
    natural: 2 ** 32 - 1,
    large: Number.MIN_SAFE_INTEGER,
    largeNatural: Number.MAX_SAFE_INTEGER,
    genre: 'ScienceFiction',
    at,
    any: { a: [null, 1, {}] },
    object: { b: {} },
    words: { words: ['a', ''] },
    texts: ['', 'b'],
    numbers: [0, -1],
    genres: ['Crime', 'Crime'],
    times: [at],
    flags: [false, true],
    lists: [{ words: ['c'] }, { words: [] }],
    person: { name: 'p', born: 0, names: [], teacher: { name: 't', names: [] } },
    right: 0,
    maybe: false,
    maybeData: Buffer.alloc(0),
    maybeNumber: 0,
    maybeLarge: 0,
    signedLarge: -1,
    half: 0.5,
  });
  expect(answer.json).toEqual({
    seen: {
      ...full,
      at: '2026-01-31T12:00:00.500Z',
      times: ['2026-01-31T12:00:00.500Z'],
      lists: [{ words: ['c'] }, { words: [] }],
      person: { name: 'p', born: 0, names: [], teacher: { name: 't', born: null, names: [], teacher: null } },
      left: null,
      both: null,
    },
  });
});

test('what is unset is printed, too: defaults, [] and null', async () => {
  const answer = await rest(library.current.url, 'POST', '/v1/echo', {});
  expect(library.current.seen().input).toEqual(defaults);
  expect(answer.text).toBe(
    '{"seen":{"text":"","flag":false,"data":"","number":0,"small":0,"natural":0,"large":0,"large_natural":0,"genre":null,' +
      '"at":null,"any":null,"object":null,"words":null,"texts":[],"numbers":[],"genres":[],"times":[],"flags":[],"lists":[],' +
      '"person":null,"left":null,"right":null,"both":null,"maybe":null,"maybe_data":null,"maybe_number":null,' +
      '"maybe_large":null,"signed_large":0,"half":0}}',
  );
});

describe('names the field', () => {
  const integer = 'must be an integer';
  const text = 'must be a string';
  const object = 'must be an object';
  const array = 'must be an array';
  const genre = 'must be one of Crime, ScienceFiction';
  const none = 'no such field';
  const safe = 'must be between -9007199254740991 and 9007199254740991';
  test.each<readonly [body: unknown, field: string, message: string]>([
    [{ text: 1 }, 'text', text],
    [{ text: ['a'] }, 'text', text],
    [{ flag: 'true' }, 'flag', 'must be true or false'],
    [{ flag: 0 }, 'flag', 'must be true or false'],
    [{ data: 1 }, 'data', 'must be a base64 string'],
    [{ data: 'A' }, 'data', 'must be a base64 string'],
    [{ data: 'AQ=' }, 'data', 'must be a base64 string'],
    [{ data: 'AQ ==' }, 'data', 'must be a base64 string'],
    [{ data: 'AQI=\n' }, 'data', 'must be a base64 string'],
    [{ number: '1' }, 'number', 'must be a number'],
    ['{"number":1e999}', 'number', 'must be a number'],
    [{ half: 1e39 }, 'half', 'must be a number'],
    [{ small: 1.5 }, 'small', integer],
    [{ small: '1' }, 'small', integer],
    [{ natural: -1 }, 'natural', 'must be between 0 and 4294967295'],
    [{ large: '1' }, 'large', integer],
    ['{"large":9007199254740993}', 'large', safe],
    ['{"large":1e300}', 'large', safe],
    [{ large_natural: -1 }, 'large_natural', 'must be between 0 and 9007199254740991'],
    [{ genre: 1 }, 'genre', genre],
    [{ genre: 'crime' }, 'genre', genre],
    [{ genre: '' }, 'genre', genre],
    [{ genre: 'GENRE_UNSPECIFIED' }, 'genre', genre],
    [{ at: 1 }, 'at', 'must be an RFC 3339 time'],
    [{ at: {} }, 'at', 'must be an RFC 3339 time'],
    [{ object: 1 }, 'object', object],
    [{ object: [] }, 'object', object],
    ['{"object":{"a":[1e999]}}', 'object', 'must be JSON with numbers up to 1.79e308'],
    [{ words: [] }, 'words', object],
    [{ words: 'a' }, 'words', object],
    [{ words: { words: 'a' } }, 'words.words', array],
    [{ words: { words: [1] } }, 'words.words[0]', text],
    [{ words: { word: 'a' } }, 'words.word', none],
    [{ texts: 'a' }, 'texts', array],
    [{ texts: { 0: 'a' } }, 'texts', array],
    [{ texts: ['a', null] }, 'texts[1]', text],
    [{ numbers: [1, 2, 'c'] }, 'numbers[2]', integer],
    [{ genres: ['Crime', 'Cooking'] }, 'genres[1]', genre],
    [{ times: ['never'] }, 'times[0]', 'must be an RFC 3339 time such as 2026-01-31T12:00:00Z'],
    [{ flags: [1] }, 'flags[0]', 'must be true or false'],
    [{ lists: [{}, 1] }, 'lists[1]', object],
    [{ lists: [{}, { words: ['a', 1] }] }, 'lists[1].words[1]', text],
    [{ person: { teacher: { teacher: { name: 1 } } } }, 'person.teacher.teacher.name', text],
    [{ person: { teacher: { age: 1 } } }, 'person.teacher.age', none],
    [{ unknown: 1 }, 'unknown', none],
    [{ unknown: null }, 'unknown', none],
    [{ Text: 'a' }, 'Text', none],
    [{ largeNatural: 1 }, 'largeNatural', none],
    [{ choice: 'a' }, 'choice', none],
    ['{"__proto__":{}}', '__proto__', none],
    ['{"person":{"__proto__":{}}}', 'person.__proto__', none],
    [{ left: 'a', right: 1 }, 'right', 'only one field of choice can be set'],
    [{ right: 1, left: '' }, 'left', 'only one field of choice can be set'],
    [{ both: {}, right: 1 }, 'right', 'only one field of choice can be set'],
  ])('%j', async (body, field, message) => {
    const answer = await rest(library.current.url, 'POST', '/v1/echo', body);
    expect({ status: answer.status, json: answer.json }).toMatchObject({
      status: 400,
      json: { error: 'invalid_request', message: `${field}: ${message}`, details: { field } },
    });
    expect(library.current.calls).toEqual([]);
  });
});

test('null is as good as absent, also beside another field of a oneof', async () => {
  const nulls = Object.fromEntries(Object.keys(full).map((name) => [name, null]));
  expect(await seen('POST', '/v1/echo', { ...nulls, left: null, both: null, right: 1 })).toMatchObject({
    ...defaults,
    right: 1,
  });
});

describe('PATCH tells null from absent', () => {
  test.each<readonly [body: object, input: object]>([
    [{}, { plain: '' }],
    [{ title: 'T' }, { plain: '', title: 'T' }],
    [{ title: '' }, { plain: '', title: '' }],
    [{ title: null }, { plain: '', title: null }],
    [
      { pages: null, genre: null },
      { plain: '', pages: null, genre: null },
    ],
    [
      { author: null, printed_at: null },
      { plain: '', author: null, printedAt: null },
    ],
    [{ author: { name: null, born: null } }, { plain: '', author: { name: '', born: null, names: [] } }],
    [{ note: null }, { plain: '', note: null }],
    [{ note: 0 }, { plain: '', note: 0 }],
    // A field that always has a value cannot be cleared, only left as it is.
    [{ plain: null }, { plain: '' }],
  ])('%j', async (body, input) => {
    expect(await seen('PATCH', '/v1/books/b', body)).toEqual({ id: 'b', ...input });
  });
});

describe('a body that is one field', () => {
  const path = '/v1/shelves/s/books';
  const rest201 = { shelf: 's', dryRun: false };
  test('is that field', async () => {
    expect(await seen('POST', path, { title: 'T', tags: ['a'] })).toEqual({
      ...rest201,
      book: { id: '', title: 'T', tags: ['a'] },
    });
    expect(await seen('POST', '/v1/echo/words', { words: ['a'] })).toEqual({ ...defaults, words: { words: ['a'] } });
    for (const any of [1, 'a', true, [], {}, [{ a: null }]]) {
      expect(await seen('POST', '/v1/echo/any', JSON.stringify(any))).toEqual({ ...defaults, any });
    }
    expect(await seen('POST', '/v1/echo/any', 'null')).toEqual({ ...defaults, any: null });
  });

  test('an absent body leaves it unset', async () => {
    expect(await seen('POST', '/v1/echo/words', undefined)).toEqual(defaults);
    expect(await seen('POST', '/v1/echo/any', undefined)).toEqual(defaults);
  });

  test.each([
    [path, '[]', 'book', 'must be an object'],
    [path, 'null', 'book', 'must be an object'],
    [path, '{"title":1}', 'book.title', 'must be a string'],
    [path, '{"author":{"names":[1]}}', 'book.author.names[0]', 'must be a string'],
    [path, '{"book":{}}', 'book.book', 'no such field'],
    ['/v1/echo/words', '{"words":"a"}', 'words.words', 'must be an array'],
    ['/v1/echo/any', '[1e999]', 'any', 'must be JSON with numbers up to 1.79e308'],
  ])('%s %s names what is wrong with it', async (target, body, field, message) => {
    const answer = await rest(library.current.url, 'POST', target, body);
    expect(answer).toMatchObject({ status: 400, json: { message: `${field}: ${message}`, details: { field } } });
  });

  test('may not repeat what the path says', async () => {
    for (const [target, body] of [
      ['/v1/books/a', { book: { id: 'a' } }],
      ['/v1/shelf/a', { id: 'b' }],
    ] as const) {
      const answer = await rest(library.current.url, 'PUT', target, body);
      expect(answer).toMatchObject({ status: 400, json: { message: 'book.id: is told by the path' } });
    }
    expect(await seen('PUT', '/v1/shelf/a', { id: null, title: 'T' })).toEqual({
      book: { id: 'a', title: 'T', tags: [] },
    });
  });
});

test('a path without body refuses one', async () => {
  const { url, calls } = library.current;
  const answer = await rest(url, 'PUT', '/v1/books/a/reservations/p', {});
  expect(answer).toMatchObject({ status: 400, json: { message: 'This path takes no body.' } });
  expect(calls).toEqual([]);
});

describe('response_body', () => {
  test.each([
    ['/v1/books/none', 'null'],
    ['/v1/books/a', '{"id":"a","title":"T","genre":null,"tags":[],"pages":null,"author":null,"printed_at":null}'],
    [
      '/v1/books/latest',
      '{"id":"latest","title":"L","genre":"Crime","tags":["new"],"pages":null,"author":null,"printed_at":null}',
    ],
    ['/v1/books:count', '9007199254740991'],
    [
      '/v1/books?cursor=end',
      '[{"id":"a","title":"","genre":null,"tags":[],"pages":null,"author":null,"printed_at":null}]',
    ],
  ])('%s', async (path, text) => {
    const answer = await rest(library.current.url, 'GET', path);
    expect(answer).toMatchObject({ status: 200, text });
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
  });

  test('a response without fields is {}', async () => {
    const answer = await rest(library.current.url, 'PATCH', '/v1/books/a', {});
    expect(answer).toMatchObject({ status: 200, text: '{}' });
  });
});
