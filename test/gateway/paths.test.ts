import { describe, expect, test } from 'vitest';
import { rawRequest } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedLibrary } from '../support/fixtures/library.js';

const library = sharedLibrary();

/** As it goes over the wire: fetch would tidy up the path. */
async function raw(method: string, path: string, body = '') {
  const { host } = new URL(library.current.url);
  const head = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${host}`,
    ...(body === '' ? [] : [`Content-Length: ${body.length}`]),
  ];
  return rawRequest(library.current.url, head, body);
}

describe('finds the method and what its variables stand for', () => {
  test.each<readonly [method: string, path: string, rpc: string, input: object]>([
    ['GET', '/v1/books/b1', 'getBook', { id: 'b1' }],
    // Literals before variables, whatever the order in which they were declared.
    ['GET', '/v1/books/latest', 'getLatest', {}],
    ['GET', '/v1/books/%6Catest', 'getLatest', {}],
    ['GET', '/v1/books/latest2', 'getBook', { id: 'latest2' }],
    ['GET', '/v1/books/LATEST', 'getBook', { id: 'LATEST' }],
    // Percent-encoding is undone once, after the path has been cut at its slashes.
    ['GET', '/v1/books/a%2Fb', 'getBook', { id: 'a/b' }],
    ['GET', '/v1/books/a%2fb%2F', 'getBook', { id: 'a/b/' }],
    ['GET', '/v1/books/%2F', 'getBook', { id: '/' }],
    ['GET', '/v1/books/a%252Fb', 'getBook', { id: 'a%2Fb' }],
    ['GET', '/v1/books/%C3%A9%20+%26', 'getBook', { id: 'é +&' }],
    ['GET', '/v1/books/..', 'getBook', { id: '..' }],
    ['GET', '/v1/books/%2e', 'getBook', { id: '.' }],
    ['GET', '/v1/books/*', 'getBook', { id: '*' }],
    ['GET', '/v1/books/{id}', 'getBook', { id: '{id}' }],
    ['GET', '/v1/books/__proto__', 'getBook', { id: '__proto__' }],
    ['GET', '/v1/books/a?', 'getBook', { id: 'a' }],
    // A colon is part of an id unless a verb follows that the method has.
    ['GET', '/v1/books/a:b', 'getBook', { id: 'a:b' }],
    ['GET', '/v1/books/a:reserve', 'getBook', { id: 'a:reserve' }],
    ['GET', '/v1/books/a:', 'getBook', { id: 'a:' }],
    ['GET', '/v1/books/:reserve', 'getBook', { id: ':reserve' }],
    ['POST', '/v1/books/a:reserve', 'reserve', { id: 'a', person: '' }],
    ['POST', '/v1/books/a:b:reserve', 'reserve', { id: 'a:b', person: '' }],
    ['POST', '/v1/books/a%3Areserve:reserve', 'reserve', { id: 'a:reserve', person: '' }],
    ['POST', '/v1/books/a%2Fb:reserve', 'reserve', { id: 'a/b', person: '' }],
    ['POST', '/v1/books/latest:reserve', 'reserve', { id: 'latest', person: '' }],
    ['GET', '/v1/books:count', 'count', {}],
    // An additional binding.
    ['PUT', '/v1/books/a/reservations/p%2F1', 'reserve', { id: 'a', person: 'p/1' }],
    // A variable of several segments: its slashes are those of the path.
    ['GET', '/v1/books/a/pages/1', 'getPage', { name: 'books/a/pages/1' }],
    ['GET', '/v1/books/latest/pages/1', 'getPage', { name: 'books/latest/pages/1' }],
    ['GET', '/v1/books/a%20b/pages/1:2', 'getPage', { name: 'books/a b/pages/1:2' }],
    // The rest of a path.
    ['GET', '/v1/files/a', 'getFile', { path: 'a' }],
    ['GET', '/v1/files/', 'getFile', { path: '' }],
    ['GET', '/v1/files/a/b/c.txt', 'getFile', { path: 'a/b/c.txt' }],
    ['GET', '/v1/files/a//b', 'getFile', { path: 'a//b' }],
    ['GET', '/v1/files/a/', 'getFile', { path: 'a/' }],
    ['GET', '/v1/files/a:touch', 'getFile', { path: 'a:touch' }],
    ['POST', '/v1/files/a/b:touch', 'getFile', { path: 'a/b' }],
    ['POST', '/v1/files/a:touch', 'getFile', { path: 'a' }],
    ['POST', '/v1/files/a:b/c:touch', 'getFile', { path: 'a:b/c' }],
    // A segment without a name, a number, a word.
    ['GET', '/v1/halls/any%2Fthing/shelves/7', 'getShelf', { number: 7 }],
    ['SEARCH', '/v1/halls/ScienceFiction', 'getShelf', { number: 0, genre: 'ScienceFiction' }],
    // A field inside of a field.
    ['PUT', '/v1/books/b%3A1', 'replaceBook', { book: { id: 'b:1', title: '', tags: [] } }],
  ])('%s %s', async (method, path, rpc, input) => {
    const answer = await raw(method, path);
    expect(answer.body).not.toContain('"error"');
    expect(library.current.seen()).toEqual({ method: rpc, input });
  });
});

describe('leads nowhere', () => {
  test.each([
    ['GET', '/v1/books/'],
    ['GET', '/v1/books//'],
    ['GET', '/v1/books/a/'],
    ['GET', '//v1/books/a'],
    ['GET', '/v1//books'],
    ['GET', '/v1/books/a/b'],
    ['GET', '/v1/books/latest/'],
    ['GET', '/v1/books:count/'],
    ['GET', '/v1/books:'],
    ['GET', '/v1/books:sum'],
    ['GET', '/v1/books%2Fa'],
    ['POST', '/v1/books//reservations/p'],
    ['GET', '/v1/books//pages/1'],
    ['GET', '/v1/books/a/pages/'],
    ['GET', '/v1/files'],
    ['GET', '/v1/halls//shelves/7'],
    ['GET', '/plain/'],
    ['GET', '/fixture.v1.LibraryService/GetBook/'],
  ])('%s %s', async (method, path) => {
    expect(await raw(method, path)).toMatchObject({ status: 404 });
    expect(library.current.calls).toEqual([]);
  });
});

describe('a variable that cannot be read is named', () => {
  test.each([
    ['GET', '/v1/halls/a/shelves/seven', 'number', 'must be an integer'],
    ['GET', '/v1/halls/a/shelves/7.5', 'number', 'must be an integer'],
    ['GET', '/v1/halls/a/shelves/9999999999', 'number', 'must be between -2147483648 and 2147483647'],
    ['SEARCH', '/v1/halls/Cooking', 'genre', 'must be one of Crime, ScienceFiction'],
  ])('%s %s', async (method, path, field, message) => {
    const answer = await raw(method, path);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ message: `${field}: ${message}`, details: { field } });
  });
});

describe('methods', () => {
  test.each([
    ['/v1/books', 'GET, HEAD, OPTIONS'],
    // Everything that some binding of this shape takes.
    ['/v1/books/a', 'GET, HEAD, OPTIONS, PATCH, PUT'],
    ['/v1/books/latest', 'GET, HEAD, OPTIONS, PATCH, PUT'],
    ['/v1/books/a:reserve', 'GET, HEAD, OPTIONS, PATCH, POST, PUT'],
    ['/v1/books:count', 'GET, HEAD, OPTIONS'],
    ['/v1/books/a/reservations/p', 'OPTIONS, PUT'],
    ['/v1/files/a:touch', 'GET, HEAD, OPTIONS, POST'],
    ['/v1/halls/Crime', 'OPTIONS, SEARCH'],
    ['/plain', 'GET, HEAD, OPTIONS'],
  ])('%s takes %s', async (path, allow) => {
    const options = await raw('OPTIONS', path);
    expect(options).toMatchObject({ status: 204, body: '', headers: { allow } });
    const answer = await raw('DELETE', path);
    expect(answer).toMatchObject({ status: 405, headers: { allow } });
    expect(JSON.parse(answer.body)).toMatchObject({
      error: 'method_not_allowed',
      details: { allow: allow.split(', ') },
    });
    expect(library.current.calls).toEqual([]);
  });

  test('HEAD has the head of GET, and no body', async () => {
    const get = await raw('GET', '/v1/books/a');
    const head = await raw('HEAD', '/v1/books/a');
    expect(head.status).toBe(200);
    for (const name of ['content-type', 'content-length']) expect(head.headers[name]).toBe(get.headers[name]);
    expect(library.current.calls.splice(0)).toHaveLength(2);
    expect(await raw('HEAD', '/v1/echo/words')).toMatchObject({ status: 405, headers: { allow: 'OPTIONS, POST' } });
    expect(await raw('HEAD', '/v1/nothing')).toMatchObject({ status: 404 });
    expect(await raw('HEAD', '/v1/fail/thrown')).toMatchObject({ status: 500 });
    library.current.seen();
  });
});

test('Location is made from the answer, percent-encoded', async () => {
  const { url, seen } = library.current;
  const made = await rest(url, 'POST', '/v1/shelves/s/books', { title: 'T' });
  expect(made.status).toBe(201);
  expect(made.headers.get('location')).toBe('/v1/books/new%2F1%3A2%20%C3%A9');
  seen();
  await rest(url, 'GET', made.headers.get('location') ?? '');
  expect(seen()).toEqual({ method: 'getBook', input: { id: 'new/1:2 é' } });
});

test('Link keeps the query as it was, but for the cursor', async () => {
  const { url, calls } = library.current;
  const link = async (query: string) => (await rest(url, 'GET', `/v1/books${query}`)).headers.get('link');
  expect(await link('')).toBe('</v1/books?cursor=a%20b%26c>; rel="next"');
  expect(await link('?tag=a%2Fb&tag=c&limit=2')).toBe(
    '</v1/books?tag=a%2Fb&tag=c&limit=2&cursor=a%20b%26c>; rel="next"',
  );
  expect(await link('?cursor=x&tag=%3F?&limit=2')).toBe('</v1/books?tag=%3F?&limit=2&cursor=a%20b%26c>; rel="next"');
  expect(await link('?cursor=end')).toBeNull();
  expect(calls.splice(0)).toHaveLength(4);
});

test('a path of no service', async () => {
  expect(await raw('GET', '/plain')).toMatchObject({ status: 200, body: '{"plain":true}' });
});
