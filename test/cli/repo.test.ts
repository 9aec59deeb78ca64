import { realpathSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { git, useGitRepos, writeFiles } from '../support/git-repos.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const inOneProcess = useOneProcess();
const app = sharedTestApp();
const repos = useGitRepos();

describe('muster repo', () => {
  test('register, show, list and unregister, for people and as JSON', async () => {
    const { url } = app.current;
    const env = { MUSTER_URL: url };
    const run = (...args: string[]) => inOneProcess(['repo', ...args], { env });
    expect(await run('list')).toMatchObject({
      code: 0,
      stdout: 'There are no repositories; see muster help repo register.\n',
    });
    const root = repos.repo();
    const made = await run('register', root, '--name', 'Ours', '--default-branch', 'main', '--json');
    const [listed] = (await rest(url, 'GET', '/api/repos')).json as { id: string }[];
    expect(JSON.parse(made.stdout)).toEqual(listed);
    const { id } = listed ?? { id: '' };
    expect(await run('register', root)).toMatchObject({
      code: 1,
      stderr: `muster: conflict: ${root} is registered already, as ${id}.\n`,
    });
    for (const named of [id, root]) {
      expect(JSON.parse((await run('show', named, '--json')).stdout)).toEqual(listed);
    }
    // Below the root, in a work tree of it, and by a link to either.
    writeFiles(root, { 'deep/down/file': '' });
    const worktree = path.join(repos.folder(), 'tree');
    git(root, 'worktree', 'add', '--quiet', worktree);
    const link = path.join(repos.folder(), 'link');
    symlinkSync(path.join(root, 'deep'), link);
    for (const cwd of [root, path.join(root, 'deep', 'down'), worktree, link]) {
      const here = await inOneProcess(['repo', 'show', '--json'], { env, cwd });
      expect(JSON.parse(here.stdout)).toEqual(listed);
      expect(JSON.parse((await run('show', cwd, '--json')).stdout)).toEqual(listed);
      expect(await inOneProcess(['task', 'list', '--repo', '.'], { env, cwd })).toMatchObject({ code: 0 });
    }
    // What is not there may be meant to be anywhere.
    const typo = path.join(root, 'deep', 'dwon');
    expect(await run('show', typo)).toMatchObject({
      code: 1,
      stderr: `muster: not_found: ${typo} is not registered; see muster repo list\n`,
    });
    // To forget it, it has to be named as it was registered.
    expect(await run('unregister', path.dirname(typo))).toMatchObject({ code: 1 });
    const shown = (await run('show', id)).stdout.split('\n');
    expect(shown[0]).toBe(`id              ${id}`);
    expect(shown).toContain('default_branch  main');
    const table = (await run('list')).stdout.split('\n');
    expect(table[0]).toMatch(/^ID +NAME +BRANCH +PATH$/);
    expect(table[1]).toMatch(new RegExp(`^${id} +Ours +main +${root}$`));
    expect(JSON.parse((await run('list', '--json')).stdout)).toEqual([listed]);
    expect((await rest(url, 'GET', `/api/events?repo_id=${id}`)).json).toMatchObject([{ source: 'Cli' }]);

    git(root, 'branch', 'release');
    expect(await run('set', root, '--default-branch', 'release')).toEqual({
      code: 0,
      stdout: `${id} is changed\n`,
      stderr: '',
    });
    expect(JSON.parse((await run('set', id, '--default-branch', 'main', '--json')).stdout)).toEqual(
      (await rest(url, 'GET', `/api/repos/${id}`)).json,
    );
    expect(await run('set', id, '--default-branch', 'none')).toMatchObject({
      code: 1,
      stderr: "muster: invalid_request: default_branch: there is no branch 'none' in the repository\n",
    });
    const told = (await rest(url, 'GET', `/api/events?repo_id=${id}&type=RepoUpdated`)).json;
    expect(told).toMatchObject([{ payload: { default_branch: 'main' } }, { payload: { default_branch: 'release' } }]);

    expect(await run('unregister', root)).toEqual({ code: 0, stdout: `${id} is unregistered\n`, stderr: '' });
    expect(await run('show', root)).toMatchObject({
      code: 1,
      stderr: `muster: not_found: ${root} is not registered; see muster repo list\n`,
    });
    // Relative to where the command runs.
    const place = path.dirname(path.relative(realpathSync(tmpdir()), root));
    expect(await run('register', place)).toMatchObject({
      code: 1,
      stderr: 'muster: invalid_request: path: is no git repository\n',
    });
  });
});
