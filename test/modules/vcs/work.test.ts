import { existsSync, readFileSync, rmSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { author, committer, setUpWork, usersView } from './support/work.js';

const repos = useGitRepos();
const person = '%an <%ae> %cn <%ce> %s';

describe('a task is begun', () => {
  test('on a branch and in a work tree of its own, at the head of the default branch', async () => {
    const { start, root, folder, branch } = setUpWork(repos, { files: { 'a.txt': 'a\n', 'd/b.txt': 'b\n' } });
    const before = usersView(root);
    const main = git(root, 'rev-parse', 'main');
    expect(await start()).toEqual({ branch, baseCommit: main, headCommit: main, worktreePath: folder });
    expect(git(folder, 'status', '--porcelain=v2', '--branch')).toBe(`# branch.oid ${main}\n# branch.head ${branch}`);
    expect(readFileSync(path.join(folder, 'd/b.txt'), 'utf8')).toBe('b\n');
    const list = git(root, 'worktree', 'list', '--porcelain');
    expect(list).toContain(`worktree ${folder}\nHEAD ${main}\nbranch refs/heads/${branch}\n`);
    expect(git(root, 'worktree', 'prune', '--verbose')).toBe('');
    expect(usersView(root)).toBe(before);
  });

  test('once more, which changes nothing', async () => {
    const { start, vcs, task, folder, root } = setUpWork(repos);
    const first = await start();
    writeFiles(folder, { 'README.md': 'Changed\n', new: 'x' });
    git(root, 'commit', '--quiet', '--allow-empty', '--message=Meanwhile');
    expect(await vcs.prepare({ ...task, base: first.baseCommit })).toEqual(first);
    expect(git(folder, 'status', '--porcelain')).toBe(' M README.md\n?? new');
  });

  test.each(['main', 'release/1.0', 'v1', 'v1-annotated', 'commit'])('at %s', async (base) => {
    const { vcs, task, root } = setUpWork(repos);
    git(root, 'branch', 'release/1.0');
    git(root, 'tag', 'v1');
    git(root, 'tag', '--annotate', '--message=One', 'v1-annotated');
    git(root, 'pack-refs', '--all');
    const first = git(root, 'rev-parse', 'HEAD');
    git(root, 'commit', '--quiet', '--allow-empty', '--message=Second');
    const { baseCommit } = await vcs.prepare({ ...task, base: base === 'commit' ? first : base });
    expect(baseCommit).toBe(base === 'main' ? git(root, 'rev-parse', 'HEAD') : first);
  });

  test.each([
    'none',
    '0123456789abcdef0123456789abcdef01234567',
    '--all',
    'HEAD',
    ':/First',
    'main:README.md',
    'main~1',
    '',
  ])('not at %j', async (base) => {
    const { vcs, task, root, dataDir } = setUpWork(repos);
    const before = usersView(root);
    await expect(vcs.prepare({ ...task, base })).rejects.toMatchObject({
      kind: 'invalid_request',
      details: { field: 'base' },
    });
    expect(await vcs.head(task)).toBe(undefined);
    expect(existsSync(path.join(dataDir, 'worktrees', task.repo.id))).toBe(false);
    expect(usersView(root)).toBe(before);
  });

  test('where its base was last, or not at all', async () => {
    const { vcs, task, root, another } = setUpWork(repos);
    const lastSeen = git(root, 'rev-parse', 'main');
    expect(await vcs.prepare({ ...task, base: 'gone', lastSeen })).toMatchObject({ baseCommit: lastSeen });
    const lost = '0123456789abcdef0123456789abcdef01234567';
    await expect(vcs.prepare({ ...another(), base: 'gone', lastSeen: lost })).rejects.toMatchObject({
      kind: 'conflict',
      details: { base_commit: lost },
    });
  });

  test('not where there is no commit yet', async () => {
    const { start, root } = setUpWork(repos, { files: {} });
    await expect(start()).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('has no commit yet') as string,
      details: { path: root, default_branch: 'main' },
    });
  });

  test.each(['checked out', 'beside a detached HEAD', 'without a commit'])(
    'not where the default branch is gone, and there is another one %s',
    async (how) => {
      const { start, root } = setUpWork(repos, { files: how === 'without a commit' ? {} : { a: 'a' } });
      git(root, 'branch', '--move', 'main', 'trunk');
      if (how === 'beside a detached HEAD') git(root, 'checkout', '--quiet', '--detach');
      await expect(start()).rejects.toMatchObject({
        kind: 'conflict',
        message: `The repository ${root} has no branch 'main', at which tasks begin; set its default_branch to another one.`,
        details: { path: root, default_branch: 'main' },
      });
    },
  );

  test('at a default branch that stands for another, and never on a branch that does', async () => {
    const { start, commit, task, vcs, root, folder, branch } = setUpWork(repos);
    git(root, 'branch', '--move', 'trunk');
    git(root, 'symbolic-ref', 'refs/heads/main', 'refs/heads/trunk');
    const trunk = git(root, 'rev-parse', 'trunk');
    const { baseCommit } = await start();
    expect(baseCommit).toBe(trunk);
    git(root, 'update-ref', '-d', `refs/heads/${branch}`);
    git(root, 'symbolic-ref', `refs/heads/${branch}`, 'refs/heads/trunk');
    writeFiles(folder, { new: 'x' });
    await expect(commit(baseCommit)).rejects.toMatchObject({ kind: 'conflict' });
    await expect(vcs.prepare({ ...task, base: baseCommit })).rejects.toMatchObject({
      kind: 'conflict',
      details: { branch },
    });
    expect(await vcs.archive(task)).toEqual({ headCommit: undefined });
    expect(git(root, 'rev-parse', 'trunk')).toBe(trunk);
  });

  test('not beside a branch that is in its way', async () => {
    const { start, root } = setUpWork(repos);
    git(root, 'branch', 'task');
    await expect(start()).rejects.toMatchObject({ kind: 'conflict', details: { branch: 'task' } });
  });

  test('not on a branch that has begun elsewhere, unless nobody has been told of it', async () => {
    const { vcs, task, start, commit, root, folder } = setUpWork(repos);
    const { baseCommit } = await start();
    writeFiles(folder, { new: 'x' });
    const left = await commit(baseCommit);
    git(root, 'checkout', '--quiet', '--orphan', 'elsewhere');
    git(root, 'commit', '--quiet', '--message=Elsewhere');
    const again = { ...task, base: 'elsewhere' };
    await expect(vcs.prepare(again)).rejects.toMatchObject({ kind: 'conflict', details: { head: left } });
    const base = git(root, 'rev-parse', 'elsewhere');
    expect(await vcs.prepare({ ...again, fresh: true })).toMatchObject({ baseCommit: base, headCommit: base });
    expect(existsSync(path.join(folder, 'new'))).toBe(false);
    // Nothing that was committed is lost.
    expect(git(root, 'rev-parse', `refs/muster/archive/${task.taskId}`)).toBe(left);
  });

  test('with what is missing made again, and what there is left alone', async () => {
    const { vcs, task, start, commit, folder, root, branch, dataDir } = setUpWork(repos);
    const { baseCommit } = await start();
    writeFiles(folder, { done: 'x' });
    const headCommit = await commit(baseCommit);
    const again = () => vcs.prepare({ ...task, base: baseCommit });
    const known = path.join(root, '.git/worktrees', task.taskId);

    // What git knows of it, as `git worktree prune` takes away where the files were out of reach.
    writeFiles(folder, { 'not-yet': 'y' });
    rmSync(known, { recursive: true });
    expect(await again()).toMatchObject({ baseCommit, headCommit });
    expect(git(folder, 'status', '--porcelain')).toBe('?? not-yet');
    // The link to it.
    unlinkSync(path.join(folder, '.git'));
    await again();
    expect(git(folder, 'status', '--porcelain')).toBe('?? not-yet');
    // The files.
    rmSync(folder, { recursive: true });
    await again();
    expect(git(folder, 'status', '--porcelain')).toBe('');
    expect(readFileSync(path.join(folder, 'done'), 'utf8')).toBe('x');
    // The data directory.
    rmSync(dataDir, { recursive: true });
    await again();
    expect(readFileSync(path.join(folder, 'done'), 'utf8')).toBe('x');
    expect(existsSync(path.join(dataDir, '.gitignore'))).toBe(true);
    // All of it, and the branch.
    rmSync(folder, { recursive: true });
    rmSync(known, { recursive: true });
    git(root, 'branch', '--quiet', '--delete', '--force', branch);
    expect(await again()).toMatchObject({ headCommit: baseCommit });
    expect(git(folder, 'status', '--porcelain')).toBe('');
  });

  test('within the work tree of somebody who never sees it', async () => {
    const outer = repos.repo();
    const { start, folder } = setUpWork({ ...repos, folder: () => outer });
    await start();
    expect(folder.startsWith(outer)).toBe(true);
    expect(git(outer, 'status', '--porcelain')).toBe('');
    expect(git(folder, 'status', '--porcelain')).toBe('');
  });

  test.each(['with spaces', 'ünïcödé – 日本', 'quote"s $HOME `id`;:', '-leading', 'new\nline', 'colon:name'])(
    'in a repository in %j',
    async (name) => {
      const { vcs, task, start, commit, folder, root } = setUpWork(repos, { name });
      const { baseCommit } = await start();
      writeFiles(folder, { new: 'x\n' });
      expect((await vcs.diff({ ...task, baseCommit, headCommit: undefined })).files).toMatchObject([{ path: 'new' }]);
      const head = await commit(baseCommit);
      expect(git(folder, 'log', '--format=%H', '-1')).toBe(head);
      expect(await vcs.archive(task)).toEqual({ headCommit: head });
      expect(git(root, 'status', '--porcelain')).toBe('');
    },
  );

  test('in a repository that hashes by SHA-256', async () => {
    const work = setUpWork(repos, { files: {} });
    rmSync(path.join(work.root, '.git'), { recursive: true });
    git(work.root, 'init', '--quiet', '--object-format=sha256', '--initial-branch=main');
    git(work.root, 'commit', '--quiet', '--allow-empty', '--message=First');
    const { baseCommit } = await work.start();
    expect(baseCommit).toHaveLength(64);
    writeFiles(work.folder, { new: 'x\n' });
    expect(await work.commit(baseCommit)).toHaveLength(64);
    expect(git(work.folder, 'status', '--porcelain')).toBe('');
  });

  test('in a shallow clone, and in one that borrows its objects', async () => {
    const origin = repos.repo();
    for (let count = 0; count < 3; count += 1) git(origin, 'commit', '--quiet', '--allow-empty', '--message=More');
    for (const from of [
      ['--depth=1', `file://${origin}`],
      ['--shared', origin],
    ]) {
      const work = setUpWork(repos, { files: {} });
      rmSync(work.root, { recursive: true });
      git(origin, 'clone', '--quiet', ...from, work.root);
      const { baseCommit } = await work.start();
      writeFiles(work.folder, { new: 'x\n' });
      const head = await work.commit(baseCommit);
      expect(git(work.folder, 'log', '--format=%H', '-2')).toBe(`${head}\n${baseCommit}`);
    }
  });
});

describe('a task of a partial clone', () => {
  test('cannot begin before the rest of it is fetched', async () => {
    const { root: source } = setUpWork(repos);
    git(source, 'config', 'uploadpack.allowFilter', 'true');
    git(source, 'config', 'uploadpack.allowAnySHA1InWant', 'true');
    const { start, root, folder } = setUpWork(repos);
    rmSync(root, { recursive: true });
    git(path.dirname(root), 'clone', '--quiet', '--no-checkout', '--filter=blob:none', `file://${source}`, root);
    await expect(start()).rejects.toMatchObject({ kind: 'conflict', message: expect.stringContaining('--refetch') });
    git(root, 'fetch', '--quiet', '--refetch', '--no-filter');
    await start();
    expect(existsSync(path.join(folder, 'README.md'))).toBe(true);
  });
});

describe('work is committed', () => {
  test('all of it, staged or not, by whom it says', async () => {
    const files = {
      changed: 'a\n',
      staged: 'a\n',
      both: 'a\n',
      gone: 'a\n',
      moved: 'moved\n',
      '.gitignore': 'ignored\n',
    };
    const { start, vcs, task, root, folder, branch } = setUpWork(repos, { files });
    const before = usersView(root);
    const { baseCommit } = await start();
    writeFiles(folder, {
      changed: 'b\n',
      staged: 'b\n',
      both: 'b\n',
      new: 'x\n',
      ignored: 'x',
      'deep/new': 'y\n',
      '-n': '',
    });
    git(folder, 'add', 'staged', 'both');
    writeFiles(folder, { both: 'c\n' });
    git(folder, 'mv', 'moved', 'elsewhere');
    rmSync(path.join(folder, 'gone'));
    const message = 'What was done\n\nAnd why: # no comment\n';
    const { headCommit } = await vcs.commit({ ...task, baseCommit, message, author, committer });
    expect(git(root, 'rev-parse', branch, `${branch}^`)).toBe(`${headCommit}\n${baseCommit}`);
    expect(git(root, 'log', '-1', `--format=${person}%n%b`, branch)).toBe(
      'An Agent <agent@example.org> Muster <muster@example.org> What was done\nAnd why: # no comment\n',
    );
    expect(git(root, 'diff', '--name-status', '--no-renames', baseCommit, headCommit).split('\n').sort()).toEqual([
      ...['A\t-n', 'A\tdeep/new', 'A\telsewhere', 'A\tnew'],
      ...['D\tgone', 'D\tmoved', 'M\tboth', 'M\tchanged', 'M\tstaged'],
    ]);
    expect(git(folder, 'status', '--porcelain', '--ignored')).toBe('!! ignored');
    expect(git(root, 'show', `${branch}:both`)).toBe('c');
    expect(usersView(root)).toBe(before);
  });

  test('on top of what the agent has committed, which is enough by itself', async () => {
    const { start, commit, vcs, task, root, folder, branch } = setUpWork(repos);
    const { baseCommit } = await start();
    writeFiles(folder, { one: '1' });
    git(folder, 'add', '.');
    git(folder, 'commit', '--quiet', '--message=Own');
    const own = git(folder, 'rev-parse', 'HEAD');
    expect(await commit(baseCommit)).toBe(own);
    writeFiles(folder, { two: '2' });
    const head = await commit(baseCommit);
    expect(git(root, 'log', '--format=%H', branch)).toBe([head, own, baseCommit].join('\n'));
    // Again: there is nothing more. That it has been packed meanwhile makes no difference.
    git(root, 'repack', '--quiet', '-a', '-d');
    const input = { ...task, baseCommit, message: 'Nothing', author, committer };
    const { headCommit, headTree, kept } = await vcs.commit(input);
    expect([headCommit, await headTree]).toEqual([head, git(root, 'rev-parse', `${head}^{tree}`)]);
    await kept;
    expect(git(root, 'for-each-ref', '--format=%(objectname)', 'refs/muster/submitted').split('\n')).toContain(head);
  });

  test('not when there is nothing, unless that is allowed', async () => {
    const { start, vcs, task, commit, folder, branch } = setUpWork(repos);
    const { baseCommit } = await start();
    // Touched, and changed to and fro, in the index and beside it.
    writeFiles(folder, { 'README.md': 'Other\n' });
    git(folder, 'add', '.');
    writeFiles(folder, { 'README.md': 'Hello\n' });
    await expect(commit(baseCommit)).rejects.toMatchObject({ kind: 'nothing_to_submit', details: { branch } });
    const allowed = { ...task, baseCommit, message: 'Nothing', author, committer, allowEmpty: true };
    expect(await vcs.commit(allowed)).toMatchObject({ headCommit: baseCommit });
  });

  test('also what was changed within the second in which it was staged', async () => {
    const { start, commit, folder, root, branch, task, vcs } = setUpWork(repos);
    const { baseCommit } = await start();
    const [file, index] = [path.join(folder, 'file'), path.join(root, '.git/worktrees', task.taskId, 'index')];
    const past = new Date('2026-01-01T00:00:00Z');
    const write = (text: string): number => {
      writeFileSync(file, text);
      utimesSync(file, past, past);
      return Math.floor(statSync(file).ctimeMs / 1000);
    };
    // Until both are within one second, by what git looks at.
    for (let [first, second] = [0, 1]; first !== second;) {
      first = write('staged\n');
      git(folder, 'add', 'file');
      second = write('change\n');
    }
    utimesSync(index, past, past);
    const { unified } = await vcs.diff({ ...task, baseCommit, headCommit: undefined });
    expect(unified).toContain('+change');
    await commit(baseCommit);
    expect(git(root, 'show', `${branch}:file`)).toBe('change');
  });

  test('with a merge that the agent has not concluded', async () => {
    const { start, commit, root, folder } = setUpWork(repos, { files: { a: '1\n' } });
    const { baseCommit } = await start();
    writeFiles(root, { a: '2\n' });
    git(root, 'commit', '--quiet', '--all', '--message=Main');
    writeFiles(folder, { a: '3\n' });
    const own = await commit(baseCommit);
    expect(() => git(folder, 'merge', 'main')).toThrow(/CONFLICT|failed/);
    writeFiles(folder, { a: '2 and 3\n' });
    const head = await commit(baseCommit);
    expect(git(folder, 'rev-parse', `${head}^1`, `${head}^2`)).toBe(`${own}\n${git(root, 'rev-parse', 'main')}`);
    expect(git(folder, 'status', '--porcelain=v2')).toBe('');
  });

  test.each<[why: string, spoil: (folder: string) => void, message: RegExp]>([
    ['another branch is checked out', (folder) => git(folder, 'checkout', '--quiet', '-b', 'other'), / is on other; /],
    ['none is', (folder) => git(folder, 'checkout', '--quiet', '--detach'), / is on a detached HEAD \(\w{12}\); /],
    [
      'there is a repository in it',
      (folder) => git(folder, 'init', '--quiet', 'sub'),
      /^sub\/ is a repository of its own/,
    ],
    [
      'it is gone',
      (folder) => rmSync(folder, { recursive: true }),
      / is not there\. Set the task to Pending and start it: /,
    ],
  ])('not when %s', async (_why, spoil, message) => {
    const { start, commit, folder, vcs, task } = setUpWork(repos);
    const { baseCommit } = await start();
    writeFiles(folder, { new: 'x', 'sub/x': 'x' });
    spoil(folder);
    const status = existsSync(folder) && git(folder, 'status', '--porcelain=v2', '--branch');
    await expect(commit(baseCommit)).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringMatching(message) as string,
    });
    expect(await vcs.head(task)).toBe(baseCommit);
    expect(existsSync(folder) && git(folder, 'status', '--porcelain=v2', '--branch')).toBe(status);
  });

  test.each<[field: string, what: string, input: object]>([
    ['message', 'says nothing', { message: ' \n' }],
    ['message', 'has a NUL', { message: 'a\0b' }],
    ['message', 'is too long', { message: 'x'.repeat(65_537) }],
    ['author.name', 'is no name', { author: { name: '<>', email: 'a@b' } }],
    ['author.name', 'has two lines', { author: { name: 'a\nb', email: 'a@b' } }],
    ['author.email', 'has a space', { author: { name: 'a', email: 'a b' } }],
    ['committer.name', 'is empty', { committer: { name: '', email: 'a@b' } }],
  ])('not when its %s %s', async (field, _what, input) => {
    const { start, vcs, task, folder } = setUpWork(repos);
    const { baseCommit } = await start();
    writeFiles(folder, { new: 'x' });
    await expect(vcs.commit({ ...task, baseCommit, message: 'm', author, committer, ...input })).rejects.toMatchObject({
      kind: 'invalid_request',
      details: { field },
    });
    expect(await vcs.head(task)).toBe(baseCommit);
  });
});

describe('a task is archived', () => {
  test('with what was committed while no branch was checked out', async () => {
    const { vcs, task, start, root, folder } = setUpWork(repos);
    const { baseCommit } = await start();
    git(folder, 'checkout', '--quiet', '--detach');
    git(folder, 'commit', '--quiet', '--allow-empty', '--message=On no branch');
    const commit = git(folder, 'rev-parse', 'HEAD');
    expect(await vcs.archive(task)).toEqual({ headCommit: baseCommit });
    expect(git(root, 'for-each-ref', '--format=%(refname)', '--points-at', commit)).toBe(
      `refs/muster/submitted/${commit}`,
    );
  });

  test('with its work tree and branch gone, and what was committed kept', async () => {
    const { start, commit, vcs, task, root, dataDir, folder } = setUpWork(repos);
    const before = usersView(root);
    const { baseCommit } = await start();
    writeFiles(folder, { new: 'x' });
    const head = await commit(baseCommit);
    git(root, 'pack-refs', '--all');
    expect(await vcs.archive(task)).toEqual({ headCommit: head });
    expect(existsSync(folder)).toBe(false);
    expect(existsSync(path.join(root, '.git/worktrees', task.taskId))).toBe(false);
    expect(git(root, 'for-each-ref', 'refs/heads/task')).toBe('');
    git(root, 'reflog', 'expire', '--expire=now', '--all');
    git(root, 'gc', '--quiet', '--prune=now');
    expect(git(root, 'log', '--format=%H', head)).toBe(`${head}\n${baseCommit}`);
    expect(git(root, 'worktree', 'prune', '--verbose')).toBe('');
    expect(usersView(root)).toBe(before);
    // Again, and one that was never begun.
    expect(await vcs.archive(task)).toEqual({ headCommit: head });
    expect(
      await vcs.archive({ ...task, taskId: task.taskId.replace(/.$/, (last) => (last === '0' ? '1' : '0')) }),
    ).toEqual({ headCommit: undefined });
    expect(existsSync(path.join(dataDir, 'worktrees'))).toBe(true);
  });
});
