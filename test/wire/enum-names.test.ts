import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { sharedLibrary } from '../support/fixtures/library.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { exchange, framed, openSession, type RawStream } from '../support/wire/raw-grpc.js';

const library = sharedLibrary();
const app = sharedTestApp();
const service = '/fixture.v1.LibraryService';
const genres = 'GENRE_CRIME, GENRE_SCIENCE_FICTION';

interface Told {
  readonly code: string;
  readonly message: string;
}

async function overConnect(url: string, path: string, body: object, type: string): Promise<Told> {
  const { status, json } = await rest(url, 'POST', path, body, { 'content-type': type });
  return status === 200 ? { code: 'ok', message: '' } : { code: (json as Told).code, message: (json as Told).message };
}

/** Statuses of gRPC that come here. */
const codes: Readonly<Record<string, string>> = { 0: 'ok', 3: 'invalid_argument' };

function toldOf({ headers, trailers }: RawStream): Told {
  const { 'grpc-status': status, 'grpc-message': message = '' } = { ...headers, ...trailers };
  return { code: codes[String(status)] ?? String(status), message: decodeURIComponent(String(message)) };
}

async function overGrpc(url: string, path: string, body: object): Promise<Told> {
  const head = { ':path': path, 'content-type': 'application/grpc+json', te: 'trailers' };
  return toldOf(await exchange(openSession(url), head, [framed(Buffer.from(JSON.stringify(body)))]));
}

/** Every way to send a unary call as JSON. */
const ways: Readonly<Record<string, (url: string, path: string, body: object) => Promise<Told>>> = {
  'Connect, fast': (url, path, body) => overConnect(url, path, body, 'application/json'),
  'Connect, general': (url, path, body) => overConnect(url, path, body, 'application/json; charset=utf8'),
  'Connect, packed': async (url, path, body) => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    const response = await fetch(url + path, { method: 'POST', headers, body: gzipSync(JSON.stringify(body)) });
    const { code = 'ok', message = '' } = (await response.json()) as Partial<Told>;
    return { code, message };
  },
  gRPC: overGrpc,
};

describe.each(Object.entries(ways))('%s', (_way, call) => {
  const echo = (body: object) => call(library.current.url, `${service}/Echo`, body);

  test.each([
    ['alone', { genre: 'Crime' }, 'genre'],
    ['in a list', { genres: ['GENRE_CRIME', 'GENRE_Crime'] }, 'genres[1]'],
    ['empty', { genre: '' }, 'genre'],
    ['a number as text', { genre: '1' }, 'genre'],
  ])('refuses a name that an enum has not, and says which it has: %s', async (_what, body, field) => {
    const message = `${field}: must be one of ${genres}`;
    expect(await echo(body)).toEqual({ code: 'invalid_argument', message });
    expect(library.current.calls).toEqual([]);
  });

  test('finds it within other messages', async () => {
    const body = { book: { title: 'T', genre: 'Poetry' } };
    const message = `book.genre: must be one of ${genres}`;
    const path = `${service}/CreateBook`;
    expect(await call(library.current.url, path, body)).toEqual({ code: 'invalid_argument', message });
  });

  test('takes names, numbers and null, and fields that it does not know', async () => {
    for (const genre of ['GENRE_CRIME', 'GENRE_UNSPECIFIED', 1, null]) {
      const body = { genre, genres: ['GENRE_SCIENCE_FICTION'], any: { genre: 'Poetry' }, future: 'GENRE_POETRY' };
      expect(await echo(body)).toEqual({ code: 'ok', message: '' });
      const { input } = library.current.seen();
      expect([input['genre'], input['genres']]).toEqual([
        genre === 1 || genre === 'GENRE_CRIME' ? 'Crime' : undefined,
        ['ScienceFiction'],
      ]);
    }
  });

  test('tasks of a status that there is not are not all tasks', async () => {
    const tasks = '/muster.v1.TaskService';
    const named = (field: string, names: string) => ({
      code: 'invalid_argument',
      message: `${field}: must be one of ${names}`,
    });
    expect(await call(app.current.url, `${tasks}/ListTasks`, { status: ['Completed'] })).toEqual(
      named(
        'status[0]',
        ['PENDING', 'IN_PROGRESS', 'IN_REVIEW', 'AWAITING_HUMAN', 'COMPLETED', 'CANCELLED']
          .map((name) => `TASK_STATUS_${name}`)
          .join(', '),
      ),
    );
    const task = { repoId: 'repo_1', kind: 'Task', description: 'Do it.' };
    expect(await call(app.current.url, `${tasks}/CreateTask`, task)).toEqual(
      named('kind', 'TASK_KIND_MILESTONE, TASK_KIND_TASK, TASK_KIND_SUBTASK'),
    );
  });
});

test('a stream that is asked for with such a name is refused', async () => {
  const body = { source: 'Cli' };
  const told = await overGrpc(app.current.url, '/muster.v1.EventService/SubscribeEvents', body);
  expect(told).toMatchObject({
    code: 'invalid_argument',
    message: expect.stringMatching(/^source: must be/) as string,
  });
});
