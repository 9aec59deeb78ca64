import { readFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { beforeAll, describe, expect, test } from 'vitest';
import { Health } from '../../gen/grpc/health/v1/health_pb.js';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as ServerReflectionAlpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.js';
import { type Route, routesOf } from '../../src/platform/http/gateway/routes.js';
import type { Plain } from '../../src/platform/rpc/codec.js';
import { untilClaimsAreForgotten } from '../modules/jobs/support/tables.js';
import { declaredServices, declaredStubs } from '../support/declared-services.js';
import { createGatesClient } from '../support/gates-client.js';
import { git, useGitRepos, writeFiles } from '../support/git-repos.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { openSession } from '../support/wire/raw-grpc.js';
import { bearer, makeToken, type TestToken } from './support/tokens.js';
import { ways } from './support/ways.js';

/**
 * Role x RPC x transport: who is let in to what stands in roles.tsv, written by hand for people to judge; the RPCs and their ways come
 * from the proto files. Whoever is not let in hears so in every way, and nothing is changed by it.
 */
const app = sharedTestApp();
const repos = useGitRepos();

const letIn: ReadonlyMap<string, readonly string[]> = new Map(
  readFileSync(new URL('roles.tsv', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => {
      const [rpc = '', names = ''] = line.split('\t');
      return [rpc, names.split(' ')] as const;
    }),
);

interface Who {
  readonly role: string;
  readonly capability?: string;
}

const capabilities = ['tasks.execute', 'reviews.agent', 'gates.read', 'help.request', 'learnings.write', 'jobs.work'];
const holders: Readonly<Record<string, Who>> = {
  'a human': { role: 'human' },
  'an agent': { role: 'agent' },
  ...Object.fromEntries(capabilities.map((name) => [`an agent with ${name}`, { role: 'agent', capability: name }])),
  'a worker': { role: 'worker' },
  'a viewer': { role: 'viewer' },
};
/** Those who are nobody, and what they send. */
const strangers: Readonly<Record<string, (revoked: TestToken) => Record<string, string>>> = {
  'nobody, without a token': () => ({}),
  'nobody, with a token that there never was': () => ({ authorization: `Bearer mst_${'x'.repeat(43)}` }),
  'nobody, with a revoked token': bearer,
};

const headersOf = new Map<string, Readonly<Record<string, string>>>();
let methods: readonly DescMethod[] = [];
let routes: readonly Route[] = [];
/** What would change something, for each method that can. */
let effective: Readonly<Record<string, Plain>> = {};
/** What is answered at once, where that takes a certain input. */
const ending: Readonly<Record<string, Plain>> = { SubscribeEvents: { after: 999_999_999 } };
/** What never ends by itself is given a moment. */
const endless: readonly string[] = ['Watch'];
const aMoment = { 'grpc-timeout': '30m', 'connect-timeout-ms': '30' };
/** What gRPC has declared, and every server of it may serve; none of it changes anything. */
const gRpcs: readonly DescService[] = [Health, ServerReflection, ServerReflectionAlpha];

beforeAll(async () => {
  methods = [...(await declaredServices()), ...gRpcs].flatMap((service) => service.methods);
  routes = routesOf(await declaredStubs());
  const { current } = app;
  const human = await makeToken(current, { role: 'human' });
  const own = bearer(human);
  for (const [who, { role, capability }] of Object.entries(holders)) {
    const input = { role, ...(capability !== undefined && { capabilities: [capability] }) };
    headersOf.set(who, bearer(await makeToken(current, input, human)));
  }
  const revoked = await makeToken(current, { role: 'human' }, human);
  await rest(current.url, 'DELETE', `/api/tokens/${revoked.id}`, undefined, own);
  for (const [who, headers] of Object.entries(strangers)) headersOf.set(who, headers(revoked));

  await rest(current.url, 'POST', '/v1/jobs', { kind: 'held' }, own);
  const claim = { worker_id: 'w', kinds: ['held'], lease_sec: 3600 };
  const [held] = (await rest(current.url, 'POST', '/v1/jobs/claim', claim, own)).json as {
    id: string;
    lease_token: string;
  }[];
  await rest(current.url, 'POST', '/v1/jobs', { kind: 'waiting' }, own);
  const worked = ((await rest(current.url, 'POST', '/api/repos', { path: repos.repo() }, own)).json as { id: string })
    .id;
  const root = repos.repo();
  git(root, 'branch', 'release');
  const repo = (await rest(current.url, 'POST', '/api/repos', { path: root }, own)).json as { id: string };
  const addTask = async (): Promise<string> => {
    const input = { repo_id: worked, kind: 'Task', description: 'd' };
    return ((await rest(current.url, 'POST', '/api/tasks', input, own)).json as { id: string }).id;
  };
  const [task, blocker, blocked] = [await addTask(), await addTask(), await addTask()];
  await rest(current.url, 'POST', `/api/tasks/${blocked}/block`, { blocker_id: blocker }, own);
  const ask = async (task_id: string): Promise<string> => {
    const input = { task_id, category: 'Decision', reason: 'r' };
    return ((await rest(current.url, 'POST', '/api/help', input, own)).json as { id: string }).id;
  };
  const [asked, answered] = [await ask(await addTask()), await addTask()];
  await rest(current.url, 'POST', `/api/help/${await ask(answered)}/respond`, { response: 'r' }, own);
  const reviewed = await addTask();
  await rest(current.url, 'POST', `/api/tasks/${reviewed}/start`, {}, own);
  const { json } = await rest(current.url, 'GET', `/api/tasks/${reviewed}`, undefined, own);
  writeFiles((json as { vcs: { worktree_path: string } }).vcs.worktree_path, { f: 'x' });
  await rest(current.url, 'POST', `/api/tasks/${reviewed}/submit`, {}, own);
  const active = await rest(current.url, 'GET', `/api/tasks/${reviewed}/reviews/active`, undefined, own);
  const { id: review } = active.json as { id: string };
  const remark = { file_path: 'f', side: 'Right', body: 'b' };
  const { id: comment } = (await rest(current.url, 'POST', `/api/reviews/${review}/comments`, remark, own)).json as {
    id: string;
  };
  const addGate = async (of: string, input: object): Promise<string> => {
    const scope = { type: 'Task', id: of };
    return (
      (await rest(current.url, 'POST', '/api/gates', { scope, name: 'unit', ...input }, own)).json as { id: string }
    ).id;
  };
  const [gate, gated] = [await addGate(task, { command: 'true' }), await addTask()];
  await addGate(gated, { command: 'exit 1', max_retries: 0 });
  await rest(current.url, 'POST', `/api/tasks/${gated}/start`, {}, own);
  const gates = createGatesClient(current.url, own);
  const escalated = (await gates.reviews.submit(gated, { f: 'x' })).id;
  await gates.ended(escalated);
  await untilClaimsAreForgotten(current.database);
  const report = { id: held?.id, leaseToken: held?.lease_token };
  effective = {
    CreateJob: { kind: 'new' },
    CancelJob: { id: held?.id },
    ClaimJobs: { workerId: 'w', kinds: ['waiting'] },
    HeartbeatJob: report,
    CompleteJob: report,
    FailJob: { ...report, error: { code: 'x', message: '' } },
    Work: { start: { workerId: 'w', kinds: ['waiting'], capacity: 1, leaseSec: 60 } },
    RegisterRepo: { path: repos.repo() },
    UpdateRepo: { id: repo.id, defaultBranch: 'release' },
    UnregisterRepo: { id: repo.id },
    AddLearning: { taskId: task, content: 'c' },
    RequestHelp: { taskId: task, category: 'Decision', reason: 'r', suggestedOptions: [] },
    RespondToHelp: { id: asked, response: 'r' },
    ResumeTask: { taskId: answered },
    CreateTask: { repoId: worked, kind: 'Task', description: 'd', blockedBy: [] },
    UpdateTask: { id: task, priority: 0 },
    DeleteTask: { id: task },
    StartTask: { id: task },
    SubmitTask: { id: task },
    ClaimNextTask: { repoId: worked },
    CancelTask: { id: task },
    ArchiveTask: { id: task },
    ForceCompleteTask: { id: task },
    SetTaskStatus: { id: task, status: 'InProgress' },
    BlockTask: { id: task, blockerId: blocker },
    UnblockTask: { id: blocked, blockerId: blocker },
    CreateGate: { scope: { type: 'Task', id: task }, name: 'more', command: 'true' },
    UpdateGate: { id: gate, command: 'false' },
    DeleteGate: { id: gate },
    RerunGates: { reviewId: escalated },
    AddComment: { id: review, filePath: 'f', side: 'Right', body: 'b' },
    ResolveComment: { id: comment },
    ApproveReview: { id: review },
    RequestChanges: { id: review, comments: [] },
    CreateToken: { role: 'viewer', name: 'n', capabilities: [] },
    RevokeToken: { id: human.id },
    CreateTicket: {},
  };
});

function nameOf({ parent, name }: DescMethod): string {
  return `${parent.file.proto.package === 'muster.v1' ? parent.name : parent.typeName}.${name}`;
}

function changesNothing({ idempotency, methodKind, parent }: DescMethod): boolean {
  return (
    gRpcs.includes(parent) ||
    idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ||
    methodKind === 'server_streaming'
  );
}

function isLetIn(method: DescMethod, who: string): boolean {
  const holder = holders[who];
  const names = letIn.get(nameOf(method)) ?? [];
  return holder !== undefined && (names.includes(holder.role) || names.includes(holder.capability ?? 'nothing'));
}

/** What becomes of a call in each way that it can be made. */
async function outcomesOf(
  method: DescMethod,
  who: string,
  input: Plain,
  session: ClientHttp2Session,
): Promise<Record<string, string>> {
  const outcomes: Record<string, string> = {};
  for (const [way, call] of Object.entries(ways)) {
    const outcome = await call({
      url: app.current.url,
      method,
      routes: routes.filter(({ rpc }) => rpc.path === `/${method.parent.typeName}/${method.name}`),
      input,
      headers: { ...headersOf.get(who), ...(endless.includes(method.name) && aMoment) },
      session,
    });
    if (outcome !== undefined) outcomes[way] = outcome;
  }
  return outcomes;
}

/** All that there is but the audit trail, in a few letters. */
async function fingerprint(): Promise<string> {
  const { query } = app.current.database;
  // A read of the ledger numbers all that has been committed.
  await rest(app.current.url, 'GET', '/api/events?limit=1', undefined, headersOf.get('a human'));
  const tables = await query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'events%' ORDER BY 1`,
  );
  const parts = await Promise.all(
    tables.map(({ name }) => query(`SELECT '${name}', md5(string_agg(t::text, ',' ORDER BY t::text)) FROM ${name} t`)),
  );
  return JSON.stringify([parts, await query('SELECT max(seq) FROM events WHERE NOT restricted')]);
}

test('the table has every RPC, and says of each that changes something what would', () => {
  expect([...letIn.keys()].sort()).toEqual(methods.map(nameOf).sort());
  const changing = methods.filter((method) => !changesNothing(method)).map(({ name }) => name);
  expect(Object.keys(effective).sort()).toEqual(changing.sort());
});

describe.each([...Object.keys(strangers), ...Object.keys(holders)])('%s', (who) => {
  test('hears in every way what is refused, and changes nothing by asking', async () => {
    const before = await fingerprint();
    const session = openSession(app.current.url);
    const word = who in strangers ? 'unauthorized 401' : 'forbidden 403';
    for (const method of methods.filter((each) => !isLetIn(each, who))) {
      const outcomes = await outcomesOf(method, who, effective[method.name] ?? ending[method.name] ?? {}, session);
      expect(Object.keys(outcomes).length, nameOf(method)).toBeGreaterThan(2);
      const refused = Object.fromEntries(Object.keys(outcomes).map((way) => [way, word]));
      expect({ method: nameOf(method), ...outcomes }).toEqual({ method: nameOf(method), ...refused });
    }
    expect(await fingerprint()).toBe(before);
  });

  test('is let in to all the rest, in every way', async () => {
    const session = openSession(app.current.url);
    for (const method of methods.filter((each) => isLetIn(each, who))) {
      // Without a valid input nothing comes of it but an answer that is no refusal.
      const outcomes = await outcomesOf(method, who, ending[method.name] ?? {}, session);
      const refused = Object.entries(outcomes).filter(([, outcome]) => / 40[13]$/.test(outcome));
      expect({ method: nameOf(method), refused }).toEqual({ method: nameOf(method), refused: [] });
    }
  });
});
