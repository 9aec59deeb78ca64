import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';
import { beforeAll, describe, expect, test } from 'vitest';
import { AppError, errorKinds } from '../../src/errors.js';
import { createBind } from '../../src/platform/http/gateway/bind.js';
import { routesOf } from '../../src/platform/http/gateway/routes.js';
import { createOpenApi } from '../../src/platform/http/openapi.js';
import type { OpenApi, Operation } from '../../src/platform/http/openapi-types.js';
import { restErrorBody, restStatus } from '../../src/platform/http/rest-error.js';
import { type Contract, createContract } from '../support/contract.js';
import { declaredStubs } from '../support/declared-services.js';
import { rest, type RestAnswer } from '../support/rest.js';
import { createGatesClient } from '../support/gates-client.js';
import { useGitRepos, writeFiles } from '../support/git-repos.js';
import { openEventStream } from '../support/sse.js';
import { until } from '../support/until.js';
import { openWebSocket } from '../support/websocket.js';
import { startTestApp } from '../support/app.js';
import { sharedTestApp } from '../support/shared-app.js';

const app = sharedTestApp();
const repos = useGitRepos();
const newTask = { repo_id: 'repo_01ARZ3NDEKTSV4RRFFQ69G5FAV', kind: 'Task' };
let document: OpenApi;
let contract: Contract;

beforeAll(async () => {
  document = (await rest(app.current.url, 'GET', '/openapi.json')).json as OpenApi;
  contract = createContract(document);
});

function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  return rest(app.current.url, method, path, body, headers);
}

type Secret = { readonly id: string; readonly secret: string };

function operations(): readonly (readonly [path: string, operation: Operation])[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.values(item).map((operation) => [path, operation] as const),
  );
}

describe('the document', () => {
  test('is valid OpenAPI 3.1 to a public validator', async () => {
    // The validator writes into what it is given.
    const { valid, errors } = await new Validator().validate(
      structuredClone(document) as unknown as Record<string, unknown>,
    );
    expect(errors ?? []).toEqual([]);
    expect(valid).toBe(true);
  });

  test('tells the version of the package', () => {
    const file = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(document.info.version).toBe(file.version);
  });

  test('has unique ids, and no two paths that differ in names of variables alone', () => {
    const ids = operations().map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const shapes = Object.keys(document.paths).map((path) => path.replace(/\{\w+\}/g, '{}'));
    expect(new Set(shapes).size).toBe(shapes.length);
  });

  test('tells of answers that every field is there, and of requests that no other may be', () => {
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      if (schema.type !== 'object' || name === 'Error') continue;
      const isRequest = /Request$|Input$/.test(name) && name !== 'HelpRequest';
      expect({ name, required: schema.required, closed: schema.additionalProperties }).toEqual({
        name,
        required: isRequest ? undefined : Object.keys(schema.properties ?? {}),
        closed: isRequest ? false : undefined,
      });
    }
  });

  test('is the one that the proto files make, so that tests of it hold for every declared service', async () => {
    const made = createOpenApi({ services: await declaredStubs(), version: document.info.version });
    expect(made).toEqual(document);
  });

  test('names the query parameters that the gateway takes, and no others', async () => {
    const samples = ['x', 'queued', '1', 'true', '2026-01-31T12:00:00Z'];
    for (const route of routesOf(await declaredStubs())) {
      const bind = createBind(route);
      const segments = route.template.segments.map((segment) => (segment.kind === 'literal' ? segment.text : 'x'));
      const taken = route.rpc.desc.input.fields
        .map((field) => field.name)
        .filter((name) => samples.some((sample) => isTaken(() => bind(segments, `${name}=${sample}`, undefined))));
      if (route.websocket) continue;
      const item = document.paths[route.template.source]?.[route.method.toLowerCase()];
      const told = (item?.parameters ?? []).flatMap((each) => ('in' in each && each.in === 'query' ? [each.name] : []));
      expect({ path: route.rpc.path, told }).toEqual({ path: route.rpc.path, told: taken });
    }
  });
});

/** Whether a query parameter is known; that its value is refused does not matter. */
function isTaken(bind: () => unknown): boolean {
  try {
    bind();
    return true;
  } catch (error) {
    return error instanceof AppError && !error.message.includes('no such query parameter');
  }
}

describe('answers of a running server are as documented', () => {
  test('every operation, in every state that it can answer', async () => {
    // Of its own, since the first token changes who is let in.
    const { url } = await startTestApp();
    const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
      rest(url, method, path, body, headers);
    const succeeded = new Set<string>();
    const holds = async (operationId: string, expected: number, answering: Promise<RestAnswer>) => {
      const answer = await answering;
      const faults = contract.answerFaults(operationId, answer);
      expect({ operationId, status: answer.status, faults }).toEqual({ operationId, status: expected, faults: [] });
      if (expected < 400) succeeded.add(operationId);
      return answer.json;
    };
    const create = (body: unknown) => holds('JobService_CreateJob', 201, call('POST', '/v1/jobs', body));
    const get = (id: string) => holds('JobService_GetJob', 200, call('GET', `/v1/jobs/${id}`));
    const claim = async (kind: string) => {
      const body = { worker_id: 'w', kinds: [kind] };
      const jobs = await holds('JobService_ClaimJobs', 200, call('POST', '/v1/jobs/claim', body));
      return (jobs as { id: string; lease_token: string }[])[0] ?? { id: '', lease_token: '' };
    };
    const report = (operation: string, verb: string, status: number, id: string, body: unknown) =>
      holds(`JobService_${operation}`, status, call('POST', `/v1/jobs/${id}/${verb}`, body));

    // Done, with a payload and all the options; and with none.
    const full = { kind: 'done', payload: { deep: [1, 'é', null] }, priority: 0, run_at: '2026-01-31T12:00:00Z' };
    await create({ ...full, max_attempts: 5, timeout_sec: 60, idempotency_key: 'k' });
    const done = await claim('done');
    await report('HeartbeatJob', 'heartbeat', 200, done.id, { lease_token: done.lease_token, progress: 0.5 });
    await get(done.id);
    await report('CompleteJob', 'complete', 200, done.id, { lease_token: done.lease_token, result: ['ok'] });
    await get(done.id);
    await claim('done');

    // Failed, for good and for now; and canceled under the worker's hands.
    const error = { code: 'boom', message: 'It broke.' };
    for (const retryable of [false, true]) {
      await create({ kind: 'fail' });
      const { id, lease_token } = await claim('fail');
      await report('FailJob', 'fail', 200, id, { lease_token, error, retryable });
      await get(id);
    }
    await create({ kind: 'cancel' });
    const canceled = await claim('cancel');
    await holds('JobService_CancelJob', 200, call('DELETE', `/v1/jobs/${canceled.id}`));
    await report('HeartbeatJob', 'heartbeat', 200, canceled.id, { lease_token: canceled.lease_token });
    await report('CompleteJob', 'complete', 409, canceled.id, { lease_token: canceled.lease_token });
    await get(canceled.id);

    await holds('JobService_ListJobs', 200, call('GET', '/v1/jobs?status=done&status=error'));
    const page = call('GET', '/v1/jobs?limit=1');
    await holds('JobService_ListJobs', 200, page);
    expect((await page).headers.get('link')).toContain('rel="next"');
    await holds('EventService_ListEvents', 200, call('GET', '/api/events?type=JobFailed&source=Rest'));
    await holds('EventService_ReplayEvents', 200, call('GET', '/api/events/replay?after=1&limit=1000'));
    const stream = await openEventStream(`${url}/api/events/subscribe?after=0`);
    const seen = await stream.until('all types have come', (events) => {
      const all = events.map(({ data }) => JSON.parse(data) as { type: string });
      return new Set(all.map(({ type }) => type)).size === 6 && all;
    });
    expect(seen.flatMap((event) => contract.schemaFaults('Event', event))).toEqual([]);
    expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    succeeded.add('EventService_SubscribeEvents');
    const socket = openWebSocket(url, '/api/events/stream');
    await socket.opened;
    succeeded.add('EventService_SubscribeEvents_2');
    stream.close();

    const registered = await holds('RepoService_RegisterRepo', 201, call('POST', '/api/repos', { path: repos.repo() }));
    const { id: repo, path } = registered as { id: string; path: string };
    await holds('RepoService_GetRepo', 200, call('GET', `/api/repos/${repo}`));
    await holds('RepoService_GetRepoByPath', 200, call('GET', `/api/repos/by-path?path=${path}`));
    await holds('RepoService_GetRepoByPath', 200, call('GET', '/api/repos/by-path?path=/nowhere'));
    await holds('RepoService_UpdateRepo', 200, call('PATCH', `/api/repos/${repo}`, { default_branch: 'main' }));
    await holds('RepoService_UpdateRepo', 400, call('PATCH', `/api/repos/${repo}`, { default_branch: null }));
    await holds('RepoService_ListRepos', 200, call('GET', '/api/repos?limit=1'));
    const task = (await holds(
      'TaskService_CreateTask',
      201,
      call('POST', '/api/tasks', { repo_id: repo, kind: 'Task', description: 'd', context: 'c' }),
    )) as { id: string };
    const other = (await holds(
      'TaskService_CreateTask',
      201,
      call('POST', '/api/tasks', { repo_id: repo, kind: 'Task', description: 'd', blocked_by: [task.id] }),
    )) as { id: string };
    const move = (operation: string, id: string, verb: string, status = 200, body: unknown = {}) =>
      holds(`TaskService_${operation}`, status, call('POST', `/api/tasks/${id}/${verb}`, body));
    await holds('TaskService_GetNextReadyTask', 200, call('GET', `/api/tasks/next-ready?repo_id=${repo}`));
    await holds('TaskService_ClaimNextTask', 200, call('POST', '/api/tasks/claim-next', { repo_id: repo }));
    await holds('TaskService_ClaimNextTask', 200, call('POST', '/api/tasks/claim-next', { repo_id: repo }));
    await move('StartTask', other.id, 'start', 409);
    await move('SubmitTask', task.id, 'submit', 409);
    await move('SubmitTask', task.id, 'submit', 200, { allow_empty: true });
    const learned = { content: 'c' };
    await holds('LearningService_AddLearning', 201, call('POST', `/api/learnings/${task.id}`, learned));
    await holds('LearningService_ListLearnings', 200, call('GET', `/api/learnings/${task.id}`));
    await holds('LearningService_GetInheritedLearnings', 200, call('GET', `/api/learnings/${task.id}/inherited`));
    const question = { task_id: task.id, category: 'Decision', reason: 'r', suggested_options: ['a', 'b'] };
    const ask = (body: object, status = 201) =>
      holds('HelpService_RequestHelp', status, call('POST', '/api/help', body));
    const asked = (await ask({ ...question, deadline_sec: 3600, default_option: 0 })) as { id: string };
    await ask(question, 409);
    await holds('TaskService_GetTask', 200, call('GET', `/api/tasks/${task.id}`));
    const resume = (status: number) =>
      holds('HelpService_ResumeTask', status, call('POST', `/api/help/${task.id}/resume`));
    await resume(409);
    await holds('HelpService_GetActiveHelp', 200, call('GET', `/api/help/active/${task.id}`));
    const chosen = { chosen_option: 1 };
    await holds('HelpService_RespondToHelp', 200, call('POST', `/api/help/${asked.id}/respond`, chosen));
    await resume(200);
    await holds('HelpService_GetActiveHelp', 200, call('GET', `/api/help/active/${task.id}`));
    await holds('HelpService_ListHelpRequests', 200, call('GET', `/api/help/${task.id}`));
    const round = async (verb: string, body: object, operation: string, status: number) => {
      const { json } = await call('GET', `/api/tasks/${task.id}/reviews/active`);
      const { id } = json as { id: string };
      await holds(`ReviewService_${operation}`, status, call('POST', `/api/reviews/${id}/${verb}`, body));
      return id;
    };
    await holds('ReviewService_GetActiveReview', 200, call('GET', `/api/tasks/${task.id}/reviews/active`));
    await round('request-changes', { summary: 'No.', comments: [] }, 'RequestChanges', 200);
    await holds('ReviewService_GetActiveReview', 200, call('GET', `/api/tasks/${task.id}/reviews/active`));
    const { json } = await call('GET', `/api/tasks/${task.id}`);
    writeFiles((json as { vcs: { worktree_path: string } }).vcs.worktree_path, { f: 'x' });
    await move('SubmitTask', task.id, 'submit', 200);
    const remark = { file_path: 'f', side: 'Right', body: 'b' };
    const reviewed = await round('comments', remark, 'AddComment', 201);
    await round('comments', { ...remark, line_start: 1, line_end: 1 }, 'AddComment', 201);
    const comments = await holds('ReviewService_ListComments', 200, call('GET', `/api/reviews/${reviewed}/comments`));
    const [said] = comments as { id: string }[];
    await holds('ReviewService_ResolveComment', 200, call('POST', `/api/comments/${said?.id}/resolve`, {}));
    await round('approve', {}, 'ApproveReview', 200);
    await round('approve', { head_commit: '0'.repeat(40) }, 'ApproveReview', 409);
    await holds('ReviewService_GetReview', 200, call('GET', `/api/reviews/${reviewed}`));
    await holds('ReviewService_GetReviewDiff', 200, call('GET', `/api/reviews/${reviewed}/diff`));
    await holds('ReviewService_ListReviews', 200, call('GET', `/api/tasks/${task.id}/reviews`));
    await holds('TaskService_GetTask', 200, call('GET', `/api/tasks/${task.id}`));
    const gated = (await holds(
      'TaskService_CreateTask',
      201,
      call('POST', '/api/tasks', { repo_id: repo, kind: 'Task', description: 'd' }),
    )) as { id: string };
    const scope = { type: 'Task', id: gated.id };
    const addGate = async (name: string, status: number, command = 'exit 1') => {
      const body = { scope, name, command, max_retries: 0 };
      return (await holds('GateService_CreateGate', status, call('POST', '/api/gates', body))) as { id: string };
    };
    const gate = await addGate('unit', 201);
    await addGate('unit', 409);
    await addGate('unit', 400, '');
    await holds('GateService_GetGate', 200, call('GET', `/api/gates/${gate.id}`));
    await holds('GateService_ListGates', 200, call('GET', `/api/gates?scope=task&id=${gated.id}`));
    await holds('GateService_ListEffectiveGates', 200, call('GET', `/api/gates/effective/${gated.id}`));
    await holds('GateService_UpdateGate', 200, call('PATCH', `/api/gates/${gate.id}`, { max_retries: 1 }));
    await holds('TaskService_GetTask', 200, call('GET', `/api/tasks/${gated.id}`));
    await move('StartTask', gated.id, 'start');
    await move('SubmitTask', gated.id, 'submit', 200, { allow_empty: true });
    const open = (await call('GET', `/api/tasks/${gated.id}/reviews/active`)).json as { id: string };
    const results = () => holds('GateService_ListGateResults', 200, call('GET', `/api/gates/results/${open.id}`));
    await createGatesClient(url).ended(open.id);
    await results();
    await holds('GateService_DeleteGate', 409, call('DELETE', `/api/gates/${gate.id}`));
    await holds('GateService_RerunGates', 200, call('POST', `/api/gates/rerun/${open.id}`, {}));
    await results();
    await holds('ReviewService_GetReview', 200, call('GET', `/api/reviews/${open.id}`));
    await createGatesClient(url).ended(open.id);
    await move('CancelTask', gated.id, 'cancel');
    await holds('GateService_DeleteGate', 200, call('DELETE', `/api/gates/${gate.id}`));
    await holds('GateService_DeleteGate', 404, call('DELETE', `/api/gates/${gate.id}`));
    await holds('VcsService_GetTaskVcs', 200, call('GET', `/api/vcs/task/${task.id}`));
    await holds('VcsService_GetTaskVcs', 200, call('GET', `/api/vcs/task/${other.id}`));
    await holds('VcsService_ListTaskVcs', 200, call('GET', '/api/vcs/task?limit=1'));
    await holds('VcsService_GetTaskDiff', 200, call('GET', `/api/vcs/diff/${task.id}`));
    await holds('VcsService_GetTaskDiff', 404, call('GET', `/api/vcs/diff/${other.id}`));
    await holds('VcsService_ArchiveTask', 409, call('POST', `/api/vcs/task/${task.id}/archive`));
    await move('BlockTask', task.id, 'block', 409, { blocker_id: other.id });
    await move('ForceCompleteTask', task.id, 'force-complete');
    await holds('VcsService_ArchiveTask', 200, call('POST', `/api/vcs/task/${task.id}/archive`));
    await move('UnblockTask', other.id, 'unblock', 200, { blocker_id: task.id });
    await move('BlockTask', other.id, 'block', 200, { blocker_id: task.id });
    await move('StartTask', other.id, 'start');
    await move('CancelTask', other.id, 'cancel');
    await move('SetTaskStatus', other.id, 'set-status', 200, { status: 'Pending' });
    await move('SetTaskStatus', other.id, 'set-status', 409, { status: 'AwaitingHuman' });
    await holds('TaskService_UpdateTask', 200, call('PATCH', `/api/tasks/${other.id}`, { context: null }));
    await holds('TaskService_ListTasks', 200, call('GET', '/api/tasks?limit=1&status=Pending&ready=true'));
    await holds('TaskService_GetTaskTree', 200, call('GET', '/api/tasks/tree'));
    await holds('TaskService_GetTaskProgress', 200, call('GET', `/api/tasks/progress?repo_id=${repo}`));
    for (const { id } of [task, other, gated]) {
      await holds('TaskService_DeleteTask', 200, call('DELETE', `/api/tasks/${id}`));
    }
    await until('their work trees are gone', async () => (await call('DELETE', `/api/repos/${repo}`)).status === 200);
    const unused = (await call('POST', '/api/repos', { path: repos.repo() })).json as { id: string };
    await holds('RepoService_UnregisterRepo', 200, call('DELETE', `/api/repos/${unused.id}`));

    await holds('Server_Health', 200, call('GET', '/healthz'));
    await holds('Server_Readiness', 200, call('GET', '/readyz'));

    const metrics = await fetch(`${url}/metrics`);
    expect(metrics.headers.get('content-type')).toMatch(/^text\/plain/);
    succeeded.add('Server_Metrics');
    // Last: from here on nobody is let in without a token.
    await holds('TokenService_CreateTicket', 201, call('POST', '/api/tickets', {}));
    const first = { role: 'human', name: 'me', expires_at: '2099-01-01T00:00:00Z' };
    const token = (await holds('TokenService_CreateToken', 201, call('POST', '/api/tokens', first))) as Secret;
    const own = { authorization: `Bearer ${token.secret}` };
    const agent = { role: 'agent', name: 'a', capabilities: ['jobs.work'] };
    await holds('TokenService_CreateToken', 201, call('POST', '/api/tokens', agent, own));
    await holds('TokenService_GetToken', 200, call('GET', `/api/tokens/${token.id}`, undefined, own));
    await holds('TokenService_ListTokens', 200, call('GET', '/api/tokens?limit=1', undefined, own));
    await holds('TokenService_ListTokens', 401, call('GET', '/api/tokens'));
    await holds('TokenService_RevokeToken', 200, call('DELETE', `/api/tokens/${token.id}`, undefined, own));
    await holds('TokenService_ListTokens', 401, call('GET', '/api/tokens', undefined, own));

    expect([...succeeded].sort()).toEqual(
      operations()
        .map(([, { operationId }]) => operationId)
        .sort(),
    );
  });

  test.each<[operationId: string, status: number, ...Parameters<typeof call>]>([
    ['JobService_CreateJob', 400, 'POST', '/v1/jobs', { kind: '' }],
    ['JobService_CreateJob', 400, 'POST', '/v1/jobs', { nonsense: 1 }],
    ['JobService_CreateJob', 400, 'POST', '/v1/jobs', '{'],
    ['JobService_CreateJob', 413, 'POST', '/v1/jobs', { kind: 'a', payload: 'x'.repeat(1_100_000) }],
    ['JobService_CreateJob', 415, 'POST', '/v1/jobs', 'kind: a', { 'content-type': 'application/yaml' }],
    ['JobService_CreateJob', 401, 'POST', '/v1/jobs', { kind: 'a' }, { authorization: 'Bearer wrong' }],
    ['JobService_CreateJob', 403, 'POST', '/v1/jobs', { kind: 'a' }, { origin: 'https://elsewhere.example' }],
    ['JobService_GetJob', 404, 'GET', '/v1/jobs/none'],
    ['JobService_ListJobs', 400, 'GET', '/v1/jobs?status=lost'],
    ['JobService_CancelJob', 404, 'DELETE', '/v1/jobs/none'],
    ['JobService_ClaimJobs', 400, 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: [] }],
    ['JobService_HeartbeatJob', 404, 'POST', '/v1/jobs/none/heartbeat', { lease_token: 'x' }],
    ['JobService_CompleteJob', 404, 'POST', '/v1/jobs/none/complete', { lease_token: 'x' }],
    ['JobService_FailJob', 400, 'POST', '/v1/jobs/none/fail', { lease_token: 'x' }],
    ['RepoService_RegisterRepo', 400, 'POST', '/api/repos', { path: 'relative' }],
    ['RepoService_GetRepo', 404, 'GET', '/api/repos/none'],
    ['RepoService_UpdateRepo', 404, 'PATCH', '/api/repos/none', { default_branch: 'main' }],
    ['RepoService_UnregisterRepo', 404, 'DELETE', '/api/repos/none'],
    ['TaskService_CreateTask', 400, 'POST', '/api/tasks', { repo_id: 'none', kind: 'Task', description: 'd' }],
    ['TaskService_CreateTask', 413, 'POST', '/api/tasks', { ...newTask, description: 'd'.repeat(16_385) }],
    ['TaskService_GetTask', 404, 'GET', '/api/tasks/none'],
    ['TaskService_ListTasks', 400, 'GET', '/api/tasks?kind=Epic'],
    ['TaskService_UpdateTask', 404, 'PATCH', '/api/tasks/none', { priority: 0 }],
    ['TaskService_DeleteTask', 404, 'DELETE', '/api/tasks/none'],
    ['TaskService_CancelTask', 404, 'POST', '/api/tasks/none/cancel'],
    ['TaskService_GetTaskProgress', 400, 'GET', '/api/tasks/progress'],
    ['ReviewService_GetReview', 404, 'GET', '/api/reviews/none'],
    ['ReviewService_AddComment', 400, 'POST', '/api/reviews/none/comments', {}],
    ['ReviewService_ResolveComment', 404, 'POST', '/api/comments/none/resolve', {}],
    ['ReviewService_ApproveReview', 404, 'POST', '/api/reviews/none/approve', {}],
    ['VcsService_GetTaskVcs', 404, 'GET', '/api/vcs/task/none'],
    ['VcsService_GetTaskDiff', 404, 'GET', '/api/vcs/diff/none'],
    ['VcsService_ArchiveTask', 404, 'POST', '/api/vcs/task/none/archive'],
    ['TaskService_ClaimNextTask', 400, 'POST', '/api/tasks/claim-next', {}],
  ])('%s refuses with %i', async (operationId, status, ...request) => {
    const answer = await call(...request);
    expect(answer.status).toBe(status);
    expect(contract.answerFaults(operationId, answer)).toEqual([]);
  });

  test.each(errorKinds)('the error body of %s is documented under its status', (kind) => {
    const figures = { limit: 10, remaining: 0, reset_sec: 3, scope: 'token' };
    const error = new AppError(kind, 'Why.', { details: kind === 'rate_limited' ? figures : { field: 'x' } });
    const body: unknown = JSON.parse(restErrorBody(error, 'c'));
    expect(contract.errorFaults(`Error${restStatus(error)}`, body)).toEqual([]);
    expect(contract.errorFaults('Error', kind === 'rate_limited' ? {} : body).length > 0).toBe(kind === 'rate_limited');
    expect(contract.errorFaults(`Error${restStatus(error) === 400 ? 404 : 400}`, body)).not.toEqual([]);
  });
});

describe('a request body fits the document exactly when the gateway reads it', () => {
  test.each<[operationId: string, path: string, fits: boolean, body: unknown]>([
    ['JobService_CreateJob', '/v1/jobs', true, { kind: 'a' }],
    ['JobService_CreateJob', '/v1/jobs', true, { kind: 'a', payload: null, priority: null, run_at: null }],
    ['JobService_CreateJob', '/v1/jobs', true, { kind: 'a', payload: [{ a: 1 }], run_at: '2026-01-31T12:00:00+02:00' }],
    ['JobService_CreateJob', '/v1/jobs', false, { kind: 'a', surplus: 1 }],
    ['JobService_CreateJob', '/v1/jobs', false, { kind: 1 }],
    ['JobService_CreateJob', '/v1/jobs', false, { kind: 'a', priority: '1' }],
    ['JobService_CreateJob', '/v1/jobs', false, { kind: 'a', priority: 1.5 }],
    ['JobService_CreateJob', '/v1/jobs', false, { kind: 'a', priority: 2 ** 31 }],
    ['JobService_CreateJob', '/v1/jobs', false, { kind: 'a', run_at: 'tomorrow' }],
    ['JobService_CreateJob', '/v1/jobs', false, []],
    ['JobService_ClaimJobs', '/v1/jobs/claim', true, { worker_id: 'w', kinds: ['none'], max: null }],
    ['JobService_ClaimJobs', '/v1/jobs/claim', false, { worker_id: 'w', kinds: 'none' }],
    ['JobService_ClaimJobs', '/v1/jobs/claim', false, { worker_id: 'w', kinds: [1] }],
    ['JobService_FailJob', '/v1/jobs/x/fail', true, { lease_token: 'x', error: { code: 'c' }, retryable: null }],
    ['JobService_FailJob', '/v1/jobs/x/fail', false, { lease_token: 'x', error: { code: 'c', surplus: 1 } }],
    ['JobService_FailJob', '/v1/jobs/x/fail', false, { lease_token: 'x', error: { code: 'c' }, retryable: 'no' }],
    ['JobService_FailJob', '/v1/jobs/x/fail', false, { id: 'x', lease_token: 'x', error: { code: 'c' } }],
  ])('%s %s %s %j', async (operationId, path, fits, body) => {
    const { status } = await call('POST', path, body);
    expect({ documented: contract.bodyFaults(operationId, body).length === 0, read: status !== 400 }).toEqual({
      documented: fits,
      read: fits,
    });
  });
});
