import { beforeAll, expect, test } from 'vitest';
import { emptyLedgerState, reduceEvents } from '../../../src/client/index.js';
import { bearer, makeToken, type TestToken } from '../../access/support/tokens.js';
import { useGitRepos } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { createLearningsClient, type LearningsClient } from '../../support/learnings-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { createTasksClient, registerRepo, type RestTask, type TasksClient } from '../../support/tasks-client.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';

const app = sharedTestApp();
const repos = useGitRepos();
let human: TestToken;
let tasks: TasksClient;
let learnings: LearningsClient;

beforeAll(async () => {
  human = await makeToken(app.current, { role: 'human' });
  tasks = createTasksClient(app.current.url, bearer(human));
  learnings = createLearningsClient(app.current.url, bearer(human));
});

/** A milestone with a task with a subtask, in a repository of their own. */
async function family() {
  const repo_id = await registerRepo(app.current.url, repos.repo(), bearer(human));
  const top = await tasks.create({ repo_id, kind: 'Milestone' });
  const task = await tasks.create({ repo_id, parent_id: top.id });
  const sub = await tasks.create({ repo_id, kind: 'Subtask', parent_id: task.id });
  return { repo_id, top, task, sub };
}

async function told(id: string): Promise<readonly (readonly [content: string, source: string | null])[]> {
  return (await learnings.list(id)).map(({ content, source_task_id }) => [content, source_task_id] as const);
}

/** What the ledger comes to must be what the server has. */
async function expectReduced(repoId: string, all: readonly RestTask[]): Promise<void> {
  const events = await ledgerOf(app.current.url, repoId, bearer(human));
  const state = reduceEvents(emptyLedgerState({ filtered: true }), events);
  for (const { id } of all) expect(state.learnings.get(id) ?? []).toEqual(await learnings.list(id));
}

test('what is learned comes up with each completion, once, and knows where it was learned', async () => {
  const { repo_id, top, task, sub } = await family();
  await learnings.add(sub.id, 'one');
  await learnings.add(sub.id, 'two');
  await learnings.add(task.id, 'three');
  expect(await told(task.id)).toEqual([['three', null]]);

  await tasks.complete(sub.id);
  const below = [
    ['one', sub.id],
    ['two', sub.id],
  ];
  expect(await told(task.id)).toEqual([['three', null], ...below]);
  expect(await told(sub.id)).toEqual([
    ['one', null],
    ['two', null],
  ]);
  // Completed again, by another call, with one more.
  await tasks.setStatus(sub.id, 'InProgress');
  await learnings.add(sub.id, 'four');
  await tasks.setStatus(sub.id, 'Completed');
  expect(await told(task.id)).toEqual([['three', null], ...below, ['four', sub.id]]);

  expect(await told(top.id)).toEqual([]);
  await tasks.complete(task.id);
  expect(await told(top.id)).toEqual([['three', task.id], ...below, ['four', sub.id]]);
  // All above are Completed, so it goes all the way at once.
  await tasks.complete(top.id);
  await learnings.add(sub.id, 'late');
  expect((await told(task.id)).at(-1)).toEqual(['late', sub.id]);
  expect((await told(top.id)).at(-1)).toEqual(['late', sub.id]);
  await expectReduced(repo_id, [top, task, sub]);

  // The copies outlive the task that they are from; its own do not.
  await tasks.remove(sub.id);
  expect((await told(task.id)).at(-1)).toEqual(['late', sub.id]);
  expect(await refusal(learnings.list(sub.id))).toMatchObject({ error: 'not_found' });
  await tasks.remove(top.id);
  expect(
    await app.current.database.query('SELECT id FROM learnings WHERE task_id = ANY ($1)', [[top.id, task.id]]),
  ).toEqual([]);
  const events = await ledgerOf(app.current.url, repo_id, bearer(human));
  expect(reduceEvents(emptyLedgerState({ filtered: true }), events).learnings.size).toBe(0);
});

test('nothing comes up from a task that is cancelled', async () => {
  const { top, task } = await family();
  await learnings.add(task.id, 'in vain');
  await tasks.cancel(task.id);
  expect(await told(top.id)).toEqual([]);
});

test('a completion and what comes up by it are one transaction', async () => {
  const { task, sub } = await family();
  await learnings.add(sub.id, 'one');
  const { query } = app.current.database;
  await query(`
    CREATE FUNCTION refuse_copy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no copies today'; END $$;
    CREATE TRIGGER refuse_copy BEFORE INSERT ON learnings FOR EACH ROW EXECUTE FUNCTION refuse_copy()`);
  try {
    expect(await refusal(tasks.complete(sub.id))).toMatchObject({ error: 'internal_error' });
  } finally {
    await query('DROP TRIGGER refuse_copy ON learnings; DROP FUNCTION refuse_copy()');
  }
  expect((await tasks.get(sub.id)).task.status).toBe('Pending');
  await tasks.complete(sub.id);
  expect(await told(task.id)).toEqual([['one', sub.id]]);
});

test('a task is read with what was learned above it', async () => {
  const { top, task, sub } = await family();
  await learnings.add(top.id, 'top');
  await learnings.add(task.id, 'task');
  await learnings.add(sub.id, 'sub');
  const names = ({ own, parent, milestone }: Awaited<ReturnType<LearningsClient['inherited']>>) =>
    [own, parent, milestone].map((list) => list.map(({ content }) => content));
  const expected = new Map([
    [top, [['top'], [], []]],
    [task, [['task'], [], ['top']]],
    [sub, [['sub'], ['task'], ['top']]],
  ]);
  for (const [{ id }, lists] of expected) {
    const inherited = await learnings.inherited(id);
    expect(names(inherited)).toEqual(lists);
    expect((await tasks.get(id)).learnings).toEqual(inherited);
  }
});

test('a page ends where the next begins, and the newest hundred are inherited', async () => {
  const { sub } = await family();
  const all = Array.from({ length: 103 }, (_, index) => `${index}`);
  for (const content of all) await learnings.add(sub.id, content);
  expect((await learnings.list(sub.id, 25)).map(({ content }) => content)).toEqual(all);
  expect((await learnings.inherited(sub.id)).own.map(({ content }) => content)).toEqual(all.slice(3));
});

test('an agent with one task adds to that task, and to no other', async () => {
  const { task, sub } = await family();
  const input = { role: 'agent', capabilities: ['learnings.write'], task_id: sub.id };
  const agent = createLearningsClient(app.current.url, bearer(await makeToken(app.current, input, human)));
  expect(await agent.add(sub.id, 'mine')).toMatchObject({ task_id: sub.id, content: 'mine' });
  expect(await refusal(agent.add(task.id, 'not mine'))).toMatchObject({
    error: 'forbidden',
    details: { task_id: sub.id },
  });
  expect(await agent.list(task.id)).toEqual([]);
});
