import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { keepRef } from '../../../src/platform/git/index.js';
import { git, useGitRepos } from '../../support/git-repos.js';

const repos = useGitRepos();

function setUp() {
  const root = repos.repo();
  const commit = git(root, 'rev-parse', 'HEAD');
  const name = `refs/muster/submitted/${commit}`;
  const refs = () => git(root, 'for-each-ref', '--format=%(objectname) %(refname)', 'refs/muster').split('\n');
  return { root, gitDir: path.join(root, '.git'), commit, name, refs };
}

test('is a reference to git, however often it is made, and nothing else is left', async () => {
  const { root, gitDir, commit, name, refs } = setUp();
  const before = readdirSync(gitDir).sort();
  await Promise.all([1, 2, 3].map(() => keepRef(gitDir, name, commit)));
  await keepRef(gitDir, name, commit);
  expect(refs()).toEqual([`${commit} ${name}`]);
  expect(readdirSync(gitDir).sort()).toEqual(before);
  git(root, 'pack-refs', '--all');
  await keepRef(gitDir, name, commit);
  expect(refs()).toEqual([`${commit} ${name}`]);
});

test('others of a group that shares the repository may make more', async () => {
  const { gitDir, commit, name } = setUp();
  chmodSync(path.join(gitDir, 'refs'), 0o2775);
  await keepRef(gitDir, name, commit);
  for (const folder of ['refs/muster', 'refs/muster/submitted']) {
    expect((statSync(path.join(gitDir, folder)).mode & 0o7777).toString(8)).toBe('2775');
  }
});

test('takes the place of half a reference, as a loss of power may leave it', async () => {
  const { gitDir, commit, name, refs } = setUp();
  mkdirSync(path.join(gitDir, path.dirname(name)), { recursive: true });
  writeFileSync(path.join(gitDir, name), '');
  await keepRef(gitDir, name, commit);
  expect(refs()).toEqual([`${commit} ${name}`]);
});

test('what a dead process has left on its way there is swept up', async () => {
  const { gitDir, commit, name, refs } = setUp();
  // The pid of nobody: more than there can be.
  const left = path.join(gitDir, `muster-ref.new-${2 ** 30}-00000000-1`);
  writeFileSync(left, '');
  await keepRef(gitDir, name, commit);
  expect(refs()).toEqual([`${commit} ${name}`]);
  expect(readdirSync(gitDir).filter((file) => file.startsWith('muster-ref'))).toEqual([]);
});
