import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { Prepared } from '../../../src/modules/vcs/index.js';
import { useBuiltServer } from '../../support/built-server.js';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { startChild } from './support/child.js';
import { author, committer, setUpWork, usersView } from './support/work.js';

const repos = useGitRepos();
useBuiltServer();
const files = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`d${index % 5}/f${index}`, `${index}\n`]));

test('the same work tree is made by several processes at a time, and is whole for each', async () => {
  const { vcs, root, dataDir, another } = setUpWork(repos, { files });
  const before = usersView(root);
  const task = another();
  const input = { ...task, fresh: true };
  const children = Array.from({ length: 4 }, () => startChild({ dataDir, method: 'prepare', input, waits: true }));
  await Promise.all(children.map(({ ready }) => ready));
  for (const { begin } of children) begin();
  const known = path.join(root, '.git/worktrees', task.taskId);
  // Each begins to work at once, in both parts of what it has been told of.
  const work = <T>(told: T, index: number): T => {
    for (const place of [worktreePath(), known]) writeFileSync(path.join(place, `mark${index}`), '');
    return told;
  };
  const worktreePath = (): string => path.join(dataDir, 'worktrees', task.repo.id, task.taskId);
  const here = Promise.all(Array.from({ length: 3 }, async (_, index) => work(await vcs.prepare(input), index)));
  const there = Promise.all(children.map(async ({ outcome }, index) => work(await outcome, index + 3)));
  const [first] = (await here) as [Prepared];
  for (const { result } of await there) expect(result).toEqual({ value: first });
  expect(await here).toEqual(Array.from({ length: 3 }, () => first));
  expect(first.worktreePath).toBe(worktreePath());
  const marks = Array.from({ length: 7 }, (_, index) => `mark${index}`);
  expect(git(first.worktreePath, 'status', '--porcelain=v2', '--branch', '--ignored').split('\n')).toEqual([
    `# branch.oid ${first.baseCommit}`,
    `# branch.head task/${task.taskId}`,
    ...marks.map((mark) => `? ${mark}`),
  ]);
  expect(readdirSync(known)).toEqual(expect.arrayContaining(marks));
  for (const [name, content] of Object.entries(files)) {
    expect(readFileSync(path.join(worktreePath(), name), 'utf8')).toBe(content);
  }
  expect(readdirSync(path.dirname(worktreePath()))).toEqual([task.taskId]);
  expect(readdirSync(path.join(root, '.git')).filter((name) => name.startsWith('muster'))).toEqual([]);
  expect(readdirSync(path.join(root, '.git/worktrees'))).toEqual([task.taskId]);
  expect(usersView(root)).toBe(before);
});

test('tasks of one repository are begun, committed and archived side by side, by several processes', async () => {
  const { vcs, root, dataDir, another } = setUpWork(repos, { files });
  const before = usersView(root);
  const tasks = Array.from({ length: 12 }, another);
  const begun = await Promise.all(tasks.map((task) => vcs.prepare(task)));
  git(root, 'pack-refs', '--all');
  const commits = begun.map(({ worktreePath, baseCommit }, index) => {
    writeFiles(worktreePath, { 'd0/f0': `by ${index}\n` });
    return { ...tasks[index], baseCommit, message: `Work ${index}`, author, committer };
  });
  const errands = commits.slice(0, 4).map((input) => startChild({ dataDir, method: 'commit', input }).outcome);
  const [there, here] = await Promise.all([
    Promise.all(errands),
    Promise.all(commits.slice(4).map((input) => vcs.commit(input as Parameters<typeof vcs.commit>[0]))),
  ]);
  for (const { result } of there) expect(result).toHaveProperty('value.headCommit');
  expect(here).toHaveLength(8);
  for (const [index, { branch, baseCommit }] of begun.entries()) {
    expect(git(root, 'log', '--format=%s %P', '-1', branch)).toBe(`Work ${index} ${baseCommit}`);
    expect(git(root, 'show', `${branch}:d0/f0`)).toBe(`by ${index}`);
  }
  // All of them rewrite packed-refs.
  const archives = tasks.slice(0, 4).map((input) => startChild({ dataDir, method: 'archive', input }).outcome);
  await Promise.all([...tasks.slice(2).map((task) => vcs.archive(task)), ...archives]);
  expect(git(root, 'for-each-ref', 'refs/heads/task')).toBe('');
  expect(git(root, 'for-each-ref', 'refs/muster/archive').split('\n')).toHaveLength(12);
  expect(begun.filter(({ worktreePath }) => existsSync(worktreePath))).toEqual([]);
  expect(usersView(root)).toBe(before);
});

test('the same work is committed and archived by several at a time, once', async () => {
  const { vcs, root, task, start, folder } = setUpWork(repos, { files });
  const { baseCommit, branch } = await start();
  writeFiles(folder, { new: 'x\n' });
  const input = { ...task, baseCommit, message: 'Work', author, committer };
  const heads = await Promise.all(Array.from({ length: 5 }, () => vcs.commit(input)));
  expect(new Set(heads.map(({ headCommit }) => headCommit)).size).toBe(1);
  expect(git(root, 'rev-list', '--count', `${baseCommit}..${branch}`)).toBe('1');
  const archived = await Promise.all(Array.from({ length: 5 }, () => vcs.archive(task)));
  expect(archived).toEqual(Array.from({ length: 5 }, () => ({ headCommit: heads[0]?.headCommit })));
});

test('commits of the agent go on while Muster looks at them and commits', async () => {
  const { vcs, root, task, start, folder } = setUpWork(repos, { files });
  const { baseCommit, branch } = await start();
  const input = { ...task, baseCommit, message: 'Work', author, committer };
  for (let round = 0; round < 5; round += 1) {
    writeFiles(folder, { [`by muster ${round}`]: 'x\n' });
    const committing = vcs.commit(input);
    const looking = vcs.diff({ ...task, baseCommit, headCommit: undefined });
    // Where Muster holds the index, git refuses, as it does for any two commands at a time; the agent tries again.
    for (;;) {
      try {
        git(folder, 'commit', '--quiet', '--allow-empty', `--message=Own ${round}`);
        break;
      } catch (error) {
        expect(String(error)).toMatch(/index\.lock|cannot lock ref/);
        await Promise.race([committing, looking]);
      }
    }
    await Promise.all([committing, looking]);
  }
  const subjects = git(root, 'log', '--format=%s', `${baseCommit}..${branch}`).split('\n');
  expect(subjects.filter((subject) => subject.startsWith('Own')).sort()).toEqual(
    [0, 1, 2, 3, 4].map((n) => `Own ${n}`),
  );
  await vcs.commit(input);
  expect(git(root, 'ls-tree', '--name-only', branch).match(/by muster/g)).toHaveLength(5);
  expect(git(folder, 'status', '--porcelain')).toBe('');
});
