import { chmodSync, copyFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { readLooseTree } from '../../../src/platform/git/objects.js';
import { git, useGitRepos } from '../../support/git-repos.js';

const repos = useGitRepos();

test('the tree of a commit is read where it is a file that is what its name says, and nowhere else', async () => {
  const root = repos.repo();
  const gitDir = path.join(root, '.git');
  const [commit, tree, blob] = ['HEAD', 'HEAD^{tree}', 'HEAD:README.md'].map((name) => git(root, 'rev-parse', name));
  const fileOf = (name: string): string => path.join(gitDir, 'objects', name.slice(0, 2), name.slice(2));
  const read = (name = ''): Promise<string | undefined> => readLooseTree(gitDir, name);
  expect(await read(commit)).toBe(tree);
  expect([await read(tree), await read(blob), await read('0'.repeat(40))]).toEqual([undefined, undefined, undefined]);

  git(root, 'commit', '--quiet', '--allow-empty', '--message=Second');
  const second = git(root, 'rev-parse', 'HEAD');
  expect(await read(second)).toBe(tree);
  chmodSync(fileOf(second), 0o600);
  copyFileSync(fileOf(commit ?? ''), fileOf(second));
  expect(await read(second)).toBe(undefined);
  writeFileSync(fileOf(second), 'no object');
  expect(await read(second)).toBe(undefined);
  rmSync(fileOf(second));
  git(root, 'update-ref', 'refs/heads/main', commit ?? '');
  git(root, 'repack', '--quiet', '-a', '-d');
  expect(await read(commit)).toBe(undefined);
});

test('a repository of SHA-256 is read, too', async () => {
  const root = repos.folder();
  git(root, 'init', '--quiet', '--object-format=sha256');
  git(root, 'commit', '--quiet', '--allow-empty', '--message=First');
  const [commit = '', tree] = ['HEAD', 'HEAD^{tree}'].map((name) => git(root, 'rev-parse', name));
  expect(commit).toHaveLength(64);
  expect(await readLooseTree(path.join(root, '.git'), commit)).toBe(tree);
});
