import { expect, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { useGitRepos } from '../support/git-repos.js';
import { createLearningsClient } from '../support/learnings-client.js';
import { sharedTestApp } from '../support/shared-app.js';
import { createTasksClient, registerRepo } from '../support/tasks-client.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const inOneProcess = useOneProcess();
const repos = useGitRepos();
const app = sharedTestApp();

test('muster learnings adds and lists, in the worktree of the task', async () => {
  const { url } = app.current;
  const [tasks, learnings] = [createTasksClient(url), createLearningsClient(url)];
  const repo_id = await registerRepo(url, repos.repo());
  const { id: top } = await tasks.create({ repo_id, kind: 'Milestone' });
  const { id } = await tasks.create({ repo_id, parent_id: top });
  await tasks.start(id);
  const cwd = (await tasks.get(id)).vcs?.worktree_path ?? '';
  const said = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await inOneProcess(['learnings', ...args], { env: { MUSTER_URL: url }, cwd });
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
    return stdout.trimEnd();
  };
  expect(await said('list')).toBe('Nothing was learned on it yet.');
  const added = await said('add', 'Mind the\ngap.');
  await said('add', '--task', top, 'For all.');
  const [own] = await learnings.list(id);
  expect(own).toMatchObject({ id: added, content: 'Mind the\ngap.' });
  expect(await said('list')).toBe(`${own?.created_at}  Mind the\n${' '.repeat(26)}gap.`);
  expect(JSON.parse(await said('list', '--json'))).toEqual(await learnings.list(id));
  expect((await said('list', '--inherited')).split('\n').map((line) => line.split('  ').at(-1))).toEqual([
    'own',
    'Mind the',
    'gap.',
    'milestone',
    'For all.',
  ]);
  expect(JSON.parse(await said('list', '--inherited', '--json'))).toEqual(await learnings.inherited(id));
  await tasks.complete(id);
  expect(await said('list', top)).toContain(`Mind the\n${' '.repeat(26)}gap.  (${id})`);
});
