import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { attributes, makeHostile, makeHostileNested } from './support/hostile.js';
import { setUpWork } from './support/work.js';

const repos = useGitRepos();

describe('a hostile configuration', () => {
  const files = { ...attributes, 'a.txt': 'a\n', 'b.proc': 'b\n' };

  test('runs programs for whoever uses git in the repository', () => {
    const root = repos.repo(files);
    const ran = makeHostile(root, path.join(repos.folder(), 'proofs'));
    writeFiles(root, { 'a.txt': 'b\n' });
    const commands = [
      'status',
      'add a.txt',
      'diff --cached 4b825dc642cb6eb9a060e54bf8d69288fbee4904',
      'show HEAD',
      'checkout -- .',
      'commit -m x',
    ];
    const runAll = (): void => {
      for (const command of commands) {
        try {
          git(root, ...command.split(' '));
        } catch {
          // Most of these programs are no use to git.
        }
      }
    };
    runAll();
    // Git gives up where such a filter does not answer.
    git(root, 'config', '--remove-section', 'filter.process');
    runAll();
    const some = ['diff driver', 'hook post-index-change', 'included clean', 'smudge', 'textconv', 'worktree config'];
    expect(ran()).toEqual(expect.arrayContaining(some));
  });

  test('runs nothing for Muster, whatever it does', async () => {
    const work = setUpWork(repos, { files });
    const { vcs, task, start, commit, root, folder } = work;
    const proofs = path.join(repos.folder(), 'proofs');
    const ran = makeHostile(root, proofs);
    const { baseCommit } = await start();
    // The agent has been at the work tree's own configuration, too.
    writeFileSync(
      path.join(root, '.git/worktrees', task.taskId, 'config.worktree'),
      `[core]\n\tfsmonitor = touch ${proofs}/own\n`,
    );
    writeFiles(folder, {
      'a.txt': 'changed\n',
      'new.proc': 'x\n',
      'sub/.gitattributes': '* filter=evil diff=evil\n',
      'sub/x': 'x\n',
    });
    const before = await vcs.diff({ ...task, baseCommit, headCommit: undefined });
    expect(before.files.map((file) => file.path)).toEqual(['a.txt', 'new.proc', 'sub/.gitattributes', 'sub/x']);
    const headCommit = await commit(baseCommit);
    expect(await vcs.diff({ ...task, baseCommit, headCommit })).toEqual(before);
    await vcs.prepare({ ...work.another(), base: `task/${task.taskId}` });
    await vcs.archive(task);
    expect(ran()).toEqual([]);
  });

  test('runs nothing where a submodule, or a repository within, has it', async () => {
    const { vcs, task, start, commit, folder, root } = setUpWork(repos, { files: { a: 'a\n' } });
    const { baseCommit } = await start();
    const proofs = repos.folder();
    makeHostileNested(path.join(folder, 'sub'), proofs);
    const nested = git(path.join(folder, 'sub'), '-c', 'core.fsmonitor=false', 'rev-parse', 'HEAD');
    rmSync(path.join(proofs, 'nested fsmonitor'), { force: true });
    rmSync(path.join(proofs, 'nested clean'), { force: true });
    git(folder, '-c', 'diff.ignoreSubmodules=all', 'update-index', '--add', '--cacheinfo', `160000,${nested},sub`);
    writeFiles(folder, { '.gitmodules': '[submodule "sub"]\n\tpath = sub\n\turl = x\n\tignore = none\n' });
    expect((await vcs.diff({ ...task, baseCommit, headCommit: undefined })).files).toHaveLength(2);
    await commit(baseCommit);
    expect(git(root, 'ls-tree', '--object-only', `task/${task.taskId}`, 'sub')).toBe(nested);
    // Its HEAD has moved on.
    git(path.join(folder, 'sub'), '-c', 'core.fsmonitor=false', 'commit', '--quiet', '--allow-empty', '--message=On');
    rmSync(path.join(proofs, 'nested fsmonitor'), { force: true });
    rmSync(path.join(proofs, 'nested clean'), { force: true });
    await commit(baseCommit);
    expect(git(root, 'ls-tree', '--object-only', `task/${task.taskId}`, 'sub')).not.toBe(nested);
    await vcs.archive(task);
    expect(readdirSync(proofs)).toEqual([]);
  });

  test('hides nothing from whoever reviews', async () => {
    const { vcs, task, start, commit, folder, root } = setUpWork(repos, { files: { a: 'a\n' } });
    const { baseCommit } = await start();
    writeFiles(folder, { '.gitattributes': '* -diff\n', a: 'evil\n' });
    const found = await vcs.diff({ ...task, baseCommit, headCommit: undefined });
    expect(found.unified).toContain('+evil');
    const headCommit = await commit(baseCommit);
    // What would have git show another commit in its place.
    git(root, 'replace', headCommit, baseCommit);
    expect(await vcs.diff({ ...task, baseCommit, headCommit })).toEqual(found);
  });
});

describe('what lies outside', () => {
  test('is neither read nor written nor deleted through symbolic links', async () => {
    const { vcs, task, start, commit, folder, root } = setUpWork(repos, { files: { 'd/a': 'a\n', 'e/b': 'b\n' } });
    const outside = repos.folder();
    writeFiles(outside, { a: 'secret\n', 'deep/x': 'x\n' });
    const { baseCommit } = await start();
    rmSync(path.join(folder, 'd'), { recursive: true });
    symlinkSync(outside, path.join(folder, 'd'));
    symlinkSync('/etc/passwd', path.join(folder, 'passwd'));
    mkdirSync(path.join(folder, 'ignored'));
    writeFiles(folder, { '.gitignore': 'ignored\n' });
    symlinkSync(outside, path.join(folder, 'ignored/link'));
    const { unified } = await vcs.diff({ ...task, baseCommit, headCommit: undefined });
    expect(unified).not.toMatch(/secret|root:/);
    const headCommit = await commit(baseCommit);
    expect(git(root, 'ls-tree', '-r', '--name-only', headCommit)).toBe('.gitignore\nd\ne/b\npasswd');
    expect(git(root, 'cat-file', '-p', `${headCommit}:d`)).toBe(outside);
    // A second one has them checked out.
    const { worktreePath } = await vcs.prepare({
      repo: task.repo,
      taskId: task.taskId.replace(/.$/, (last) => (last === '0' ? '1' : '0')),
      base: headCommit,
    });
    expect(lstatSync(path.join(worktreePath, 'd')).isSymbolicLink()).toBe(true);
    await vcs.archive(task);
    expect(readFileSync(path.join(outside, 'a'), 'utf8')).toBe('secret\n');
    expect(existsSync(path.join(outside, 'deep/x'))).toBe(true);
  });

  test('is left alone when the work tree itself becomes a link', async () => {
    const { vcs, task, start, commit, folder } = setUpWork(repos);
    const { baseCommit } = await start();
    const outside = repos.folder();
    writeFiles(outside, { keep: 'x' });
    rmSync(folder, { recursive: true });
    symlinkSync(outside, folder);
    await expect(commit(baseCommit)).rejects.toMatchObject({ kind: 'conflict' });
    await expect(vcs.diff({ ...task, baseCommit, headCommit: undefined })).rejects.toMatchObject({ kind: 'conflict' });
    await expect(vcs.prepare({ ...task, base: baseCommit })).rejects.toMatchObject({ kind: 'conflict' });
    await vcs.archive(task);
    expect(lstatSync(folder, { throwIfNoEntry: false })).toBe(undefined);
    expect(readdirSync(outside)).toEqual(['keep']);
  });

  test('is left alone when what git knows of the work tree is changed', async () => {
    const { vcs, task, start, root, folder } = setUpWork(repos);
    await start();
    const outside = repos.repo();
    writeFileSync(path.join(root, '.git/worktrees', task.taskId, 'gitdir'), `${outside}/.git\n`);
    await expect(start()).rejects.toMatchObject({ kind: 'conflict' });
    await vcs.archive(task);
    expect(existsSync(path.join(outside, '.git/HEAD'))).toBe(true);
    expect(existsSync(folder)).toBe(false);
  });

  test.each(['refs/heads/task', 'refs/muster', 'worktrees', 'logs', 'objects', 'muster-modules'])(
    'is not written to when .git/%s leads there',
    async (name) => {
      const { start, root } = setUpWork(repos);
      const outside = repos.folder();
      rmSync(path.join(root, '.git', name), { recursive: true, force: true });
      symlinkSync(outside, path.join(root, '.git', name));
      await expect(start()).rejects.toMatchObject({ kind: 'conflict' });
      expect(readdirSync(outside)).toEqual([]);
    },
  );

  test.each(['../evil', '.git/hooks/post-checkout', '..', '.git', 'a/../../evil', '.GIT/config'])(
    'is not written to by a commit that has a file %j',
    async (name) => {
      const { vcs, task, root, dataDir } = setUpWork(repos);
      const blob = git(root, 'hash-object', '-w', 'README.md');
      const entry = Buffer.concat([Buffer.from(`100644 ${name}\0`), Buffer.from(blob, 'hex')]);
      writeFileSync(path.join(root, 'tree'), entry);
      const tree = git(root, 'hash-object', '-t', 'tree', '-w', '--literally', 'tree');
      const base = git(root, 'commit-tree', '-m', 'Evil', tree);
      await expect(vcs.prepare({ ...task, base })).rejects.toMatchObject({
        kind: 'conflict',
        message: expect.stringContaining('cannot be checked out') as string,
      });
      const places = readdirSync(dataDir, { recursive: true, encoding: 'utf8' });
      expect(places.filter((place) => /evil|hooks|post-checkout/.test(place))).toEqual([]);
      expect(readdirSync(path.join(dataDir, 'worktrees', task.repo.id))).toEqual([]);
    },
  );
});

test('names of all kinds are committed as they are', async () => {
  const { start, commit, folder, root, branch } = setUpWork(repos, { files: { a: 'a\n' } });
  const { baseCommit } = await start();
  const names = ['-rf', '--', '--help', '...', ' ', 'a\nb', 'a\tb', '*', '[x]', ':!x', 'CON', 'ünïcödé', '日本', '💥'];
  writeFiles(folder, Object.fromEntries(names.map((name) => [name, `${name}\n`])));
  const latin = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x63, 0xe9])]);
  writeFileSync(latin, 'no UTF-8\n');
  const long = Array.from({ length: 15 }, () => 'x'.repeat(240)).join('/');
  writeFiles(folder, { [long]: 'long\n' });
  await commit(baseCommit);
  const listed = git(root, 'ls-tree', '-r', '-z', '--name-only', branch).split('\0');
  for (const name of [...names, long]) expect(listed).toContain(name);
  expect(listed).toContain('c\uFFFD');
  expect(git(folder, 'status', '--porcelain')).toBe('');
});

test('a folder deeper than paths can be long, and one that cannot be written into, are removed', async () => {
  const { vcs, task, start, folder } = setUpWork(repos);
  await start();
  const script = `
    process.chdir(process.argv[1]);
    for (let depth = 0; depth < 30; depth += 1) {
      fs.mkdirSync('x'.repeat(200));
      process.chdir('x'.repeat(200));
    }
    fs.writeFileSync('file', '');`;
  execFileSync(process.execPath, ['--eval', script, folder]);
  execFileSync('sh', [
    '-c',
    'cd "$1" && mkdir -p closed/in && echo x > closed/in/file && chmod -R a-w closed',
    'sh',
    folder,
  ]);
  await vcs.archive(task);
  expect(readdirSync(path.dirname(folder))).toEqual([]);
});
