import { beforeAll, expect, test } from 'vitest';
import { bearer, makeToken, type TestToken } from '../../access/support/tokens.js';
import { useGitRepos } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { createTasksClient, registerRepo, type RestTask, type TasksClient } from '../../support/tasks-client.js';

/** What agents may do to which tasks; that they need `tasks.execute` at all stands in test/access/roles.tsv. */
const app = sharedTestApp();
const repos = useGitRepos();
let human: TestToken;
let tasks: TasksClient;
let repo_id = '';

beforeAll(async () => {
  human = await makeToken(app.current, { role: 'human' });
  tasks = createTasksClient(app.current.url, bearer(human));
  repo_id = await registerRepo(app.current.url, repos.repo(), bearer(human));
});

/** An agent that may execute tasks: one of them, or all. */
async function agentFor(task?: RestTask): Promise<TasksClient> {
  const input = { role: 'agent', capabilities: ['tasks.execute'], ...(task && { task_id: task.id }) };
  return createTasksClient(app.current.url, bearer(await makeToken(app.current, input, human)));
}

test('an agent with one task acts on that task, and adds subtasks to it', async () => {
  const [own, other] = [await tasks.create({ repo_id }), await tasks.create({ repo_id })];
  const agent = await agentFor(own);
  expect(await agent.block(own.id, other.id)).toEqual({ ok: true });
  expect(await agent.unblock(own.id, other.id)).toEqual({ ok: true });
  expect((await agent.start(own.id)).status).toBe('InProgress');
  expect((await agent.submit(own.id, { allow_empty: true })).status).toBe('InReview');
  expect((await agent.create({ repo_id, kind: 'Subtask', parent_id: own.id })).parent_id).toBe(own.id);
  expect((await agent.cancel(own.id)).status).toBe('Cancelled');
  expect((await agent.get(other.id)).task).toEqual((await tasks.get(other.id)).task);
});

test('it does nothing to others', async () => {
  const [own, other] = [await tasks.create({ repo_id }), await tasks.create({ repo_id })];
  const agent = await agentFor(own);
  const before = await tasks.list(`?repo_id=${repo_id}&limit=500`);
  const refused = [
    () => agent.start(other.id),
    () => agent.submit(other.id),
    () => agent.cancel(other.id),
    () => agent.block(other.id, own.id),
    () => agent.unblock(other.id, own.id),
    () => agent.create({ repo_id, kind: 'Subtask', parent_id: other.id }),
    () => agent.claimNext({ repo_id }),
  ];
  for (const call of refused) {
    expect(await refusal(call())).toMatchObject({ error: 'forbidden', code: 403, details: { task_id: own.id } });
  }
  expect(await tasks.list(`?repo_id=${repo_id}&limit=500`)).toEqual(before);
});

test('an agent with all tasks claims, but what is for humans is for humans', async () => {
  const task = await tasks.create({ repo_id, priority: 0 });
  const agent = await agentFor();
  expect((await agent.claimNext({ repo_id }))?.task).toMatchObject({ id: task.id, status: 'InProgress' });
  expect(await refusal(agent.create({ repo_id }))).toMatchObject({ error: 'forbidden', details: { kind: 'Subtask' } });
  const waiting = await tasks.create({ repo_id });
  expect(await refusal(agent.start(waiting.id, { base: 'main' }))).toMatchObject({
    error: 'forbidden',
    details: { field: 'base' },
  });
  for (const call of [
    () => agent.complete(waiting.id),
    () => agent.setStatus(waiting.id, 'Cancelled'),
    () => agent.remove(waiting.id),
    () => agent.update(waiting.id, { priority: 0 }),
  ]) {
    expect(await refusal(call())).toMatchObject({ error: 'forbidden' });
  }
  expect((await tasks.get(waiting.id)).task).toEqual(waiting);
});
