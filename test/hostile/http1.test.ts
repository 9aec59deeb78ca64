import { describe, expect, test } from 'vitest';
import { connectRaw, rawRequest } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedLibrary } from '../support/fixtures/library.js';

// What test/gateway/port.test.ts holds is not said again here: noise, Host, Origin, and the plainer malformed requests.
const library = sharedLibrary();

const smuggled = 'GET /v1/books/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n';
const body = '{"text":"a"}';

async function stillServes(): Promise<void> {
  expect((await rest(library.current.url, 'GET', '/plain')).status).toBe(200);
}

/** Everything that came back until the server closed, or went on waiting for more: a request of its own shows which. */
async function send(bytes: string): Promise<{ statuses: number[]; text: string; closed: boolean }> {
  const connection = await connectRaw(library.current.url);
  let text = '';
  connection.socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  connection.write(Buffer.from(bytes, 'latin1'));
  connection.socket.end();
  await connection.closed();
  await new Promise((resolve) =>
    connection.socket.destroyed ? resolve(undefined) : connection.socket.once('close', resolve),
  );
  const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
  return { statuses, text, closed: true };
}

function post(headers: readonly string[], content: string): string {
  return ['POST /v1/echo HTTP/1.1', 'Host: localhost', ...headers, '', content].join('\r\n');
}

describe('a request within a request is not served', () => {
  const chunked = `c\r\n${body}\r\n0\r\n\r\n`;
  test.each<readonly [string, string]>([
    ['length and chunks', post(['Content-Length: 4', 'Transfer-Encoding: chunked'], `0\r\n\r\n${smuggled}`)],
    ['chunks and length', post(['Transfer-Encoding: chunked', 'Content-Length: 5'], `0\r\n\r\n${smuggled}`)],
    ['two lengths', post(['Content-Length: 0', `Content-Length: ${smuggled.length}`], smuggled)],
    ['the same length twice', post(['Content-Length: 12', 'Content-Length: 12'], body + smuggled)],
    ['a list of lengths', post([`Content-Length: 0, ${smuggled.length}`], smuggled)],
    ['a length with a sign', post(['Content-Length: +12'], body + smuggled)],
    ['a length below nothing', post(['Content-Length: -1'], smuggled)],
    ['a length in hexadecimal', post(['Content-Length: 0xc'], body + smuggled)],
    ['a length that is too long', post(['Content-Length: 99999999999999999999'], body + smuggled)],
    ['a length with blanks in it', post(['Content-Length: 1 2'], body + smuggled)],
    ['a length before whose colon is a blank', post([`Content-Length : ${smuggled.length}`], smuggled)],
    ['chunks before whose colon is a blank', post(['Transfer-Encoding : chunked'], `0\r\n\r\n${smuggled}`)],
    ['chunks by another name', post(['Transfer-Encoding: xchunked'], chunked + smuggled)],
    ['chunks that are not last', post(['Transfer-Encoding: chunked, identity'], chunked + smuggled)],
    ['chunks twice', post(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], chunked + smuggled)],
    ['chunks behind a vertical tab', post(['Transfer-Encoding: \x0bchunked'], chunked + smuggled)],
    ['a folded header', post(['Transfer-Encoding:', ' chunked'], chunked + smuggled)],
    ['a folded length', post(['X: a', ` Content-Length: ${smuggled.length}`], smuggled)],
    ['NUL in a name', post([`Content\0-Length: ${smuggled.length}`], smuggled)],
    ['NUL in a value', post(['X: a\0b'], smuggled)],
    ['a header without a name', post([': a'], smuggled)],
    ['a blank before the first header', ['POST /v1/echo HTTP/1.1', ' Host: localhost', '', smuggled].join('\r\n')],
    ['LF alone at the end of a line', `POST /v1/echo HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n${smuggled}`],
    ['CR alone at the end of a line', post(['X: a\rContent-Length: 0'], smuggled)],
    ['LF alone behind a chunk size', post(['Transfer-Encoding: chunked'], `c\n${body}\n0\n\n${smuggled}`)],
    [
      'a chunk that is longer than it says',
      post(['Transfer-Encoding: chunked'], `1\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    ],
    ['a chunk size with a sign', post(['Transfer-Encoding: chunked'], `+c\r\n${body}\r\n0\r\n\r\n${smuggled}`)],
    ['a chunk size with 0x', post(['Transfer-Encoding: chunked'], `0xc\r\n${body}\r\n0\r\n\r\n${smuggled}`)],
    [
      'a chunk size beyond 64 bits',
      post(['Transfer-Encoding: chunked'], `fffffffffffffffff\r\n${body}\r\n0\r\n\r\n${smuggled}`),
    ],
    [
      'a body that GET does not have',
      `GET /v1/books/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    ],
    [
      'an upgrade with a body',
      post(['Connection: Upgrade', 'Upgrade: h2c', `Content-Length: ${smuggled.length}`], smuggled),
    ],
    ['a version that is none', `GET /v1/books/smuggled HTTP/1.1.1\r\nHost: localhost\r\n\r\n`],
    ['HTTP/2.0 in words', 'GET /v1/books/smuggled HTTP/2.0\r\nHost: localhost\r\n\r\n'],
    ['a blank in the target', 'GET /v1/books/a /v1/books/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a control character in the target', 'GET /v1/books/smuggled\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['two hosts', 'GET /v1/books/smuggled HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n'],
  ])('%s', async (_name, bytes) => {
    const { statuses, text } = await send(bytes);
    expect(text).not.toContain('smuggled"');
    expect(library.current.calls.filter(({ input }) => input['id'] === 'smuggled')).toEqual([]);
    for (const status of statuses) expect(status).toBeLessThan(500);
    expect(statuses.filter((status) => status >= 400).length, text).toBeLessThanOrEqual(1);
    await stillServes();
  });
});

describe('heads', () => {
  const get = (...headers: readonly string[]): string[] => ['GET /v1/books/a HTTP/1.1', 'Host: localhost', ...headers];

  test('of up to 128 headers', async () => {
    const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `X-${index}: ${index}`);
    expect((await rawRequest(library.current.url, get(...many(127)))).status).toBe(200);
    for (const count of [128, 3000]) {
      const answer = await rawRequest(library.current.url, get(...many(count)));
      expect(answer).toMatchObject({ status: 431, headers: { connection: 'close' } });
      expect(JSON.parse(answer.body)).toMatchObject({ error: 'too_large' });
    }
    await stillServes();
  });

  // Node leaves out what is beyond its bound, and with it whatever is said there.
  test('a header behind 2000 others is not overlooked', async () => {
    const lines = Array.from({ length: 2500 }, () => 'a:');
    const answer = await rawRequest(library.current.url, [...get(...lines), 'Origin: http://evil.example']);
    expect(answer.status).toBe(431);
    expect(library.current.calls).toEqual([]);
  });

  test.each([
    ['one header', get(`X: ${'x'.repeat(40_000)}`)],
    ['one name', get(`${'x'.repeat(40_000)}: x`)],
    ['the target', [`GET /${'x'.repeat(40_000)} HTTP/1.1`, 'Host: localhost']],
  ])('of up to 32 KiB: %s', async (_name, lines) => {
    const answer = await rawRequest(library.current.url, lines);
    expect(answer).toMatchObject({ status: 431, headers: { connection: 'close' } });
    await stillServes();
  });

  test.each([
    ['chunk extensions', `1;${'x'.repeat(20_000)}\r\na\r\n`, 413],
    ['trailers', `0\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
  ])('%s', async (_name, bytes, status) => {
    const connection = await connectRaw(library.current.url);
    connection.write(post(['Transfer-Encoding: chunked'], bytes));
    expect((await connection.answer()).status).toBe(status);
    await connection.closed();
    await stillServes();
  });
});

test('a word of refusal comes neither within an answer nor in the place of another', async () => {
  const connection = await connectRaw(library.current.url);
  connection.write(`GET /v1/books/a HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n\r\n`);
  let text = '';
  connection.socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await connection.closed();
  // The first is either answered by its own or not at all.
  expect(text === '' || text.startsWith('HTTP/1.1 200 ')).toBe(true);
  await stillServes();
});

test('who is refused and stays is let go', async () => {
  const connection = await connectRaw(library.current.url);
  connection.write('nonsense\r\n\r\n');
  expect((await connection.answer()).status).toBe(400);
  // The server's side is closed; ours goes on sending, which a server that still listened would take.
  await new Promise((resolve) => {
    connection.socket.once('close', resolve);
    connection.socket.on('error', () => undefined);
    const feed = setInterval(() => connection.socket.write('more'), 20);
    connection.socket.once('close', () => clearInterval(feed));
  });
  await stillServes();
});

describe('bodies', () => {
  test('of more than is allowed, said or not', async () => {
    const { url } = library.current;
    const said = await rawRequest(url, ['POST /v1/echo HTTP/1.1', 'Host: localhost', 'Content-Length: 999999999']);
    expect(said.status).toBe(413);
    const connection = await connectRaw(url);
    connection.write(post(['Transfer-Encoding: chunked'], ''));
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000, 'x'), Buffer.from('\r\n')]);
    for (let n = 0; n < 40 && !connection.socket.destroyed; n++) connection.write(chunk);
    expect((await connection.answer()).status).toBe(413);
    await stillServes();
  });

  test.each(['gzip', 'br', 'deflate', 'zstd', 'identity, gzip', 'chunked'])(
    'packed as %s are not taken by REST',
    async (encoding) => {
      const answer = await rest(library.current.url, 'POST', '/v1/echo', body, { 'content-encoding': encoding });
      expect(answer).toMatchObject({ status: 415, json: { error: 'unsupported_media_type' } });
    },
  );
});
