import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { useBuiltServer } from '../../support/built-server.js';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { startChild } from './support/child.js';
import { author, committer, setUpWork, usersView, type Work } from './support/work.js';

const repos = useGitRepos();
useBuiltServer();

/** What is on its way to or from its place, or locks something. */
function leftovers({ root, dataDir }: Work): readonly string[] {
  return [path.join(root, '.git'), path.join(dataDir, 'worktrees'), path.join(dataDir, 'git')]
    .flatMap((place) => (existsSync(place) ? readdirSync(place, { recursive: true, encoding: 'utf8' }) : []))
    .filter((name) => /\.(?:new|gone)-\d|\.lock$|muster-/.test(name));
}

const someFiles = { a: 'a\n', 'd/b': 'b\n' };

describe('kill -9 at each step', () => {
  test('of a start: the next one makes it whole', async () => {
    const work = setUpWork(repos, { files: someFiles });
    const { vcs, root, dataDir, another } = work;
    const before = usersView(root);
    for (let step = 1; ; step += 1) {
      const task = another();
      const { signal } = await startChild({ dataDir, method: 'prepare', input: task, dieAt: step }).outcome;
      const { worktreePath, baseCommit, headCommit } = await vcs.prepare({ ...task, fresh: true });
      expect(headCommit).toBe(baseCommit);
      expect(git(worktreePath, 'status', '--porcelain=v2', '--branch')).toBe(
        `# branch.oid ${baseCommit}\n# branch.head task/${task.taskId}`,
      );
      expect(readFileSync(path.join(worktreePath, 'd/b'), 'utf8')).toBe('b\n');
      expect(git(root, 'worktree', 'list', '--porcelain')).toContain(`worktree ${worktreePath}\n`);
      if (signal === null) {
        expect(step).toBeGreaterThan(10);
        break;
      }
    }
    await work.start();
    expect(leftovers(work)).toEqual([]);
    expect(usersView(root)).toBe(before);
  });

  test('of a commit: the next one commits all of it, once', async () => {
    const work = setUpWork(repos, { files: someFiles });
    const { vcs, root, dataDir, another } = work;
    const before = usersView(root);
    for (let step = 1; ; step += 1) {
      const task = another();
      const { worktreePath, baseCommit } = await vcs.prepare(task);
      writeFiles(worktreePath, { a: 'changed\n', new: 'n\n' });
      git(worktreePath, 'add', 'new');
      const input = { ...task, baseCommit, message: 'Work', author, committer };
      const { signal } = await startChild({ dataDir, method: 'commit', input, dieAt: step }).outcome;
      const { headCommit } = await vcs.commit(input);
      expect(git(root, 'log', '--format=%H %s', `task/${task.taskId}`)).toBe(`${headCommit} Work\n${baseCommit} First`);
      expect(git(root, 'ls-tree', '-r', '--name-only', headCommit)).toBe('a\nd/b\nnew');
      expect(git(worktreePath, 'status', '--porcelain')).toBe('');
      if (signal === null) {
        expect(step).toBeGreaterThan(8);
        break;
      }
    }
    expect(leftovers(work)).toEqual([]);
    expect(usersView(root)).toBe(before);
  });

  test('of an archive: the next one removes the rest, and no commit is lost', async () => {
    const work = setUpWork(repos, { files: someFiles });
    const { vcs, root, dataDir, another } = work;
    const before = usersView(root);
    for (let step = 1; ; step += 1) {
      const task = another();
      const { worktreePath, baseCommit } = await vcs.prepare(task);
      writeFiles(worktreePath, { new: 'n\n' });
      const { headCommit } = await vcs.commit({ ...task, baseCommit, message: 'Work', author, committer });
      const { signal } = await startChild({ dataDir, method: 'archive', input: task, dieAt: step }).outcome;
      expect(await vcs.archive(task)).toEqual({ headCommit });
      expect(existsSync(worktreePath)).toBe(false);
      expect(await vcs.head(task)).toBe(undefined);
      expect(git(root, 'rev-parse', `refs/muster/archive/${task.taskId}`)).toBe(headCommit);
      if (signal === null) {
        expect(step).toBeGreaterThan(4);
        break;
      }
    }
    expect(git(root, 'for-each-ref', 'refs/heads/task')).toBe('');
    expect(readdirSync(path.dirname(work.folder))).toEqual([]);
    expect(git(root, 'worktree', 'list', '--porcelain').match(/^worktree /gm)).toHaveLength(1);
    expect(leftovers(work)).toEqual([]);
    expect(usersView(root)).toBe(before);
  });
});

describe('a lock', () => {
  test('that a dead process of ours has left is taken over, and so is one that is older than any command', async () => {
    const { start, commit, root, task, folder } = setUpWork(repos);
    const { baseCommit } = await start();
    const lock = path.join(root, '.git/worktrees', task.taskId, 'index.lock');
    const { pid } = spawnSync('true');
    const leave = [
      () => symlinkSync(`muster-${pid}`, lock),
      () => {
        writeFileSync(lock, '');
        utimesSync(lock, new Date(0), new Date(0));
      },
    ];
    for (const [index, how] of leave.entries()) {
      writeFiles(folder, { [`file${index}`]: 'x' });
      how();
      await commit(baseCommit);
      expect(existsSync(lock)).toBe(false);
    }
  });

  test('that a git has left on the branch long ago is taken away, at each step', async () => {
    const { start, commit, vcs, root, task, branch, folder } = setUpWork(repos);
    const leave = (...names: readonly string[]): void => {
      for (const name of names) {
        const lock = path.join(root, '.git', `${name}.lock`);
        mkdirSync(path.dirname(lock), { recursive: true });
        writeFileSync(lock, '');
        utimesSync(lock, new Date(0), new Date(0));
      }
    };
    leave(`refs/heads/${branch}`);
    const { baseCommit } = await start();
    writeFiles(folder, { new: 'x' });
    leave(`refs/heads/${branch}`, `worktrees/${task.taskId}/HEAD`);
    const headCommit = await commit(baseCommit);
    expect(headCommit).not.toBe(baseCommit);
    leave(`refs/heads/${branch}`, `refs/muster/archive/${task.taskId}`);
    expect(await vcs.archive(task)).toEqual({ headCommit });
  });

  test('that somebody holds is waited for', async () => {
    const { start, commit, root, task, folder } = setUpWork(repos);
    const { baseCommit } = await start();
    writeFiles(folder, { new: 'x' });
    const lock = path.join(root, '.git/worktrees', task.taskId, 'index.lock');
    writeFileSync(lock, '');
    let ended = false;
    const committing = commit(baseCommit).finally(() => (ended = true));
    // It has no way on: the branch cannot have moved.
    expect(await Promise.race([committing, start().then(({ headCommit }) => headCommit)])).toBe(baseCommit);
    expect(ended).toBe(false);
    rmSync(lock);
    expect(await committing).not.toBe(baseCommit);
  });
});
