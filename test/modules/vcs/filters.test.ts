import { readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { setUpWork } from './support/work.js';

const repos = useGitRepos();

describe('work is committed', () => {
  test.each([
    ['lfs', '.'],
    ['git-crypt', 'a'],
    ['crypt', 'a/ü'],
  ])('what belongs through the filter %s, named in %s, only once the agent has had it filtered', async (filter, at) => {
    const { start, commit, root, folder, branch } = setUpWork(repos, {
      files: { [`${at}/.gitattributes`]: `*.bin filter=${filter}\n`, 'a/ü/é.bin': 'old' },
    });
    const { baseCommit } = await start();
    git(root, 'config', `filter.${filter}.clean`, 'tr a-z n-za-m');
    writeFiles(folder, { 'a/ü/é.bin': 'changed', 'a/ü/new.bin': 'secret', 'a/plain': 'plain' });
    const before = readFileSync(path.join(root, '.git/worktrees', path.basename(folder), 'index'));
    await expect(commit(baseCommit)).rejects.toMatchObject({
      kind: 'conflict',
      details: { filter, filtered: ['a/ü/é.bin', 'a/ü/new.bin'] },
    });
    expect(git(root, 'rev-parse', branch)).toBe(baseCommit);
    expect(readFileSync(path.join(root, '.git/worktrees', path.basename(folder), 'index'))).toEqual(before);
    git(folder, 'add', 'a/ü');
    await commit(baseCommit);
    const textOf = (name: string): string => git(root, 'show', `${branch}:${name}`);
    expect(['a/ü/é.bin', 'a/ü/new.bin', 'a/plain'].map(textOf)).toEqual(['punatrq', 'frperg', 'plain']);
    expect(git(folder, 'status', '--porcelain')).toBe('');
  });

  describe('with a file that was staged in the second in which it was written,', () => {
    const second = Math.floor(Date.now() / 1000) + 1000;

    async function setUpStaged() {
      const work = setUpWork(repos, { files: { '.gitattributes': '*.bin filter=lfs\n', 'old.bin': 'old' } });
      const { task, root, folder, branch, start } = work;
      const { baseCommit } = await start();
      git(root, 'config', 'filter.lfs.clean', 'tr a-z n-za-m');
      const age = (file: string, ms: number): void => utimesSync(file, second, second + ms / 1000);
      for (const name of ['old.bin', 'new.bin']) {
        writeFiles(folder, { [name]: 'secret' });
        age(path.join(folder, name), 100);
      }
      git(folder, 'add', 'old.bin', 'new.bin');
      const ageIndex = (ms: number): void => age(path.join(root, '.git/worktrees', task.taskId, 'index'), ms);
      const textOf = (name: string): string => git(root, 'show', `${branch}:${name}`);
      return { ...work, baseCommit, ageIndex, textOf };
    }

    test('that as it was staged, once and again', async () => {
      const { vcs, task, commit, folder, baseCommit, ageIndex, textOf } = await setUpStaged();
      ageIndex(200);
      writeFiles(folder, { plain: '1' });
      const first = await commit(baseCommit);
      expect(['old.bin', 'new.bin', 'plain'].map(textOf)).toEqual(['frperg', 'frperg', '1']);
      ageIndex(200);
      const tree = git(folder, 'rev-parse', `${first}^{tree}`);
      expect(await vcs.compare({ ...task, headCommit: first, headTree: tree })).toMatchObject({ changed: [] });
      writeFiles(folder, { plain: 'two' });
      ageIndex(200);
      await commit(baseCommit);
      expect(['old.bin', 'new.bin', 'plain'].map(textOf)).toEqual(['frperg', 'frperg', 'two']);
    });

    test('nothing when it is all as the branch has it', async () => {
      const { commit, folder, root, task, baseCommit, ageIndex } = await setUpStaged();
      git(folder, 'commit', '--quiet', '--message', 'By the agent');
      ageIndex(200);
      const index = path.join(root, '.git/worktrees', task.taskId, 'index');
      expect(await commit(baseCommit)).toBe(git(folder, 'rev-parse', 'HEAD'));
      expect(git(folder, 'log', '-1', '--format=%s')).toBe('By the agent');
      expect(statSync(index).mtimeMs).toBeLessThanOrEqual(second * 1000 + 200);
    });

    test('not when it was written again, or never staged', async () => {
      const { commit, folder, baseCommit, ageIndex } = await setUpStaged();
      ageIndex(50);
      await expect(commit(baseCommit)).rejects.toMatchObject({ details: { filtered: ['new.bin', 'old.bin'] } });
      ageIndex(200);
      writeFiles(folder, { 'new.bin': 'longer than before', 'other.bin': 'never staged' });
      for (const name of ['new.bin', 'other.bin']) utimesSync(path.join(folder, name), second, second + 0.1);
      await expect(commit(baseCommit)).rejects.toMatchObject({ details: { filtered: ['new.bin', 'other.bin'] } });
    });
  });

  test('what another filter is for, as it is', async () => {
    const { start, commit, root, folder, branch } = setUpWork(repos, {
      files: { '.gitattributes': '* filter=tidy -diff\n' },
    });
    const { baseCommit } = await start();
    git(root, 'config', 'filter.tidy.clean', 'tr a-z n-za-m');
    writeFiles(folder, { new: 'as it is' });
    await commit(baseCommit);
    expect(git(root, 'show', `${branch}:new`)).toBe('as it is');
  });

  test('and compared where the agent has taken the index away', async () => {
    const { vcs, task, start, commit, root, folder } = setUpWork(repos, {
      files: { '.gitattributes': '* filter=tidy\n' },
    });
    const { baseCommit } = await start();
    writeFiles(folder, { new: 'as it is' });
    const headCommit = await commit(baseCommit);
    const headTree = git(root, 'rev-parse', `${headCommit}^{tree}`);
    rmSync(path.join(root, '.git/worktrees', task.taskId, 'index'));
    expect(await vcs.compare({ ...task, headCommit, headTree })).toMatchObject({ changed: [] });
  });
});
