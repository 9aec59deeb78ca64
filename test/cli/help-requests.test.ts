import { beforeAll, expect, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { useGitRepos } from '../support/git-repos.js';
import { createHelpClient, type HelpClient } from '../support/help-client.js';
import { sharedTestApp } from '../support/shared-app.js';
import { createTasksClient, registerRepo, type TasksClient } from '../support/tasks-client.js';
import { until } from '../support/until.js';
import { startMuster } from './support/muster.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const inOneProcess = useOneProcess();
const repos = useGitRepos();
const app = sharedTestApp();
let tasks: TasksClient;
let help: HelpClient;

beforeAll(() => {
  tasks = createTasksClient(app.current.url);
  help = createHelpClient(app.current.url);
});

/** A task that was started, and `muster help-requests` in its worktree. */
async function setUp() {
  const env = { MUSTER_URL: app.current.url };
  const repo_id = await registerRepo(app.current.url, repos.repo());
  const { id } = await tasks.create({ repo_id });
  await tasks.start(id);
  const cwd = (await tasks.get(id)).vcs?.worktree_path ?? '';
  const run = (...args: readonly string[]) => inOneProcess(['help-requests', ...args], { env, cwd });
  const start = (...args: readonly string[]) => startMuster(['help-requests', ...args], { env, cwd });
  const said = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args);
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
    return stdout.trimEnd();
  };
  const waiting = () => until('it waits', () => help.active(id));
  return { repo_id, id, run, start, said, waiting };
}

test('muster help-requests asks, shows, answers and resumes', async () => {
  const { repo_id, id, run, said } = await setUp();
  expect(await said('list')).toBe('Nobody has asked for help on it.');
  const asked = await said('ask', 'Which?', '--category', 'technical-blocker', '--option', 'this', '--option', 'that');
  expect(await help.active(id)).toMatchObject({
    id: asked,
    category: 'TechnicalBlocker',
    suggested_options: ['this', 'that'],
  });
  expect(await said('show')).toMatch(/^options +0: this\n +1: that$/m);
  expect(JSON.parse(await said('list', '--waiting', '--repo', repo_id, '--json'))).toEqual([await help.active(id)]);
  expect(await run('resume')).toMatchObject({
    code: 1,
    stderr: `muster: invalid_state: ${id} cannot be resumed: nobody has answered ${asked}.\n`,
  });
  expect(await said('respond', asked, '--option', '1')).toBe(`${asked} is Responded`);
  expect(await said('resume')).toBe(`${id} is InProgress`);
  expect(await said('list', '--waiting', '--repo', repo_id)).toBe('Nobody waits.');
  expect(JSON.parse(await said('show', '--json'))).toMatchObject({ status: 'Resolved', response: 'that' });
  expect((await said('list', id)).split('\n').map((line) => line.split(/ {2,}/)[2])).toEqual(['STATUS', 'Resolved']);

  const defaults = ['--deadline', '90m', '--default-option', '0', '--default-response', 'Go on.'];
  const again = await said('ask', 'And now?', '--category', 'decision', '--option', 'go', ...defaults);
  const { created_at = '', deadline_at } = (await help.active(id)) ?? {};
  expect(Date.parse(deadline_at ?? '') - Date.parse(created_at)).toBe(90 * 60_000);
  expect(await said('respond', again, 'Go.', '--resume')).toBe(`${id} is InProgress`);
});

test('ask --wait waits until the task is resumed, and prints the answer', async () => {
  const { id, start, waiting } = await setUp();
  const asking = start('ask', 'Which?', '--category', 'Decision', '--wait');
  const asked = await waiting();
  const watching = start('show', '--wait', '--json');
  await help.respond(asked.id, { response: 'That one.' });
  await help.resume(id);
  expect(await asking.ended).toEqual({
    code: 0,
    stdout: 'That one.\n',
    stderr: `muster: ${asked.id} waits for an answer\n`,
  });
  const { code, stdout } = await watching.ended;
  expect([code, JSON.parse(stdout)]).toEqual([0, (await help.list(id))[0]]);
});

test('ask --wait ends when the task is cancelled, or deleted', async () => {
  const { id, start, waiting } = await setUp();
  const first = start('ask', 'Which?', '--category', 'Decision', '--wait');
  const { id: asked } = await waiting();
  await tasks.cancel(id);
  const { code, stdout, stderr } = await first.ended;
  expect([code, stdout, stderr.split('\n')[1]]).toEqual([1, '', `muster: ${asked} is Cancelled`]);

  const second = await setUp();
  const deleted = second.start('ask', 'Which?', '--category', 'Decision', '--wait');
  await second.waiting();
  await tasks.remove(second.id);
  expect(await deleted.ended).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`${second.id} was deleted`) as string,
  });
});
