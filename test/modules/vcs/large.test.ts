import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { createVcs } from '../../../src/modules/vcs/index.js';
import { createGit } from '../../../src/platform/git/index.js';
import { useBuiltServer } from '../../support/built-server.js';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { until } from '../../support/until.js';
import { startChild } from './support/child.js';
import { author, committer, newId, setUpWork, type Work } from './support/work.js';

const repos = useGitRepos(quickPlace());
useBuiltServer();
const count = 20_000;

/** In memory where there is room for it: tens of thousands of files take long on some disks. */
function quickPlace(): string {
  const memory = '/dev/shm';
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize > 2 ** 31 ? memory : tmpdir();
}

/** A repository of many small files, made without a work tree of its own for speed. */
function setUpMany(): Work {
  const work = setUpWork(repos, { files: {} });
  const blobs = Array.from(
    { length: count },
    (_, index) => `M 100644 inline d${index % 200}/f${index}\ndata <<E\nfile ${index}\nE\n`,
  );
  const stream = `commit refs/heads/main\ncommitter A User <user@example.org> 0 +0000\ndata <<E\nMany\nE\n${blobs.join('')}\n`;
  execFileSync('git', ['-C', work.root, 'fast-import', '--quiet'], { input: stream });
  return work;
}

test(`a repository of ${count} files is begun, also behind a start that was killed in its midst, and committed`, async () => {
  const { vcs, task, root, dataDir, folder, branch } = setUpMany();
  const child = startChild({ dataDir, method: 'prepare', input: task });
  const parent = path.dirname(folder);
  await until('files are being checked out', () => {
    const building = existsSync(parent)
      ? readdirSync(parent).find((name) => /\.new-[\d\w-]+$/.test(name) && !/index/.test(name))
      : undefined;
    return building !== undefined && readdirSync(path.join(parent, building)).length > 5;
  });
  // Its git lives on, and goes on writing.
  child.kill();
  expect((await child.outcome).signal).toBe('SIGKILL');
  const { baseCommit } = await vcs.prepare({ ...task, fresh: true });
  expect(git(folder, 'status', '--porcelain')).toBe('');
  writeFiles(
    folder,
    Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`d${index}/f${index}`, 'changed\n'])),
  );
  const { headCommit } = await vcs.commit({ ...task, baseCommit, message: 'Many', author, committer });
  expect(git(root, 'ls-tree', '-r', '--name-only', headCommit).split('\n')).toHaveLength(count);
  const { files, truncated } = await vcs.diff({ ...task, baseCommit, headCommit });
  expect([files.length, truncated]).toEqual([200, false]);
  await vcs.archive(task);
  expect(git(root, 'for-each-ref', `refs/heads/${branch}`)).toBe('');
  await until('all of it is gone', async () => {
    await vcs.archive(task);
    return readdirSync(parent).length === 0;
  });
});

test('a file of 200 MB is committed, and no line of it shown', async () => {
  const { vcs, task, start, folder, root } = setUpWork(repos);
  const { baseCommit } = await start();
  const size = 200 * 1024 * 1024;
  writeFiles(folder, { 'large.bin': 'x\n', 'small.txt': 'y\n' });
  truncateSync(path.join(folder, 'large.bin'), size);
  const before = process.memoryUsage().rss;
  const { headCommit } = await vcs.commit({ ...task, baseCommit, message: 'Large', author, committer });
  const { files, unified } = await vcs.diff({ ...task, baseCommit, headCommit });
  expect(files).toMatchObject([
    { path: 'large.bin', binary: true, hunks: [] },
    { path: 'small.txt', binary: false, additions: 1 },
  ]);
  expect(unified.length).toBeLessThan(1000);
  expect(process.memoryUsage().rss - before).toBeLessThan(size / 2);
  expect(git(root, 'cat-file', '-s', `${headCommit}:large.bin`)).toBe(String(size));
  const { worktreePath } = await vcs.prepare({ ...task, taskId: newId('sub'), base: headCommit });
  expect(statSync(path.join(worktreePath, 'large.bin')).size).toBe(size);
});

/** A git that may write no file larger than so many blocks of 512 bytes: what it sees is what it sees on a full disk. */
function cramped(blocks: number): string {
  const program = path.join(repos.folder(), 'git');
  writeFileSync(program, `#!/bin/sh\ntrap '' XFSZ\nulimit -f ${blocks}\nexec git "$@"\n`);
  chmodSync(program, 0o755);
  return program;
}

describe('without room on the disk', () => {
  const big = { 'big.bin': Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7919) % 251)) };

  test('a start fails and leaves nothing half-made; with room, it comes to be', async () => {
    const { task, root, dataDir, vcs, folder } = setUpWork(repos, { files: big });
    const without = createVcs({ git: createGit({ program: cramped(64) }), dataDir });
    await expect(without.prepare(task)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(readdirSync(path.dirname(folder))).toEqual([]);
    expect(existsSync(path.join(root, '.git/worktrees', task.taskId))).toBe(false);
    await vcs.prepare(task);
    expect(git(folder, 'status', '--porcelain')).toBe('');
  });

  test('a commit fails and changes nothing; with room, it comes to be', async () => {
    const { task, dataDir, vcs, start, folder } = setUpWork(repos);
    const { baseCommit } = await start();
    writeFiles(folder, big);
    const status = git(folder, 'status', '--porcelain=v2', '--branch');
    const input = { ...task, baseCommit, message: 'Big', author, committer };
    const without = createVcs({ git: createGit({ program: cramped(1) }), dataDir });
    await expect(without.commit(input)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(git(folder, 'status', '--porcelain=v2', '--branch')).toBe(status);
    const { headCommit } = await vcs.commit(input);
    expect(headCommit).not.toBe(baseCommit);
    expect(git(folder, 'status', '--porcelain')).toBe('');
  });

  const mounts = canMount();
  test.skipIf(!mounts)(
    `the same on a file system that is full${mounts ? '' : ' (skipped: nothing can be mounted here)'}`,
    async () => {
      const work = setUpWork(repos, {
        files: { ...big, 'more.bin': Buffer.concat([big['big.bin'], Buffer.alloc(900_000, 'xyz')]) },
      });
      const small = path.join(work.dataDir, 'worktrees');
      mkdirSync(small, { recursive: true });
      mount(small);
      try {
        await expect(work.start()).rejects.toMatchObject({ kind: 'unavailable' });
        expect(readdirSync(path.dirname(work.folder))).toEqual([]);
      } finally {
        execFileSync('umount', [small]);
      }
      const { baseCommit } = await work.start();
      expect(git(work.folder, 'rev-parse', 'HEAD')).toBe(baseCommit);
    },
  );
});

function mount(folder: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', folder], { stdio: 'ignore' });
}

function canMount(): boolean {
  const folder = repos.folder();
  try {
    mount(folder);
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  }
}
