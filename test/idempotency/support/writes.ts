import type { DescMessage } from '@bufbuild/protobuf';
import { routesOf } from '../../../src/platform/http/gateway/routes.js';
import { enumWords } from '../../../src/platform/rpc/words.js';
import { declaredStubs } from '../../support/declared-services.js';
import { createGatesClient } from '../../support/gates-client.js';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { rest, type RestAnswer } from '../../support/rest.js';
import { registerRepo } from '../../support/tasks-client.js';
import { until } from '../../support/until.js';

const repos = useGitRepos();

/** A request as REST has it, its path's fields included: snake_case, documented words. */
export type Fields = Readonly<Record<string, unknown>>;

/** Calls as somebody who has shown who it is. */
export interface Caller {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
}

/** The methods that change something, each with what makes a request of it that does. A test fails for one that is missing. */
export const writes: Readonly<Record<string, (caller: Caller) => Promise<Fields>>> = {
  'JobService/CreateJob': async () => ({ kind: 'build', payload: { deep: [1, { b: -0.5, a: 'é' }] }, priority: 1 }),
  'JobService/CancelJob': async (caller) => ({ id: (await queued(caller)).id }),
  'JobService/ClaimJobs': async (caller) => {
    const { kind } = await queued(caller);
    return { worker_id: 'w', kinds: [kind], max: 2, wait_sec: 20 };
  },
  'JobService/HeartbeatJob': async (caller) => ({ ...(await claimed(caller)), progress: { step: 1 } }),
  'JobService/CompleteJob': async (caller) => ({ ...(await claimed(caller)), result: ['é', 1e21] }),
  'JobService/FailJob': async (caller) => ({
    ...(await claimed(caller)),
    error: { code: 'boom', message: 'It broke.' },
    retryable: true,
  }),
  'RepoService/RegisterRepo': async () => ({ path: repos.repo(), name: 'É', default_branch: 'main' }),
  'RepoService/UpdateRepo': async (caller) => {
    const root = repos.repo();
    git(root, 'branch', 'release');
    const { id } = await caller.post<{ id: string }>('/api/repos', { path: root });
    return { id, default_branch: 'release' };
  },
  'RepoService/UnregisterRepo': async (caller) => ({
    id: (await caller.post<{ id: string }>('/api/repos', { path: repos.repo() })).id,
  }),
  'TaskService/CreateTask': async (caller) => {
    const { id, repo_id } = await added(caller);
    return { repo_id, kind: 'Task', description: 'É', context: 'c', priority: 1, blocked_by: [id] };
  },
  'TaskService/UpdateTask': async (caller) => ({ id: (await added(caller)).id, description: 'É', priority: 0 }),
  'TaskService/DeleteTask': async (caller) => ({ id: (await added(caller)).id }),
  'TaskService/StartTask': async (caller) => ({ id: (await added(caller)).id }),
  'TaskService/SubmitTask': async (caller) => {
    const { id } = await added(caller);
    await caller.post(`/api/tasks/${id}/start`, {});
    return { id, message: 'É', allow_empty: true };
  },
  'TaskService/ClaimNextTask': async (caller) => ({ repo_id: (await added(caller)).repo_id }),
  'TaskService/CancelTask': async (caller) => ({ id: (await added(caller)).id }),
  'TaskService/ForceCompleteTask': async (caller) => ({ id: (await added(caller)).id }),
  'TaskService/SetTaskStatus': async (caller) => ({ id: (await added(caller)).id, status: 'InProgress' }),
  'TaskService/BlockTask': async (caller) => {
    const [task, blocker] = [await added(caller), await added(caller)];
    return { id: task.id, blocker_id: blocker.id };
  },
  'TaskService/UnblockTask': async (caller) => {
    const blocker = await added(caller);
    const task = await added(caller, { blocked_by: [blocker.id] });
    return { id: task.id, blocker_id: blocker.id };
  },
  'HelpService/RequestHelp': async (caller) => ({
    task_id: (await added(caller)).id,
    category: 'Decision',
    reason: 'É',
    suggested_options: ['yes', 'no'],
    deadline_sec: 3600,
    default_option: 1,
  }),
  'HelpService/RespondToHelp': async (caller) => ({ id: (await asked(caller)).id, response: 'É' }),
  'HelpService/ResumeTask': async (caller) => {
    const { id, task_id } = await asked(caller);
    await caller.post(`/api/help/${id}/respond`, { response: 'yes' });
    return { task_id };
  },
  'LearningService/AddLearning': async (caller) => ({ task_id: (await added(caller)).id, content: 'É' }),
  'ReviewService/AddComment': async (caller) => ({
    id: (await submitted(caller)).reviewId,
    file_path: 'new.txt',
    side: 'Right',
    body: 'É',
    line_start: 1,
  }),
  'ReviewService/ResolveComment': async (caller) => {
    const { reviewId } = await submitted(caller);
    const input = { file_path: 'new.txt', side: 'Right', body: 'b' };
    return { id: (await caller.post<{ id: string }>(`/api/reviews/${reviewId}/comments`, input)).id };
  },
  'ReviewService/ApproveReview': async (caller) => {
    const { reviewId } = await submitted(caller);
    await caller.post(`/api/reviews/${reviewId}/approve`, {});
    return { id: reviewId };
  },
  'ReviewService/RequestChanges': async (caller) => ({
    id: (await submitted(caller)).reviewId,
    comments: [{ file_path: 'new.txt', side: 'Right', body: 'É', line_start: 1, line_end: 1 }],
    summary: 'é',
  }),
  'GateService/CreateGate': async (caller) => ({
    scope: { type: 'Task', id: (await added(caller)).id },
    name: 'unit',
    command: "echo 'É'",
    max_retries: 0,
  }),
  'GateService/UpdateGate': async (caller) => ({ id: await gated(caller), command: 'false', timeout_secs: 1 }),
  'GateService/DeleteGate': async (caller) => ({ id: await gated(caller) }),
  'GateService/RerunGates': async (caller) => ({ review_id: await escalated(caller) }),
  'VcsService/ArchiveTask': async (caller) => {
    const { id } = await added(caller);
    await caller.post(`/api/tasks/${id}/start`, {});
    await caller.post(`/api/tasks/${id}/cancel`, {});
    return { id };
  },
  'TokenService/CreateToken': async () => ({ role: 'worker', name: 'w', expires_at: '2099-01-01T00:00:00Z' }),
  'TokenService/RevokeToken': async (caller) => ({
    id: (await caller.post<{ id: string }>('/api/tokens', { role: 'viewer', name: 'v' })).id,
  }),
  'TokenService/CreateTicket': async () => ({}),
};

let kinds = 0;

async function queued(caller: Caller): Promise<{ id: string; kind: string }> {
  kinds += 1;
  return caller.post('/v1/jobs', { kind: `kind${kinds}`, payload: [kinds], max_attempts: 3 });
}

async function claimed(caller: Caller): Promise<{ id: string; lease_token: string }> {
  const { kind } = await queued(caller);
  const jobs = await caller.post<{ id: string; lease_token: string }[]>('/v1/jobs/claim', {
    worker_id: 'w',
    kinds: [kind],
  });
  const [{ id, lease_token } = { id: '', lease_token: '' }] = jobs;
  return { id, lease_token };
}

/** One repository for the tasks of each server's database. */
const repoAt = new Map<Caller, Promise<{ id: string }>>();

async function added(caller: Caller, more: Fields = {}): Promise<{ id: string; repo_id: string }> {
  const known = repoAt.get(caller) ?? caller.post<{ id: string }>('/api/repos', { path: repos.repo() });
  repoAt.set(caller, known);
  const { id: repo_id } = await known;
  return caller.post('/api/tasks', { repo_id, kind: 'Task', description: 'Do it.', ...more });
}

async function asked(caller: Caller): Promise<{ id: string; task_id: string }> {
  return caller.post('/api/help', { task_id: (await added(caller)).id, category: 'Decision', reason: 'Why?' });
}

/** A task of a new file, in review. */
async function submitted(caller: Caller): Promise<{ reviewId: string }> {
  const { id } = await added(caller);
  await caller.post(`/api/tasks/${id}/start`, {});
  const { vcs } = await caller.get<{ vcs: { worktree_path: string } }>(`/api/tasks/${id}`);
  writeFiles(vcs.worktree_path, { 'new.txt': 'One.\n' });
  await caller.post(`/api/tasks/${id}/submit`, {});
  return { reviewId: (await caller.get<{ id: string }>(`/api/tasks/${id}/reviews/active`)).id };
}

async function gated(caller: Caller): Promise<string> {
  const scope = { type: 'Task', id: (await added(caller)).id };
  return (await caller.post<{ id: string }>('/api/gates', { scope, name: 'unit', command: 'true' })).id;
}

/** A review whose gate has failed too often, and which has no gate by now: nothing goes on when it is run again. */
async function escalated({ url, headers }: Caller): Promise<string> {
  const gates = createGatesClient(url, headers);
  const file = '.muster/gates.toml';
  const root = repos.repo({ [file]: '[[gate]]\nname = "unit"\ncommand = "exit 1"\nmax_retries = 0\n' });
  const { id } = await gates.tasks.create({ repo_id: await registerRepo(url, root, headers) });
  await gates.tasks.start(id);
  const { review } = await gates.ended((await gates.reviews.submit(id, { 'new.txt': 'One.\n' })).id);
  await until('the jobs of gates are done with', async () => {
    const { json } = await rest(url, 'GET', '/v1/jobs?kind=muster.gate&status=running', undefined, headers);
    return (json as readonly unknown[]).length === 0;
  });
  git(root, 'rm', '--quiet', file);
  git(root, 'commit', '--quiet', '--message=No gates');
  return review.id;
}

/** Somebody with the first token of this server's database. */
export async function createCaller(url: string): Promise<Caller & { readonly secret: string }> {
  const { json } = await rest(url, 'POST', '/api/tokens', { role: 'human', name: 'tester' });
  const { secret } = json as { secret: string };
  return { ...callerAt(url, secret), secret };
}

export function callerAt(url: string, secret: string): Caller {
  const headers = { authorization: `Bearer ${secret}` };
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await rest(url, method, path, body, headers);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.json as T;
  }
  return { url, headers, get: (path) => call('GET', path), post: (path, body) => call('POST', path, body) };
}

/** The names of all methods that are declared to change something. */
export async function declaredWrites(): Promise<readonly string[]> {
  return (await declaredStubs())
    .flatMap(({ methods }) => methods)
    .flatMap(({ writes: does, desc }) => (does ? [`${desc.parent.name}/${desc.name}`] : []))
    .sort();
}

type Headers = Readonly<Record<string, string>>;

/** Makes the call over REST. */
export async function overRest(url: string, name: string, fields: Fields, headers: Headers): Promise<RestAnswer> {
  const route = routesOf(await declaredStubs()).find(({ rpc }) => rpc.path === `/muster.v1.${name}`);
  if (route === undefined) throw new Error(`${name} has no REST path`);
  const body: Record<string, unknown> = { ...fields };
  const path = route.template.source.replace(/\{(\w+)\}/g, (_, field: string) => {
    const { [field]: value } = body;
    delete body[field];
    return encodeURIComponent(String(value));
  });
  return rest(url, route.method, path, route.body === 'none' ? undefined : body, headers);
}

/** Makes the call over Connect with JSON. */
export async function overRpc(url: string, name: string, fields: Fields, headers: Headers): Promise<RestAnswer> {
  const method = (await declaredStubs())
    .flatMap(({ methods }) => methods)
    .find(({ path }) => path === `/muster.v1.${name}`);
  if (method === undefined) throw new Error(`there is no ${name}`);
  return rest(url, 'POST', `/muster.v1.${name}`, protoJson(method.desc.input, fields), headers);
}

/** With the words of enums as protobuf's JSON has them, of messages within, too; it takes names in snake_case. */
function protoJson(desc: DescMessage, fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      const field = desc.fields.find((each) => each.name === name);
      if (field?.fieldKind === 'list' && field.listKind === 'message') {
        return [name, (value as readonly Fields[]).map((each) => protoJson(field.message, each))];
      }
      if (field?.fieldKind === 'message' && isFields(value) && field.message.typeName.startsWith('muster.')) {
        return [name, protoJson(field.message, value)];
      }
      const number = field?.fieldKind === 'enum' ? enumWords(field.enum).toNumber(String(value)) : undefined;
      return [name, number ?? value];
    }),
  );
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
