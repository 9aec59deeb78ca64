import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { git, useGitRepos, writeFiles } from '../support/git-repos.js';
import { sharedTestApp } from '../support/shared-app.js';
import { createTasksClient, registerRepo, type TasksClient } from '../support/tasks-client.js';
import { runMuster } from './support/muster.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const inOneProcess = useOneProcess();
const repos = useGitRepos();
const app = sharedTestApp();
let tasks: TasksClient;

beforeAll(() => {
  tasks = createTasksClient(app.current.url);
});

/** A registered repository, and `muster task` in it. */
async function setUp() {
  const root = repos.repo();
  const repoId = await registerRepo(app.current.url, root);
  const env = { MUSTER_URL: app.current.url };
  const task = (args: readonly string[], cwd = root) => inOneProcess(['task', ...args], { env, cwd });
  const said = async (args: readonly string[], cwd = root): Promise<string> => {
    const { code, stdout, stderr } = await task(args, cwd);
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
    return stdout.replace(/\n$/, '');
  };
  return { root, repoId, task, said };
}

describe('muster task', () => {
  test('plans, starts, edits and submits, in the repository and in the worktree', { timeout: 120_000 }, async () => {
    const { root, repoId, task, said } = await setUp();
    const top = await said(['add', 'Release', '--kind', 'milestone', '--context', 'For all.']);
    const one = await said(['add', 'Write it', '--parent', top, '--priority', 'urgent']);
    const two = await said(['add', 'Read it', '--parent', top, '--blocked-by', one]);
    const sub = await said(['add', 'A part of it', '--parent', two]);
    expect(await said(['tree'])).toBe(
      [
        `Release             Pending            ${top}`,
        `├─ Write it         Pending            ${one}`,
        `└─ Read it          Pending (blocked)  ${two}`,
        `   └─ A part of it  Pending (blocked)  ${sub}`,
        '4 tasks, 1 ready, 2 blocked',
      ].join('\n'),
    );
    expect(JSON.parse(await said(['tree', top, '--json']))).toEqual(await tasks.tree(`?root_id=${top}`));
    // Also from below the root.
    writeFiles(root, { 'deep/down/file': '' });
    const list = await said(['list', '--status', 'pending', '--kind', 'task'], path.join(root, 'deep', 'down'));
    expect(list.split('\n').map((line) => line.split(/ {2,}/)[0])).toEqual(['ID', two, one]);
    expect(JSON.parse(await said(['list', '--all', '--json']))).toEqual((await tasks.list(`?repo_id=${repoId}`)).tasks);
    expect(await said(['next'])).toMatch(new RegExp(`^id +${one}\n`));

    const worktree = await said(['start', one]);
    expect(await said(['show'], worktree)).toMatch(
      new RegExp(`milestone's context +For all\\.\n(.*\n)*worktree +${worktree}\n`),
    );
    writeFiles(worktree, { 'new.txt': 'x' });
    expect(await said(['edit', '--context', 'Mine.'], worktree)).toBe(`${one} is InProgress`);
    expect(await said(['submit', '--message', 'Mine'], path.join(worktree))).toBe(`${one} is InReview`);
    expect(await said(['diff'], worktree)).toContain('\n+++ b/new.txt\n');
    expect(await said(['force-complete', one])).toBe(`${one} is Completed`);
    expect(await said(['unblock', two, '--by', one])).toBe(`${two} no longer waits for ${one}`);
    // Below the worktree, the repository is found, too.
    expect(JSON.parse(await said(['claim', '--json'], worktree))).toMatchObject({
      task: { id: sub, status: 'InProgress' },
    });
    expect(await task(['claim'])).toEqual({ code: 0, stdout: '', stderr: 'No task is ready.\n' });
    // It removes the work tree that one stands in.
    const unnamed = { code: 2, stderr: expect.stringContaining('ID is missing') as string };
    expect(await task(['archive'], worktree)).toMatchObject(unnamed);
    expect(await said(['archive', one])).toBe(`task/${one} is archived`);
    expect(await said(['cancel', two])).toBe(`${two} is Cancelled`);
    expect(await said(['set-status', two, 'in-progress'])).toBe(`${two} is InProgress`);
    expect(await said(['delete', two])).toBe(`${two} is deleted`);
    expect(await said(['show', one, '--json']).then(JSON.parse)).toEqual(await tasks.get(one));
  });

  test('reads a description from stdin', { timeout: 60_000 }, async () => {
    const { root, said } = await setUp();
    const from = async (stdin: string, ...args: readonly string[]) => {
      const ended = await runMuster(['task', ...args], { cwd: root, env: { MUSTER_URL: app.current.url }, stdin });
      return { ...ended, stdout: ended.stdout.trim() };
    };
    const long = `Größer\n\n${'ä'.repeat(5000)} 😀`;
    const { stdout: id } = await from(`${long}\n`, 'add', '-');
    expect((await tasks.get(id)).task.description).toBe(long);
    expect(await from('Anew\r\n', 'edit', id, '--description', '-')).toMatchObject({ code: 0, stderr: '' });
    expect((await tasks.get(id)).task.description).toBe('Anew');
    expect(await from('', 'add', '-')).toMatchObject({
      code: 1,
      stderr: 'muster: invalid_request: description: is required\n',
    });
    expect(await from('x'.repeat(1024 * 1024 + 1), 'add', '-')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("DESCRIPTION: '-' has more than the 1048576 bytes that are allowed\n") as string,
    });
    expect((await said(['list'])).split('\n')).toHaveLength(2);
  });

  test('knows the task of a work tree whatever is checked out in it', async () => {
    const { root, said, task } = await setUp();
    const id = await said(['add', 'x']);
    const worktree = await said(['start', id]);
    const below = path.join(worktree, 'below');
    writeFiles(below, { 'a.txt': '' });
    const shown = new RegExp(`^id +${id}\n`);
    git(worktree, 'checkout', '--quiet', '--detach');
    expect(await said(['show'], below)).toMatch(shown);
    expect(await said(['diff'], worktree)).toMatch(/^diff --git a\/below\/a.txt /);
    git(worktree, 'checkout', '--quiet', '-b', 'aside');
    expect(await said(['show'], worktree)).toMatch(shown);
    // It is the server that says whether it can be submitted so.
    expect(await task(['submit'], worktree)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`task/${id}`) as string,
    });

    // In a work tree that somebody has made, what is checked out tells.
    const own = path.join(repos.folder(), 'own');
    git(root, 'worktree', 'add', '--quiet', own, `task/${id}`);
    expect(await said(['show'], own)).toMatch(shown);
    git(own, 'checkout', '--quiet', '--detach');
    expect(await task(['show'], own)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('which task?') as string,
    });
  });

  test('says what is wrong', async () => {
    const { task } = await setUp();
    const elsewhere = repos.folder();
    expect(await task(['add', 'x'], elsewhere)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('which repository? Name it with --repo') as string,
    });
    expect(await task(['add', 'x'], repos.repo())).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not registered') as string,
    });
    expect(await task(['show'], elsewhere)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('which task?') as string,
    });
    expect(await task(['add', 'x', '--kind', 'epic'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--kind: 'epic' is none of Milestone, Task, Subtask") as string,
    });
    expect(await task(['edit', 'task_none'])).toEqual({
      code: 2,
      stdout: '',
      stderr: [
        'muster: nothing is to be changed; give --description, --context or --priority',
        'See muster help task edit.',
        '',
      ].join('\n'),
    });
    expect(await task(['start', 'task_none'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'muster: not_found: There is no task task_none.\n',
    });
  });

  test('says it without what others have written for the terminal', async () => {
    const { task, said } = await setUp();
    const worktree = await said(['start', await said(['add', 'x'])]);
    const nested = path.join(worktree, 'x\u001b]0;PWNED\u0007\u202e');
    mkdirSync(nested);
    git(nested, 'init', '--quiet');
    const { code, stdout, stderr } = await task(['submit'], worktree);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^muster: \w+: .*x\uFFFD\]0;PWNED\uFFFD\uFFFD.*\n$/);
  });
});
