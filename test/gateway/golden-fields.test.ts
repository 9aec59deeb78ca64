import { describe, expect, test } from 'vitest';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';

const app = sharedTestApp();
const id = 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV';

/** What is sent, the field that the answer names, what it says of it. */
type Case = readonly [sent: unknown, field: string, message: string];

const integer = 'must be an integer';
const text = 'must be a string';
const name = 'must be 1 to 128 letters, digits or _ . : / -';
const noField = 'no such field';
const time = 'must be an RFC 3339 time such as 2026-01-31T12:00:00Z';
const deep = nested(129);

function nested(levels: number): unknown {
  return JSON.parse('['.repeat(levels) + ']'.repeat(levels));
}

/** Sends the body and expects `400` in its whole, documented shape. */
async function refused(method: string, path: string, body: unknown, field: string, message: string): Promise<void> {
  const answer = await rest(app.current.url, method, path, body, { 'x-correlation-id': 'c' });
  expect({ status: answer.status, json: answer.json }).toEqual({
    status: 400,
    json: {
      error: 'invalid_request',
      code: 400,
      message: `${field}: ${message}`,
      details: { field },
      correlation_id: 'c',
    },
  });
}

const submits: readonly Case[] = [
  [{}, 'kind', 'is required'],
  [{ kind: null }, 'kind', 'is required'],
  [{ kind: '' }, 'kind', 'is required'],
  [{ kind: 1 }, 'kind', text],
  [{ kind: ['a'] }, 'kind', text],
  [{ kind: { a: 1 } }, 'kind', text],
  [{ kind: 'a b' }, 'kind', name],
  [{ kind: 'é' }, 'kind', name],
  [{ kind: 'a\n' }, 'kind', name],
  [{ kind: 'a'.repeat(129) }, 'kind', name],
  [{ kind: 'a', payload: deep }, 'payload', 'may be 128 levels deep'],
  [{ kind: 'a', priority: '1' }, 'priority', integer],
  [{ kind: 'a', priority: 1.5 }, 'priority', integer],
  [{ kind: 'a', priority: true }, 'priority', integer],
  [{ kind: 'a', priority: -1 }, 'priority', 'must be between 0 and 3'],
  [{ kind: 'a', priority: 4 }, 'priority', 'must be between 0 and 3'],
  [{ kind: 'a', priority: 2 ** 31 }, 'priority', 'must be between -2147483648 and 2147483647'],
  [{ kind: 'a', run_at: 1 }, 'run_at', 'must be an RFC 3339 time'],
  [{ kind: 'a', run_at: '' }, 'run_at', time],
  [{ kind: 'a', run_at: 'tomorrow' }, 'run_at', time],
  [{ kind: 'a', run_at: '2026-01-31' }, 'run_at', time],
  [{ kind: 'a', run_at: '2026-01-31T12:00:00' }, 'run_at', time],
  [{ kind: 'a', run_at: '2026-02-30T12:00:00Z' }, 'run_at', time],
  [{ kind: 'a', run_at: '2026-13-01T12:00:00Z' }, 'run_at', time],
  [{ kind: 'a', run_at: '2026-01-31T25:00:00Z' }, 'run_at', time],
  [{ kind: 'a', run_at: '2026-01-31T24:00:00Z' }, 'run_at', time],
  [{ kind: 'a', run_at: '2026-01-31T12:00:00+25:00' }, 'run_at', time],
  // The years before 1 and after 9999 have no RFC 3339 name in UTC.
  [{ kind: 'a', run_at: '0000-12-31T23:59:59Z' }, 'run_at', time],
  [{ kind: 'a', run_at: '0001-01-01T00:00:00+00:01' }, 'run_at', time],
  [{ kind: 'a', run_at: '9999-12-31T23:59:59-00:01' }, 'run_at', time],
  [{ kind: 'a', max_attempts: 0 }, 'max_attempts', 'must be between 1 and 100'],
  [{ kind: 'a', max_attempts: 101 }, 'max_attempts', 'must be between 1 and 100'],
  [{ kind: 'a', max_attempts: '3' }, 'max_attempts', integer],
  [{ kind: 'a', timeout_sec: 0 }, 'timeout_sec', 'must be between 1 and 604800'],
  [{ kind: 'a', timeout_sec: 604_801 }, 'timeout_sec', 'must be between 1 and 604800'],
  [{ kind: 'a', timeout_sec: 0.5 }, 'timeout_sec', integer],
  [{ kind: 'a', idempotency_key: 1 }, 'idempotency_key', text],
  [{ kind: 'a', idempotency_key: '' }, 'idempotency_key', 'must be 1 to 255 printable ASCII characters'],
  [{ kind: 'a', idempotency_key: 'é' }, 'idempotency_key', 'must be 1 to 255 printable ASCII characters'],
  [{ kind: 'a', idempotency_key: 'a'.repeat(256) }, 'idempotency_key', 'must be 1 to 255 printable ASCII characters'],
  [{ kind: 'a', id: 'mine' }, 'id', noField],
  [{ kind: 'a', status: 'done' }, 'status', noField],
  [{ kind: 'a', maxAttempts: 1 }, 'maxAttempts', noField],
  [{ kind: 'a', constructor: 1 }, 'constructor', noField],
  ['{"kind":"a","__proto__":{"priority":0}}', '__proto__', noField],
  ['{"kind":"a","":1}', '', noField],
];

const claims: readonly Case[] = [
  [{ kinds: ['a'] }, 'worker_id', 'is required'],
  [{ kinds: ['a'], worker_id: 1 }, 'worker_id', text],
  [{ kinds: ['a'], worker_id: 'a b' }, 'worker_id', name],
  [{ kinds: ['a'], worker_id: 'w'.repeat(129) }, 'worker_id', name],
  [{ worker_id: 'w' }, 'kinds', 'must name 1 to 50 kinds'],
  [{ worker_id: 'w', kinds: [] }, 'kinds', 'must name 1 to 50 kinds'],
  [{ worker_id: 'w', kinds: Array.from({ length: 51 }, (_, n) => `k${n}`) }, 'kinds', 'must name 1 to 50 kinds'],
  [{ worker_id: 'w', kinds: 'a' }, 'kinds', 'must be an array'],
  [{ worker_id: 'w', kinds: { 0: 'a' } }, 'kinds', 'must be an array'],
  [{ worker_id: 'w', kinds: ['a', 1] }, 'kinds[1]', text],
  [{ worker_id: 'w', kinds: ['a', null] }, 'kinds[1]', text],
  [{ worker_id: 'w', kinds: ['a', ''] }, 'kinds[1]', 'is required'],
  [{ worker_id: 'w', kinds: ['a', 'b', 'c d'] }, 'kinds[2]', name],
  [{ worker_id: 'w', kinds: ['a'], max: 0 }, 'max', 'must be between 1 and 500'],
  [{ worker_id: 'w', kinds: ['a'], max: 501 }, 'max', 'must be between 1 and 500'],
  [{ worker_id: 'w', kinds: ['a'], max: '1' }, 'max', integer],
  [{ worker_id: 'w', kinds: ['a'], lease_sec: 0 }, 'lease_sec', 'must be between 1 and 3600'],
  [{ worker_id: 'w', kinds: ['a'], lease_sec: 3601 }, 'lease_sec', 'must be between 1 and 3600'],
  [{ worker_id: 'w', kinds: ['a'], lease_sec: [] }, 'lease_sec', integer],
  [{ worker_id: 'w', kinds: ['a'], wait_sec: -1 }, 'wait_sec', 'must be between 0 and 60'],
  [{ worker_id: 'w', kinds: ['a'], wait_sec: 61 }, 'wait_sec', 'must be between 0 and 60'],
  [{ worker_id: 'w', kinds: ['a'], wait_sec: '0' }, 'wait_sec', integer],
  [{ worker_id: 'w', kinds: ['a'], kind: 'a' }, 'kind', noField],
];

const leases: readonly Case[] = [
  [{}, 'lease_token', 'is required'],
  [{ lease_token: null }, 'lease_token', 'is required'],
  [{ lease_token: 1 }, 'lease_token', text],
  [{ lease_token: 'a b' }, 'lease_token', 'is no lease token'],
  [{ lease_token: 'a'.repeat(65) }, 'lease_token', 'is no lease token'],
  [{ lease_token: 'a', token: 'a' }, 'token', noField],
  // The path says it already.
  [{ lease_token: 'a', id: 'job_01ARZ3NDEKTSV4RRFFQ69G5FAW' }, 'id', 'is told by the path'],
];

const heartbeats: readonly Case[] = [
  ...leases,
  [{ lease_token: 'a', progress: deep }, 'progress', 'may be 128 levels deep'],
  [{ lease_token: 'a', result: 1 }, 'result', noField],
];

const completes: readonly Case[] = [
  ...leases,
  [{ lease_token: 'a', result: deep }, 'result', 'may be 128 levels deep'],
  [{ lease_token: 'a', progress: 1 }, 'progress', noField],
];

const error = { code: 'x' };
const fails: readonly Case[] = [
  ...leases.map(([sent, ...rest]): Case => [{ error, ...(sent as object) }, ...rest]),
  [{ lease_token: 'a' }, 'error.code', 'is required'],
  [{ lease_token: 'a', error: null }, 'error.code', 'is required'],
  [{ lease_token: 'a', error: {} }, 'error.code', 'is required'],
  [{ lease_token: 'a', error: 'x' }, 'error', 'must be an object'],
  [{ lease_token: 'a', error: [] }, 'error', 'must be an object'],
  [{ lease_token: 'a', error: { code: 1 } }, 'error.code', text],
  [{ lease_token: 'a', error: { code: 'a b' } }, 'error.code', name],
  [{ lease_token: 'a', error: { code: 'x', message: 1 } }, 'error.message', text],
  [{ lease_token: 'a', error: { code: 'x', stack: '' } }, 'error.stack', noField],
  [{ lease_token: 'a', error, retryable: 'yes' }, 'retryable', 'must be true or false'],
  [{ lease_token: 'a', error, retryable: 1 }, 'retryable', 'must be true or false'],
];

describe.each([
  ['POST /v1/jobs', '/v1/jobs', submits],
  ['POST /v1/jobs/claim', '/v1/jobs/claim', claims],
  ['POST /v1/jobs/{id}/heartbeat', `/v1/jobs/${id}/heartbeat`, heartbeats],
  ['POST /v1/jobs/{id}/complete', `/v1/jobs/${id}/complete`, completes],
  ['POST /v1/jobs/{id}/fail', `/v1/jobs/${id}/fail`, fails],
] as const)('%s names the field', (_name, path, cases) => {
  test.each(cases.map(([sent, field, message]) => [short(sent), sent, field, message] as const))(
    '%s',
    async (_short, sent, field, message) => refused('POST', path, sent, field, message),
  );
});

describe('GET names the query parameter', () => {
  const words = 'must be one of queued, running, done, error, canceled';
  test.each([
    ['/v1/jobs?status=waiting', 'status', words],
    ['/v1/jobs?status=', 'status', words],
    ['/v1/jobs?status=QUEUED', 'status', words],
    ['/v1/jobs?status=queued,done', 'status', words],
    ['/v1/jobs?status=JOB_STATUS_QUEUED', 'status', words],
    ['/v1/jobs?status=1', 'status', words],
    ['/v1/jobs?kind=', 'kind[0]', 'is required'],
    ['/v1/jobs?kind=a&kind=b%20c', 'kind[1]', name],
    ['/v1/jobs?limit=0', 'limit', 'must be between 1 and 500'],
    ['/v1/jobs?limit=501', 'limit', 'must be between 1 and 500'],
    ['/v1/jobs?limit=1.5', 'limit', integer],
    ['/v1/jobs?limit=1e1', 'limit', integer],
    ['/v1/jobs?limit=0x10', 'limit', integer],
    ['/v1/jobs?limit=', 'limit', integer],
    ['/v1/jobs?limit', 'limit', integer],
    ['/v1/jobs?limit=1&limit=1', 'limit', 'may be given only once'],
    ['/v1/jobs?cursor=job_01ARZ3NDEKTSV4RRFFQ69G5FAV', 'cursor', 'is none of ours'],
    ['/v1/jobs?cursor=a&cursor=b', 'cursor', 'may be given only once'],
    ['/v1/jobs?cursor=%ff', 'cursor', 'is not percent-encoded UTF-8'],
    ['/v1/jobs?page=2', 'page', 'no such query parameter'],
    ['/v1/jobs?__proto__=2', '__proto__', 'no such query parameter'],
    ['/v1/jobs?status[]=done', 'status[]', 'no such query parameter'],
    ['/v1/jobs?nextCursor=a', 'nextCursor', 'no such query parameter'],
    [`/v1/jobs/${id}?id=${id}`, 'id', 'no such query parameter'],
    [`/v1/jobs/${id}?verbose=1`, 'verbose', 'no such query parameter'],
  ])('%s', async (path, field, message) => refused('GET', path, undefined, field, message));

  test('a path whose request is its body takes no query', async () => {
    await refused('POST', '/v1/jobs?kind=a', { kind: 'a' }, 'kind', 'no such query parameter');
    await refused('DELETE', `/v1/jobs/${id}?force=1`, undefined, 'force', 'no such query parameter');
  });
});

test('the bounds themselves are fine', async () => {
  const { url } = app.current;
  const most = {
    kind: 'k'.repeat(128),
    payload: nested(128),
    priority: 3,
    run_at: '9999-12-31T23:59:59.999Z',
    max_attempts: 1,
    timeout_sec: 1,
    idempotency_key: `~ ${'a'.repeat(253)}`,
  };
  const { status, json } = await rest(url, 'POST', '/v1/jobs', most);
  expect(status).toBe(201);
  const { idempotency_key: _, ...stored } = most;
  expect((await rest(url, 'GET', `/v1/jobs/${(json as { id: string }).id}`)).json).toMatchObject(stored);

  const least = { kind: '-', run_at: '0001-01-01T00:00:00.000Z' };
  const early = await rest(url, 'POST', '/v1/jobs', least);
  expect((await rest(url, 'GET', `/v1/jobs/${(early.json as { id: string }).id}`)).json).toMatchObject(least);

  const claim = {
    worker_id: 'w'.repeat(128),
    kinds: Array.from({ length: 50 }, (_, n) => `none-${n}`),
    max: 500,
    lease_sec: 3600,
    wait_sec: 0,
  };
  expect(await rest(url, 'POST', '/v1/jobs/claim', claim)).toMatchObject({ status: 200, json: [] });
  expect(await rest(url, 'GET', '/v1/jobs?limit=1&kind=none')).toMatchObject({ status: 200, json: [] });
});

test('of a field that is given twice the last counts, as JSON.parse has it', async () => {
  const { url } = app.current;
  const { json } = await rest(url, 'POST', '/v1/jobs', '{"kind":"a","priority":"x","priority":1,"kind":"twice"}');
  expect(json).toMatchObject({ kind: 'twice' });
});

function short(sent: unknown): string {
  const json = typeof sent === 'string' ? sent : JSON.stringify(sent);
  return json.length > 80 ? `${json.slice(0, 77)}...` : json;
}
