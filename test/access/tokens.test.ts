import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { openEventStream } from '../support/sse.js';
import { bearer, makeToken, type TestToken } from './support/tokens.js';

interface ShownToken {
  readonly id: string;
  readonly [field: string]: unknown;
}

/** Every text in the database, to look for what must not be there. */
async function everything({ database }: TestApp): Promise<string> {
  const tables = await database.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`,
  );
  const rows = await Promise.all(tables.map(({ name }) => database.query(`SELECT t::text FROM ${name} t`)));
  return JSON.stringify(rows);
}

describe('the first token', () => {
  test('has to be a human, since nobody is let in without a token from then on', async () => {
    const app = await startTestApp();
    for (const role of ['agent', 'worker', 'viewer']) {
      const refused = await rest(app.url, 'POST', '/api/tokens', { role, name: 'x' });
      expect(refused).toMatchObject({ status: 400, json: { error: 'invalid_request', details: { field: 'role' } } });
    }
    // Nothing has been made by that.
    expect((await rest(app.url, 'GET', '/v1/jobs')).status).toBe(200);
    const human = await makeToken(app, { role: 'human' });
    expect(await rest(app.url, 'GET', '/v1/jobs')).toMatchObject({ status: 401, json: { error: 'unauthorized' } });
    expect((await rest(app.url, 'GET', '/v1/jobs', undefined, bearer(human))).status).toBe(200);
    // Also when it is gone: a server that has been closed does not open by itself.
    await rest(app.url, 'DELETE', `/api/tokens/${human.id}`, undefined, bearer(human));
    expect((await rest(app.url, 'GET', '/v1/jobs')).status).toBe(401);
  });

  test('of two at a time, one is the first', async () => {
    const app = await startTestApp();
    const answers = await Promise.all(
      ['worker', 'human', 'viewer', 'human'].map((role) => rest(app.url, 'POST', '/api/tokens', { role, name: role })),
    );
    const made = answers.flatMap(({ status, json }) => (status === 201 ? [json as ShownToken & TestToken] : []));
    const human = made.find((token) => token['role'] === 'human');
    if (human === undefined) throw new Error('no human was let in');
    const [first] = (await rest(app.url, 'GET', '/api/events/replay?type=TokenCreated', undefined, bearer(human)))
      .json as { payload: { role: string } }[];
    expect(first?.payload.role).toBe('human');
  });

  test('ends what the local human has open', async () => {
    const app = await startTestApp();
    const stream = await openEventStream(`${app.url}/api/events/subscribe`);
    await makeToken(app, { role: 'human' });
    await stream.over;
    expect(stream.events.at(-1)).toMatchObject({ event: 'error' });
    expect(JSON.parse(stream.events.at(-1)?.data ?? '')).toMatchObject({ error: 'unauthorized', code: 401 });
  });
});

test('whoever comes through a proxy on this machine is not local', async () => {
  const app = await startTestApp();
  for (const header of ['Forwarded', 'X-Forwarded-For', 'X-Real-IP']) {
    expect((await rest(app.url, 'GET', '/v1/jobs', undefined, { [header]: '192.0.2.1' })).status).toBe(401);
  }
});

describe('a token', () => {
  const app = sharedTestApp();
  const own = (() => {
    let human: Promise<Record<string, string>> | undefined;
    return () => (human ??= makeToken(app.current, { role: 'human', name: 'me' }).then(bearer));
  })();
  const call = async (method: string, path: string, body?: unknown) =>
    rest(app.current.url, method, path, body, await own());

  test('is told once, with its place, and kept as a hash only', async () => {
    const input = { role: 'agent', name: ' builder ', capabilities: ['jobs.work', 'jobs.work', 'gates.read'] };
    const made = await call('POST', '/api/tokens', { ...input, expires_at: '2099-01-01T00:00:00Z' });
    const { secret, ...shown } = made.json as ShownToken & { secret: string };
    expect(made.headers.get('location')).toBe(`/api/tokens/${shown.id}`);
    expect(shown).toMatchObject({
      role: 'agent',
      name: 'builder',
      capabilities: ['jobs.work', 'gates.read'],
      task_id: null,
      expires_at: '2099-01-01T00:00:00.000Z',
    });
    expect(secret).toMatch(/^mst_[\w-]{43}$/);
    const read = await call('GET', `/api/tokens/${shown.id}`);
    expect(read.json).toEqual({ ...shown, revoked_at: null });
    const [listed] = (await call('GET', '/api/tokens?limit=1')).json as ShownToken[];
    expect(listed).toEqual(read.json);

    const kept = await everything(app.current);
    expect(kept).not.toContain(secret);
    expect(kept).not.toContain(secret.slice(4));
    expect(kept).toContain(createHash('sha256').update(secret).digest('hex'));
  });

  test.each<[field: string, error: string, input: object]>([
    ['role', 'invalid_request', { name: 'x' }],
    ['role', 'invalid_request', { role: 'root', name: 'x' }],
    ['name', 'invalid_request', { role: 'viewer', name: ' ' }],
    ['name', 'invalid_request', { role: 'viewer', name: 'x'.repeat(101) }],
    ['name', 'invalid_request', { role: 'viewer', name: 'a\u0000b' }],
    ['capabilities', 'unsupported_capability', { role: 'agent', name: 'x', capabilities: ['jobs.work', 'fly'] }],
    ['capabilities', 'invalid_request', { role: 'worker', name: 'x', capabilities: ['jobs.work'] }],
    ['task_id', 'invalid_request', { role: 'agent', name: 'x', task_id: 'task_1' }],
    ['task_id', 'invalid_request', { role: 'human', name: 'x', task_id: 'task_01M80V0E8VB3ME7NYYAKT0FQCH' }],
    ['expires_at', 'invalid_request', { role: 'viewer', name: 'x', expires_at: '2020-01-01T00:00:00Z' }],
  ])('with a bad %s is %s', async (field, error, input) => {
    const answer = await call('POST', '/api/tokens', input);
    expect(answer).toMatchObject({ status: 400, json: { error, details: { field } } });
  });

  test('that there is not', async () => {
    for (const id of ['tok_01M80V0E8VB3ME7NYYAKT0FQCH', 'x', '%00']) {
      expect((await call('GET', `/api/tokens/${id}`)).json).toMatchObject({ error: 'not_found' });
      expect((await call('DELETE', `/api/tokens/${id}`)).json).toMatchObject({ error: 'not_found' });
    }
  });

  test('is listed page by page, newest first', async () => {
    const names = ['p1', 'p2', 'p3'];
    for (const name of names) await makeToken(app.current, { role: 'viewer', name }, undefinedIfNone(await own()));
    const first = await call('GET', '/api/tokens?limit=2');
    expect((first.json as ShownToken[]).map(({ name }) => name)).toEqual(['p3', 'p2']);
    const next = /<(.+)>; rel="next"/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
    expect(((await call('GET', next)).json as ShownToken[])[0]).toMatchObject({ name: 'p1' });
    expect((await call('GET', '/api/tokens?cursor=x')).json).toMatchObject({ details: { field: 'cursor' } });
    expect((await call('GET', '/api/tokens?limit=501')).json).toMatchObject({ details: { field: 'limit' } });
  });

  test('is revoked once, and again without harm', async () => {
    const { id, secret } = (await call('POST', '/api/tokens', { role: 'viewer', name: 'r' })).json as ShownToken & {
      secret: string;
    };
    const asIt = { authorization: `Bearer ${secret}` };
    expect((await rest(app.current.url, 'GET', '/v1/jobs', undefined, asIt)).status).toBe(200);
    const revoked = await call('DELETE', `/api/tokens/${id}`);
    expect(revoked).toMatchObject({ status: 200, json: { id, revoked_at: expect.any(String) as string } });
    expect((await call('DELETE', `/api/tokens/${id}`)).json).toEqual(revoked.json);
    expect(await rest(app.current.url, 'GET', '/v1/jobs', undefined, asIt)).toMatchObject({
      status: 401,
      json: { message: 'The token has been revoked.' },
    });
    const events = (await call('GET', '/api/events?type=TokenRevoked')).json as { payload: { token_id: string } }[];
    expect(events.filter(({ payload }) => payload.token_id === id)).toHaveLength(1);
  });
});

/** The headers of `own` as the token that they are of. */
function undefinedIfNone({ authorization = '' }: Record<string, string>) {
  return { id: '', secret: authorization.replace('Bearer ', '') };
}

test('an expired token is refused, and what is open under it ends', async () => {
  const clock = createManualClock(new Date('2026-06-01T00:00:00Z'));
  const app = await startTestApp({ clock });
  const human = await makeToken(app, { role: 'human' });
  const viewer = await makeToken(app, { role: 'viewer', expires_at: '2026-06-01T00:01:00Z' }, human);
  const late = await makeToken(app, { role: 'viewer', expires_at: '2026-06-01T00:01:00Z' }, human);
  const stream = await openEventStream(`${app.url}/api/events/subscribe`, bearer(viewer));
  expect(stream.status).toBe(200);
  clock.advance(60_000);
  await stream.over;
  expect(JSON.parse(stream.events.at(-1)?.data ?? '')).toMatchObject({ message: 'The token has expired.' });
  // Known to the server, and never seen before.
  for (const token of [viewer, late]) {
    const answer = await rest(app.url, 'GET', '/v1/jobs', undefined, bearer(token));
    expect(answer).toMatchObject({ status: 401, json: { message: 'The token has expired.' } });
  }
});
