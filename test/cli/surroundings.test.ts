import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { useGitRepos } from '../support/git-repos.js';
import { createJobsClient } from '../support/jobs-client.js';
import { sharedTestApp } from '../support/shared-app.js';
import { createTasksClient, registerRepo } from '../support/tasks-client.js';
import { until } from '../support/until.js';
import { type Ended, runMuster, startMuster } from './support/muster.js';

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

describe.skipIf(!existsSync('/dev/full'))('with no room for what it prints', () => {
  const shell = 'exec "$@" >/dev/full';

  test('a command says so, and fails', async () => {
    const said = 'muster: cannot write to stdout: ENOSPC: no space left on device, write\n';
    for (const args of [['--version'], ['help'], ['jobs', 'list', '--url', app.current.url]]) {
      expect([args, await runMuster(args, { shell })]).toEqual([args, { code: 1, stdout: '', stderr: said }]);
    }
  });

  test('a worker says so once, and goes on', { timeout: 60_000 }, async () => {
    const jobs = createJobsClient(app.current.url);
    const args = ['work', '--url', app.current.url, '--kind', 'full', '--exec', 'true'];
    const worker = startMuster(args, { shell });
    const ids = [await jobs.submit({ kind: 'full' }), await jobs.submit({ kind: 'full' })].map(({ id }) => id);
    for (const id of ids) await until('the job is done', async () => (await jobs.get(id)).status === 'done');
    worker.kill('SIGTERM');
    expect(await worker.ended).toEqual({
      code: 1,
      stdout: '',
      stderr: [
        'muster: cannot write to stdout: ENOSPC: no space left on device, write',
        'muster: letting running jobs end; once more kills them',
        '',
      ].join('\n'),
    });
  });

  test('what it says besides may be lost', async () => {
    const options = { shell: 'exec "$@" 2>/dev/full' };
    expect(await runMuster(['jobs', 'get'], options)).toEqual({ code: 2, stdout: '', stderr: '' });
  });
});
