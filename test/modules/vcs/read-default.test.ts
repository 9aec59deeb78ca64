import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Files, git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { attributes, makeHostile } from './support/hostile.js';
import { loggingGit, setUpWork, usersView, type WorkOptions } from './support/work.js';

const repos = useGitRepos();
const file = '.muster/gates.toml';

function setUp(files: Files, options: WorkOptions = {}) {
  const work = setUpWork(repos, { files, ...options });
  const { vcs, task, root } = work;
  return {
    ...work,
    read: (maxBytes = 1000, name = file) => vcs.readDefault({ repo: task.repo, path: name, maxBytes }),
    commit(): string {
      git(root, 'add', '--all');
      git(root, 'commit', '--quiet', '--message=Next');
      return git(root, 'rev-parse', 'HEAD');
    },
  };
}

describe('a file of the default branch', () => {
  test('is read as it is at its tip', async () => {
    const text = '\ufeffä = "\u{1f4a5}"\r\n\0';
    const { read, root, commit } = setUp({ [file]: text, '.muster/a': 'a', '.muster/z/a': 'z' });
    const before = usersView(root);
    const first = git(root, 'rev-parse', 'main');
    expect(await read()).toEqual({ commit: first, text: text.slice(1) });
    expect(usersView(root)).toBe(before);
    writeFiles(root, { [file]: '' });
    // Not yet committed.
    expect((await read())?.commit).toBe(first);
    const second = commit();
    expect(await read()).toEqual({ text: '', commit: second });
    git(root, 'pack-refs', '--all');
    git(root, 'repack', '-adq');
    expect(await read(0)).toEqual({ text: '', commit: second });
  });

  test('is not what any other branch has, checked out or a task of it', async () => {
    const { read, root, commit, vcs, task, folder } = setUp({ a: 'a\n' });
    const main = git(root, 'rev-parse', 'main');
    git(root, 'checkout', '--quiet', '-b', 'other');
    writeFiles(root, { [file]: 'other\n' });
    commit();
    await vcs.prepare({ ...task, base: 'other' });
    writeFiles(folder, { [file]: 'mine\n' });
    expect(await read()).toEqual({ commit: main, text: undefined });
  });

  test('is read by names of one and of many folders', async () => {
    const { read } = setUp({ top: 'top\n', 'a/b/c/d e': 'deep\n', 'a/b/top': '' });
    expect(await read(10, 'top')).toMatchObject({ text: 'top\n' });
    expect(await read(10, 'a/b/c/d e')).toMatchObject({ text: 'deep\n' });
    for (const name of ['a/c', 'b', 'a/b/c/d', 'a/top'])
      expect(await read(10, name)).toMatchObject({ text: undefined });
  });

  test('may be on a branch that stands for another', async () => {
    const { read, root } = setUp({ [file]: 'x\n' });
    git(root, 'branch', '--move', 'trunk');
    git(root, 'symbolic-ref', 'refs/heads/main', 'refs/heads/trunk');
    expect(await read()).toEqual({ commit: git(root, 'rev-parse', 'trunk'), text: 'x\n' });
  });

  test('is nowhere where there is no commit', async () => {
    expect(await setUp({}).read()).toBe(undefined);
  });

  test('is not what another commit has in its place', async () => {
    const { read, root, commit } = setUp({ [file]: 'x\n' });
    const first = git(root, 'rev-parse', 'HEAD');
    writeFiles(root, { [file]: 'y\n' });
    const second = commit();
    git(root, 'replace', second, first);
    expect(await read()).toEqual({ commit: second, text: 'y\n' });
  });

  test('is read in a repository of SHA-256', async () => {
    const { read, root } = setUp({});
    git(root, 'init', '--quiet', '--object-format=sha256', '--initial-branch=main', path.join(root, 'new'));
    const { vcs, task } = setUpWork(repos);
    const repo = { ...task.repo, path: path.join(root, 'new') };
    writeFiles(repo.path, { [file]: 'x\n', '.muster/a': '', z: '' });
    git(repo.path, 'add', '--all');
    git(repo.path, 'commit', '--quiet', '--message=First');
    const { commit, text } = (await vcs.readDefault({ repo, path: file, maxBytes: 10 })) ?? {};
    expect([commit?.length, text]).toEqual([64, 'x\n']);
    expect(await read()).toBe(undefined);
  });
});

describe('there is nothing to read, which is said of file and commit', () => {
  test.each<readonly [string, Files, ((root: string) => void) | undefined, RegExp]>([
    ['a symbolic link', { real: 'x\n' }, (root) => symlinkSync('../real', path.join(root, file)), /is a symbolic link/],
    ['a folder', { [`${file}/x`]: '' }, undefined, /is a folder/],
    ['a submodule', { a: '' }, (root) => addSubmodule(root, file), /is a submodule/],
    [
      'behind a symbolic link',
      { 'real/gates.toml': 'x\n' },
      (root) => symlinkSync('real', path.join(root, '.muster')),
      /is behind \.muster, which is a symbolic link/,
    ],
    ['behind a file', { '.muster': 'x\n' }, undefined, /is behind \.muster, which is a plain file/],
    [
      'behind a submodule',
      { a: '' },
      (root) => addSubmodule(root, '.muster'),
      /is behind \.muster, which is a submodule/,
    ],
    ['too large', { [file]: 'x'.repeat(1001) }, undefined, /has 1001 bytes; 1000 are allowed/],
    ['far too large', { [file]: 'x'.repeat(20_000_000) }, undefined, /has 20000000 bytes; 1000 are allowed/],
    ['no text', { [file]: Buffer.from([0x61, 0xff]) }, undefined, /is no text in UTF-8/],
  ])('%s', async (name, files, change, why) => {
    const { read, root, commit } = setUp({ ...files, ...(name === 'a symbolic link' && { '.muster/x': '' }) });
    change?.(root);
    const at = change === undefined ? git(root, 'rev-parse', 'HEAD') : commitIndex(root, commit);
    await expect(read()).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringMatching(why) as string,
      details: { path: file, commit: at },
    });
    await expect(read()).rejects.toThrow(`The file ${file} of commit ${at} `);
  });

  test.each(['', '/a', '../a', 'a/../b', './a', 'a//b', 'a/', 'a\nb', 'a\0b', '..', '.'])('at %j', async (name) => {
    await expect(setUp({ a: '' }).read(10, name)).rejects.toThrow('no path of a file');
  });
});

test('nothing that a repository names is run, and no attribute has a say', async () => {
  const { read, root } = setUp({ ...attributes, '.muster/.gitattributes': '* -text export-ignore\n', [file]: 'x\n' });
  const ran = makeHostile(root, path.join(repos.folder(), 'proofs'));
  expect(await read()).toMatchObject({ text: 'x\n' });
  expect(ran()).toEqual([]);
});

test('one process of git does for it', async () => {
  const { program, calls } = loggingGit(repos);
  const { read } = setUp({ [file]: 'x\n' }, { program });
  // The first use of a repository reads its configuration.
  await read();
  calls();
  await read();
  expect(calls()).toEqual(['cat-file']);
});

function addSubmodule(root: string, name: string): void {
  git(root, 'update-index', '--add', '--cacheinfo', `160000,${git(root, 'rev-parse', 'HEAD')},${name}`);
}

/** A submodule is in the index alone. */
function commitIndex(root: string, commit: () => string): string {
  if (!/^160000/m.test(git(root, 'ls-files', '--stage'))) return commit();
  git(root, 'commit', '--quiet', '--message=Submodule');
  return git(root, 'rev-parse', 'HEAD');
}
