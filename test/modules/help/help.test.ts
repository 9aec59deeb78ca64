import { beforeAll, describe, expect, test } from 'vitest';
import { emptyLedgerState, reduceEvents } from '../../../src/client/index.js';
import { bearer, makeToken, type TestToken } from '../../access/support/tokens.js';
import { useGitRepos } from '../../support/git-repos.js';
import { createHelpClient, type HelpClient } from '../../support/help-client.js';
import { refusal } from '../../support/jobs-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { createTasksClient, registerRepo, type TasksClient } from '../../support/tasks-client.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';
import { expectHelpReduced } from './support/help-ledger.js';

const app = sharedTestApp();
const repos = useGitRepos();
let human: TestToken;
let tasks: TasksClient;
let help: HelpClient;
let repo_id = '';

beforeAll(async () => {
  human = await makeToken(app.current, { role: 'human' });
  tasks = createTasksClient(app.current.url, bearer(human));
  help = createHelpClient(app.current.url, bearer(human));
  repo_id = await registerRepo(app.current.url, repos.repo(), bearer(human));
});

test('a task that is in review is asked about, answered and goes back to its review', async () => {
  const { id } = await tasks.create({ repo_id });
  await tasks.start(id);
  await tasks.submit(id, { allow_empty: true });
  const { review } = await tasks.get(id);
  const asked = await help.ask(id, { suggested_options: ['this', 'that'] });
  expect(asked).toMatchObject({ from_status: 'InReview', status: 'Pending', response: null });
  expect(await tasks.get(id)).toMatchObject({ task: { status: 'AwaitingHuman' }, review, help_request: asked });
  expect(await help.active(id)).toEqual(asked);

  const responded = await help.respond(asked.id, { response: 'Both.', chosen_option: 1 });
  expect(responded).toMatchObject({ status: 'Responded', response: 'Both.', chosen_option: 1 });
  expect(await tasks.get(id)).toMatchObject({ task: { status: 'AwaitingHuman' }, review, help_request: responded });
  expect((await help.resume(id)).status).toBe('InReview');
  expect(await tasks.get(id)).toMatchObject({ review, help_request: null });
  expect(await help.active(id)).toBeNull();
  expect(await help.list(id)).toMatchObject([{ id: asked.id, status: 'Resolved', answered_by_default: false }]);
});

test('one request of a task is open at a time, and all are kept', async () => {
  const { id } = await tasks.create({ repo_id });
  const first = await help.ask(id);
  const refused = await Promise.all([refusal(help.ask(id)), refusal(help.ask(id))]);
  for (const each of refused) expect(each).toMatchObject({ error: 'conflict', details: { id: first.id } });
  await help.respond(first.id);
  expect(await refusal(help.ask(id))).toMatchObject({ error: 'conflict', details: { status: 'Responded' } });
  expect((await help.resume(id)).status).toBe('Pending');
  const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => help.ask(id)));
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  const ids = (await help.list(id, 1)).map((each) => each.id);
  expect(ids).toEqual([(await help.active(id))?.id, first.id]);
});

describe('what a task does that is not resumed ends its request', () => {
  const ways = {
    cancel: async (id: string) => tasks.cancel(id),
    'cancel what is above': async (id: string) => tasks.cancel((await tasks.get(id)).task.parent_id ?? ''),
    'force-complete': async (id: string) => tasks.complete(id),
    'set-status': async (id: string) => tasks.setStatus(id, 'InProgress'),
    'set-status to Cancelled': async (id: string) => tasks.setStatus(id, 'Cancelled'),
  };
  test.each(Object.entries(ways))('%s', async (_name, end) => {
    const ids: string[] = [];
    for (const answered of [false, true]) {
      const top = await tasks.create({ repo_id, kind: 'Milestone' });
      const { id } = await tasks.create({ repo_id, parent_id: top.id });
      ids.push(id);
      const asked = await help.ask(id);
      if (answered) await help.respond(asked.id);
      await end(id);
      expect(await help.active(id)).toBeNull();
      expect((await help.list(id))[0]).toMatchObject({ id: asked.id, status: 'Cancelled' });
      expect(await refusal(help.resume(id))).toMatchObject({ error: 'invalid_state', details: { to: 'InProgress' } });
      expect(await refusal(help.respond(asked.id))).toMatchObject({
        error: 'invalid_state',
        details: { from: 'Cancelled', to: 'Responded', allowed: [] },
      });
    }
    const events = await ledgerOf(app.current.url, repo_id, bearer(human));
    await expectHelpReduced(help, events, ids);
  });

  test('setting it to what it is already does not', async () => {
    const { id } = await tasks.create({ repo_id });
    const asked = await help.ask(id);
    expect((await tasks.setStatus(id, 'AwaitingHuman')).status).toBe('AwaitingHuman');
    expect(await help.active(id)).toEqual(asked);
  });

  test('deleting it deletes them', async () => {
    const { id } = await tasks.create({ repo_id });
    const asked = await help.ask(id);
    await tasks.remove(id);
    expect(await refusal(help.list(id))).toMatchObject({ error: 'not_found' });
    expect(await refusal(help.respond(asked.id))).toMatchObject({ error: 'not_found' });
    const events = await ledgerOf(app.current.url, repo_id, bearer(human));
    expect(reduceEvents(emptyLedgerState({ filtered: true }), events).help.has(id)).toBe(false);
  });
});

test('what is done cannot ask', async () => {
  const { id } = await tasks.create({ repo_id });
  await tasks.complete(id);
  expect(await refusal(help.ask(id))).toMatchObject({
    error: 'invalid_state',
    details: { from: 'Completed', to: 'AwaitingHuman', allowed: [] },
  });
  expect(await help.list(id)).toEqual([]);
});

test('an agent with one task asks for that task, and answers nobody', async () => {
  const [own, other] = [await tasks.create({ repo_id }), await tasks.create({ repo_id })];
  const input = { role: 'agent', capabilities: ['help.request', 'tasks.execute'], task_id: own.id };
  const agent = createHelpClient(app.current.url, bearer(await makeToken(app.current, input, human)));
  expect(await refusal(agent.ask(other.id))).toMatchObject({ error: 'forbidden', details: { task_id: own.id } });
  const asked = await agent.ask(own.id);
  expect(await refusal(agent.respond(asked.id))).toMatchObject({
    error: 'forbidden',
    details: { scope: 'help.answer' },
  });
  await help.respond(asked.id);
  expect(await refusal(agent.resume(own.id))).toMatchObject({ error: 'forbidden', details: { scope: 'help.answer' } });
  expect(await agent.active(own.id)).toMatchObject({ status: 'Responded' });
  expect(await help.list(other.id)).toEqual([]);
});
