import { readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import type { Output } from '../../src/cli/output.js';
import { diffText } from '../../src/cli/task-diff.js';
import { useBuiltServer } from '../support/built-server.js';
import { git, useGitRepos, writeFiles } from '../support/git-repos.js';
import { sharedTestApp } from '../support/shared-app.js';
import { createTasksClient, registerRepo, type TasksClient } from '../support/tasks-client.js';
import { runMuster } from './support/muster.js';

useBuiltServer();
const repos = useGitRepos();
const app = sharedTestApp();
let tasks: TasksClient;

beforeAll(() => {
  tasks = createTasksClient(app.current.url);
});

test('what is printed for no terminal is a patch that git applies to the byte', { timeout: 60_000 }, async () => {
  const root = repos.repo({ 'dos.txt': 'one\r\ntwo\r\nthree\r\n', 'page.txt': 'a\fb\n', 'last.txt': 'no end' });
  const repo_id = await registerRepo(app.current.url, root);
  const { id } = await tasks.create({ repo_id });
  await tasks.start(id);
  const worktree = (await tasks.get(id)).vcs?.worktree_path ?? '';
  const changed = {
    'dos.txt': 'one\r\n2\r\nthree\r\nfour\n',
    'page.txt': 'a\f\u001b[31mb\u009b\u202e\r\r\n',
    'last.txt': 'still no end\r',
    'bell.txt': '\u0007\b\u007f\n',
  };
  writeFiles(worktree, changed);
  const printed = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runMuster(args, { cwd: worktree, env: { MUSTER_URL: app.current.url } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout;
  };
  const patch = await printed('task', 'diff');
  const folder = repos.folder();
  writeFiles(folder, { 'task.diff': patch });
  git(root, 'apply', path.join(folder, 'task.diff'));
  const applied = Object.keys(changed).map((name) => [name, readFileSync(path.join(root, name), 'utf8')]);
  expect(Object.fromEntries(applied)).toEqual(changed);

  await printed('task', 'submit');
  expect(await printed('review', 'diff')).toBe(patch);
});

test('on a terminal nothing in it can move the cursor, and a carriage return at the end of a line is seen', () => {
  const paint =
    (name: string) =>
    (text: string): string =>
      `<${name}>${text}</>`;
  const output: Output = {
    line: () => undefined,
    text: () => undefined,
    isTerminal: true,
    columns: 80,
    style: {
      bold: paint('bold'),
      dim: paint('dim'),
      red: paint('red'),
      green: paint('green'),
      yellow: paint('yellow'),
      cyan: paint('cyan'),
    },
  };
  const unified = [
    'diff --git a/f b/f',
    '--- a/f',
    '+++ b/f',
    '@@ -1,3 +1,3 @@',
    ' same\r',
    '-\u001b[2J\r',
    '+a\rb\r\r',
    '+\tc^M',
    '',
  ];
  expect(diffText(unified.join('\n'), output).split('\n')).toEqual([
    '<bold>diff --git a/f b/f</>',
    '<bold>--- a/f</>',
    '<bold>+++ b/f</>',
    '<cyan>@@ -1,3 +1,3 @@</>',
    ' same<dim>^M</>',
    '<red>-\uFFFD[2J</><dim>^M</>',
    '<green>+a\uFFFDb\uFFFD</><dim>^M</>',
    '<green>+\tc^M</>',
    '',
  ]);
});
