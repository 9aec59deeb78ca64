import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { useBuiltServer } from '../../support/built-server.js';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { letNobodyHave, startChild, takeFromNobody } from './support/child.js';
import { author, committer, setUpWork } from './support/work.js';

const repos = useGitRepos();
useBuiltServer();

describe('work is committed', () => {
  test.each<
    [what: string, clash: (write: (text: string) => void, remove: () => void) => [ours: () => void, theirs: () => void]]
  >([
    ['both have changed', (write) => [() => write('ours\n'), () => write('theirs\n')]],
    ['is no text', (write) => [() => write('\0ours'), () => write('\0theirs')]],
    ['ours has removed', (write, remove) => [remove, () => write('theirs\n')]],
    ['theirs has removed', (write, remove) => [() => write('ours\n'), remove]],
  ])('not with a conflict in a file that %s, until it is resolved', async (what, clash) => {
    const { start, commit, root, folder, branch } = setUpWork(repos, { files: { é: 'first\n', other: '1' } });
    const { baseCommit } = await start();
    const change = (place: string, how: 0 | 1): void => {
      clash(
        (text) => writeFiles(place, { é: text }),
        () => rmSync(path.join(place, 'é')),
      )[how]();
      git(place, 'add', '--all');
      git(place, 'commit', '--quiet', '--message=Change');
    };
    change(root, 1);
    change(folder, 0);
    const before = git(root, 'rev-parse', branch);
    expect(() => git(folder, 'merge', 'main')).toThrow(/CONFLICT|failed/);
    writeFiles(folder, { other: '2' });
    await expect(commit(baseCommit)).rejects.toMatchObject({ kind: 'conflict', details: { unmerged: ['é'] } });
    expect(git(root, 'rev-parse', branch)).toBe(before);
    if (what === 'both have changed') writeFiles(folder, { é: 'ours and theirs\n' });
    else git(folder, 'add', 'é');
    const head = await commit(baseCommit);
    expect(git(folder, 'rev-parse', `${head}^1`, `${head}^2`)).toBe(`${before}\n${git(root, 'rev-parse', 'main')}`);
    expect(git(folder, 'status', '--porcelain=v2')).toBe('');
  });

  test('with a file that a merge has left in conflict, and that is gone', async () => {
    const { start, commit, root, folder, branch } = setUpWork(repos, { files: { a: '1\n', b: '1' } });
    const { baseCommit } = await start();
    for (const place of [root, folder]) {
      writeFiles(place, { a: `${place}\n` });
      git(place, 'commit', '--quiet', '--all', '--message=Change');
    }
    expect(() => git(folder, 'merge', 'main')).toThrow(/CONFLICT|failed/);
    rmSync(path.join(folder, 'a'));
    await commit(baseCommit);
    expect(git(root, 'ls-tree', '--name-only', branch)).toBe('b');
  });

  describe('with what people have taken away but for the files', () => {
    test.each<[what: string, take: (root: string, branch: string, known: string) => void]>([
      ['the branch', (root, branch) => git(root, 'update-ref', '-d', `refs/heads/${branch}`)],
      ['what git knows of the work tree', (_root, _branch, known) => rmSync(known, { recursive: true })],
    ])('%s, on top of what was committed', async (_what, take) => {
      const { vcs, task, start, commit, root, folder, branch } = setUpWork(repos);
      const { baseCommit } = await start();
      writeFiles(folder, { first: '1' });
      const lastHead = await commit(baseCommit);
      writeFiles(folder, { second: '2' });
      take(root, branch, path.join(root, '.git/worktrees', task.taskId));
      const input = { ...task, baseCommit, lastHead, message: 'Second', author, committer };
      const { headCommit } = await vcs.commit(input);
      expect(git(root, 'log', '--format=%s', `${baseCommit}..${branch}`)).toBe('Second\nWork');
      expect(git(root, 'rev-parse', branch)).toBe(headCommit);
      expect(git(root, 'ls-tree', '--name-only', headCommit)).toBe('README.md\nfirst\nsecond');
      expect(git(folder, 'status', '--porcelain')).toBe('');
    });

    test('but not where that was is no longer known', async () => {
      const { vcs, task, start, root, folder, branch } = setUpWork(repos);
      const { baseCommit } = await start();
      writeFiles(folder, { new: '1' });
      git(root, 'update-ref', '-d', `refs/heads/${branch}`);
      const lastHead = '0123456789abcdef0123456789abcdef01234567';
      const input = { ...task, baseCommit, lastHead, message: 'Second', author, committer };
      await expect(vcs.commit(input)).rejects.toMatchObject({
        kind: 'conflict',
        details: { gone: `refs/heads/${branch}` },
      });
      // Who starts it again has it begin where it began.
      expect(await vcs.prepare({ ...task, base: baseCommit, lastHead })).toMatchObject({ headCommit: baseCommit });
      await vcs.commit({ ...input, lastHead: baseCommit });
      expect(git(root, 'ls-tree', '--name-only', branch)).toBe('README.md\nnew');
    });

    test('started again, where it was', async () => {
      const { vcs, task, start, commit, root, folder, branch } = setUpWork(repos);
      const { baseCommit } = await start();
      writeFiles(folder, { first: '1' });
      const lastHead = await commit(baseCommit);
      git(root, 'worktree', 'remove', folder);
      git(root, 'branch', '-D', branch);
      expect(await vcs.prepare({ ...task, base: baseCommit, lastHead })).toMatchObject({ headCommit: lastHead });
      expect(readFileSync(path.join(folder, 'first'), 'utf8')).toBe('1');
    });
  });

  test('not what cannot be read, which is said instead', async () => {
    const { start, task, dataDir, root, folder } = setUpWork(repos);
    const { baseCommit } = await start();
    writeFiles(folder, { 'closed/file': 'x', open: 'y' });
    const input = { ...task, baseCommit, message: 'Work', author, committer };
    const attempt = async (): Promise<string | undefined> => {
      const { outcome } = startChild({ dataDir, method: 'commit', input, asNobody: true });
      return (await outcome).result?.error;
    };
    const [closed, file] = [path.join(folder, 'closed'), path.join(folder, 'open')];
    letNobodyHave(root, dataDir);
    takeFromNobody(closed);
    expect(await attempt()).toMatch(/^AppError: The server may not read or write .*'closed\/': Permission denied/);
    letNobodyHave(closed);
    takeFromNobody(file);
    expect(await attempt()).toMatch(/^AppError: The server may not read or write .*"open".*: Permission denied/);
    letNobodyHave(file);
    takeFromNobody(path.join(root, '.git/worktrees', task.taskId));
    expect(await attempt()).toMatch(/^AppError: The server may not read or write .*EACCES: permission denied/);
  });
});
