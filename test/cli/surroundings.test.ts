import { describe, expect, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { useGitRepos } from '../support/git-repos.js';
import { sharedTestApp } from '../support/shared-app.js';
import { createTasksClient, registerRepo } from '../support/tasks-client.js';
import { type Ended, runMuster } from './support/muster.js';

useBuiltServer();
const repos = useGitRepos();
const app = sharedTestApp();

describe('in a directory that has been removed', () => {
  function nowhere(...args: readonly string[]): Promise<Ended> {
    const env = { MUSTER_URL: app.current.url };
    return runMuster(args, { cwd: repos.folder(), env, shell: 'rmdir "$PWD" && exec "$@"' });
  }

  test('a command that is about it says so', async () => {
    const said = 'muster: the current directory has been removed; go to another one\n';
    for (const line of ['task list', 'task show', 'repo register']) {
      expect([line, await nowhere(...line.split(' '))]).toEqual([line, { code: 2, stdout: '', stderr: said }]);
    }
  });

  test('any other one does what it does', async () => {
    const { url } = app.current;
    const root = repos.repo();
    const repoId = await registerRepo(url, root);
    const { id } = await createTasksClient(url).create({ repo_id: repoId });
    const lines = ['--version', 'task list --everywhere', `task list --repo ${root}`, `task show ${id}`];
    for (const line of lines) {
      expect([line, await nowhere(...line.split(' '))]).toMatchObject([line, { code: 0, stderr: '' }]);
    }
  });
});
