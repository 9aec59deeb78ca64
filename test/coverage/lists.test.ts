import { beforeAll, describe, expect, test } from 'vitest';
import { type Route, routesOf } from '../../src/platform/http/gateway/routes.js';
import { declaredStubs } from '../support/declared-services.js';
import { useGitRepos } from '../support/git-repos.js';
import { rest, type RestAnswer } from '../support/rest.js';
import { createReviewsClient } from '../support/reviews-client.js';
import { sharedTestApp } from '../support/shared-app.js';
import { registerRepo } from '../support/tasks-client.js';

/** Lists that are not paged: each is bounded in another way. */
const whole = ['/api/gates', '/api/gates/effective/{task_id}', '/api/tasks/tree', '/api/events/subscribe'];
/** Lists whose pages may have more than 500. */
const most: Readonly<Record<string, number>> = { '/api/events': 1000, '/api/events/replay': 1000 };

const arrays = routesOf(await declaredStubs()).filter(
  ({ method, answer, websocket }) => method === 'GET' && answer?.fieldKind === 'list' && !websocket,
);
const paged = arrays.filter(({ template }) => !whole.includes(template.source));
const has = (name: string) => (route: Route) => route.rpc.desc.input.fields.some((field) => field.name === name);
const named = (route: Route) => ({ list: route.template.source, route });

const repos = useGitRepos();
const app = sharedTestApp();
let taskId = '';
let reviewId = '';

beforeAll(async () => {
  const { url } = app.current;
  const reviews = createReviewsClient(url);
  taskId = (await reviews.tasks.create({ repo_id: await registerRepo(url, repos.repo()) })).id;
  await reviews.tasks.start(taskId);
  reviewId = (await reviews.submit(taskId, { 'a.txt': 'a\n' })).id;
  await rest(url, 'POST', '/v1/jobs', { kind: 'build' });
  await rest(url, 'POST', '/api/learnings', { task_id: taskId, content: 'Learnt.' });
  await rest(url, 'POST', `/api/reviews/${reviewId}/comments`, { file_path: 'a.txt', side: 'Right', body: 'b' });
});

/** What the path says. */
function fieldsOf({ template }: Route): Readonly<Record<string, string>> {
  const idOf = (name: string) =>
    name === 'review_id' || template.source.startsWith('/api/reviews/') ? reviewId : taskId;
  return Object.fromEntries(template.variables.map(({ field: [name = ''] }) => [name, idOf(name)]));
}

function ask(route: Route, query: string): Promise<RestAnswer> {
  const fields = fieldsOf(route);
  const path = route.template.source.replace(/\{(\w+)\}/g, (_, name: string) => fields[name] ?? '');
  return rest(app.current.url, 'GET', `${path}${query}`);
}

function call(route: Route, more: object): Promise<RestAnswer> {
  return rest(app.current.url, 'POST', route.rpc.path, { ...fieldsOf(route), ...more });
}

async function refused(route: Route, query: string, field: string): Promise<string> {
  const { status, json } = await ask(route, query);
  expect({ query, status, json }).toMatchObject({
    query,
    status: 400,
    json: { error: 'invalid_request', details: { field } },
  });
  return (json as { readonly message: string }).message;
}

test('what answers an array is paged, unless it is known to come whole', () => {
  expect(paged.filter((route) => !has('limit')(route)).map(({ template }) => template.source)).toEqual([]);
  expect(whole.filter((path) => !arrays.some(({ template }) => template.source === path))).toEqual([]);
});

describe.each(paged.map(named))('GET $list', ({ list, route }) => {
  const largest = most[list] ?? 500;

  test(`takes a limit from 1 to ${largest}`, async () => {
    const range = `limit: must be between 1 and ${largest}`;
    for (const limit of [0, -1, largest + 1]) expect(await refused(route, `?limit=${limit}`, 'limit')).toBe(range);
    for (const limit of [1, largest]) expect((await ask(route, `?limit=${limit}`)).status).toBe(200);
  });

  test('names a limit that is no number', async () => {
    for (const limit of ['many', '1.5', '']) await refused(route, `?limit=${limit}`, 'limit');
  });

  test('has the same limits over RPC', async () => {
    const tooMany = { status: 400, json: { code: 'invalid_argument', message: expect.stringContaining('limit: ') } };
    for (const limit of [0, largest + 1]) expect(await call(route, { limit })).toMatchObject(tooMany);
    expect((await call(route, { limit: largest })).status).toBe(200);
  });
});

describe.each(paged.filter(has('cursor')).map(named))('GET $list', ({ route }) => {
  test('takes an empty cursor as none', async () => {
    const first = await ask(route, '');
    expect(first.status).toBe(200);
    const { status, json } = await ask(route, '?cursor=');
    expect({ status, json }).toEqual({ status: 200, json: first.json });
  });

  test('takes an empty cursor as none over RPC', async () => {
    const first = await call(route, {});
    expect(first.status).toBe(200);
    const { status, json } = await call(route, { cursor: '' });
    expect({ status, json }).toEqual({ status: 200, json: first.json });
  });

  test('names a cursor that is none of its own', async () => {
    const another = Buffer.from('another 1').toString('base64url');
    for (const cursor of ['x', '%00', taskId, another]) {
      expect(await refused(route, `?cursor=${cursor}`, 'cursor')).toBe('cursor: is none of ours');
    }
  });
});

test.each(paged.filter((route) => !has('cursor')(route)).map(named))(
  'GET $list goes on by the number of an event',
  ({ route }) => expect(has('after')(route)).toBe(true),
);
