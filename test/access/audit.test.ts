import { describe, expect, test } from 'vitest';
import { createMusterClient, followEvents, ledgerEventOf } from '../../src/client/index.js';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { useGitRepos } from '../support/git-repos.js';
import { rest } from '../support/rest.js';
import { createReviewsClient } from '../support/reviews-client.js';
import { openEventStream } from '../support/sse.js';
import { createTasksClient, registerRepo } from '../support/tasks-client.js';
import { until } from '../support/until.js';
import { openWebSocket } from '../support/websocket.js';
import { bearer, makeToken, type TestToken } from './support/tokens.js';

const repos = useGitRepos();

interface Shown {
  readonly seq: number;
  readonly type: string;
  readonly source: string;
  readonly actor: { readonly kind: string; readonly id: string };
  readonly correlation_id: string | null;
  readonly payload: Readonly<Record<string, unknown>>;
}

async function events(app: TestApp, query: string, token: TestToken): Promise<readonly Shown[]> {
  const answer = await rest(app.url, 'GET', `/api/events${query}`, undefined, bearer(token));
  expect(answer.status).toBe(200);
  return answer.json as Shown[];
}

function refusals(app: TestApp, human: TestToken, count: number): Promise<readonly Shown[]> {
  return until(`${count} refusals are told`, async () => {
    const all = await events(app, '/replay?type=CallRefused', human);
    return all.length >= count && all;
  });
}

describe('the audit trail', () => {
  test('says who made and revoked tokens, and who was refused what', async () => {
    const app = await startTestApp();
    const human = await makeToken(app, { role: 'human', name: 'me' });
    const worker = await makeToken(app, { role: 'worker', name: 'w' }, human);
    const wrong = { 'x-correlation-id': 'refused-1', ...bearer(worker) };
    expect((await rest(app.url, 'POST', '/v1/jobs', { kind: 'k' }, wrong)).status).toBe(403);
    expect((await rest(app.url, 'GET', '/v1/jobs', undefined, { 'x-correlation-id': 'refused-2' })).status).toBe(401);
    await rest(app.url, 'DELETE', `/api/tokens/${worker.id}`, undefined, bearer(human));

    const [forbidden, unauthorized] = await refusals(app, human, 2);
    expect(forbidden).toMatchObject({
      source: 'Rest',
      actor: { kind: 'worker', id: worker.id },
      correlation_id: 'refused-1',
      payload: {
        method: '/muster.v1.JobService/CreateJob',
        scope: 'jobs.submit',
        error: 'forbidden',
        message: 'The role worker lacks the scope jobs.submit.',
        address: '127.0.0.1',
        count: 1,
      },
    });
    expect(unauthorized).toMatchObject({
      actor: { kind: 'unknown', id: '127.0.0.1' },
      correlation_id: 'refused-2',
      payload: { error: 'unauthorized', count: 1 },
    });
    const made = await events(app, '/replay?type=TokenCreated&type=TokenRevoked', human);
    expect(made).toMatchObject([
      { type: 'TokenCreated', actor: { kind: 'human', id: 'local' }, payload: { token_id: human.id, name: 'me' } },
      {
        type: 'TokenCreated',
        actor: { kind: 'human', id: human.id },
        payload: { token_id: worker.id, role: 'worker' },
      },
      { type: 'TokenRevoked', actor: { kind: 'human', id: human.id }, payload: { token_id: worker.id } },
    ]);
    expect(JSON.stringify(await events(app, '?limit=1000', human))).not.toContain(worker.secret);
  });

  test('says whom a rule has refused what a scope allows', async () => {
    const app = await startTestApp();
    const human = await makeToken(app, { role: 'human' });
    const tasks = createTasksClient(app.url, bearer(human));
    const repo_id = await registerRepo(app.url, repos.repo(), bearer(human));
    const [own, other] = [await tasks.create({ repo_id }), await tasks.create({ repo_id })];
    await tasks.start(own.id);
    const { id: review_id } = await createReviewsClient(app.url, bearer(human)).submit(own.id, { 'new.txt': 'new' });
    const capabilities = ['tasks.execute', 'reviews.agent'];
    const agent = await makeToken(app, { role: 'agent', capabilities, task_id: own.id }, human);
    const refused = { id: review_id, method: 'ReviewService/ApproveReview', message: /never review their own work/ };
    const calls = [
      { id: other.id, method: 'TaskService/CancelTask', message: new RegExp(`may act on ${own.id} only`) },
      refused,
      // Counted with the one before it.
      refused,
    ];
    for (const { id, method } of calls) {
      const headers = { 'content-type': 'application/json', ...bearer(agent) };
      expect((await rest(app.url, 'POST', `/muster.v1.${method}`, { id }, headers)).status).toBe(403);
    }
    const told = await refusals(app, human, 2);
    expect(told).toMatchObject(
      calls.slice(0, 2).map(({ method, message }) => ({
        source: 'Rpc',
        actor: { kind: 'agent', id: agent.id },
        payload: {
          method: `/muster.v1.${method}`,
          error: 'forbidden',
          message: expect.stringMatching(message) as string,
          address: '127.0.0.1',
        },
      })),
    );
    // What is no refusal is in no audit trail.
    expect((await rest(app.url, 'POST', `/api/tasks/${own.id}/start`, {}, bearer(agent))).status).toBe(409);
    await app.app.stop();
    const [row] = await app.database.query<{ count: string }>(
      `SELECT sum((payload->>'count')::int) AS count FROM (
         SELECT type, payload FROM events UNION ALL SELECT type, payload FROM events_new) e WHERE type = 'CallRefused'`,
    );
    expect(row?.count).toBe('3');
  });

  test('is told to a human in every way, and to nobody else in any', async () => {
    const app = await startTestApp();
    const human = await makeToken(app, { role: 'human' });
    const readers = {
      human,
      viewer: await makeToken(app, { role: 'viewer' }, human),
      agent: await makeToken(app, { role: 'agent' }, human),
    };
    await rest(app.url, 'POST', '/v1/jobs', { kind: 'first' }, bearer(human));
    const live = await Promise.all(Object.values(readers).map((token) => followAll(app, token)));
    // Between two changes that all may see.
    await makeToken(app, { role: 'viewer', name: 'live' }, human);
    await rest(app.url, 'POST', '/v1/jobs', { kind: 'last' }, bearer(human));

    const isTrail = (type: string): boolean => /^Token|^Call/.test(type);
    for (const [index, [role, token]] of Object.entries(readers).entries()) {
      const replayed = await events(app, '/replay?limit=1000', token);
      const listed = await events(app, '?limit=1000', token);
      const ways = { replayed, listed: listed.toReversed(), ...(await live[index]?.()) };
      for (const [way, seen] of Object.entries(ways)) {
        const types = seen.map(({ type }) => type);
        expect([role, way, types.filter((type) => !isTrail(type))]).toEqual([role, way, ['JobQueued', 'JobQueued']]);
        expect([role, way, types.filter(isTrail).length]).toEqual([role, way, role === 'human' ? 4 : 0]);
        // Numbers are the same for all, so that all resume alike.
        expect(seen.at(-1)?.seq).toBe(6);
      }
      const asked = await events(app, '/replay?type=TokenCreated', token);
      expect([role, asked.length]).toEqual([role, role === 'human' ? 4 : 0]);
    }
  });

  test('counts what strangers repeat instead of telling each', async () => {
    const clock = createManualClock(new Date('2026-06-01T00:00:00Z'));
    const app = await startTestApp({ clock });
    const human = await makeToken(app, { role: 'human' });
    for (const path of ['/v1/jobs', '/api/tokens', '/v1/jobs']) await rest(app.url, 'GET', path);
    const [first, ...more] = await refusals(app, human, 1);
    expect(more).toEqual([]);
    const told = Number(first?.payload['count']);
    await rest(app.url, 'GET', '/v1/jobs');
    clock.advance(60_000);
    const [, second] = await refusals(app, human, 2);
    expect(told + Number(second?.payload['count'])).toBe(4);
    // The next of the kind is told at once again.
    await rest(app.url, 'GET', '/v1/jobs');
    expect((await refusals(app, human, 3))[2]?.payload).toMatchObject({ count: 1 });
  });

  test('is whole when the server has stopped', async () => {
    const app = await startTestApp();
    await makeToken(app, { role: 'human' });
    await rest(app.url, 'GET', '/v1/jobs');
    await app.app.stop();
    const [row] = await app.database.query<{ count: string }>(
      `SELECT count(*) FROM (SELECT type FROM events UNION ALL SELECT type FROM events_new) e WHERE type = 'CallRefused'`,
    );
    expect(row?.count).toBe('1');
  });
});

/** Follows the ledger from its beginning in every way there is. What it gives answers what each has heard, when the last is there. */
async function followAll(app: TestApp, token: TestToken) {
  const sse = await openEventStream(`${app.url}/api/events/subscribe?after=0`, bearer(token));
  const socket = openWebSocket(app.url, '/api/events/stream', { headers: bearer(token) });
  await socket.opened;
  socket.send({ type: 'subscribe', after: 0 });
  const client = createMusterClient({ url: app.url, token: token.secret });
  const rpc: Shown[] = [];
  const following = (async () => {
    for await (const event of followEvents(client, 0n)) {
      const shown = ledgerEventOf(event);
      rpc.push(shown);
      if (isLast(shown)) break;
    }
    client.close();
  })();
  return async (): Promise<Record<string, readonly Shown[]>> => {
    const overSse = await sse.until('the last is told', (all) => {
      const shown = all.map(({ data }) => JSON.parse(data) as Shown);
      return shown.some(isLast) && shown;
    });
    const overSocket = await socket.until('the last is told', (messages) => {
      const shown = messages.flatMap(({ event }) => (event === undefined ? [] : (event as unknown as Shown)));
      return shown.some(isLast) && shown;
    });
    await following;
    return { overSse, overSocket, rpc };
  };
}

function isLast({ type, payload }: Shown): boolean {
  return type === 'JobQueued' && payload['kind'] === 'last';
}
