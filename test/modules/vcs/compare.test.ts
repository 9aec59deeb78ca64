import {
  appendFileSync,
  chmodSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { attributes, makeHostile, makeHostileNested } from './support/hostile.js';
import { author, committer, loggingGit, setUpWork, usersView, type Work, type WorkOptions } from './support/work.js';

const repos = useGitRepos();
const files = { a: 'a\n', b: 'b\n', 'd/c': 'c\n', '.gitignore': 'ignored\n' };

interface Submission extends Work {
  readonly headCommit: string;
  readonly baseCommit: string;
  /** The paths that have changed since, as they are told. */
  changed(): Promise<readonly string[]>;
  compare: Work['vcs']['compare'] extends (input: never) => infer R ? () => R : never;
}

/** Work that has been submitted: `a` was changed, and `new` added. */
async function submit(options: WorkOptions = {}): Promise<Submission> {
  const work = setUpWork(repos, { files, ...options });
  const { vcs, task, folder } = work;
  const { baseCommit } = await work.start();
  writeFiles(folder, { a: 'changed\n', new: 'x\n', ignored: 'x\n' });
  const made = await vcs.commit({ ...task, baseCommit, message: 'Work', author, committer });
  await made.kept;
  const submitted = { headCommit: made.headCommit, headTree: await made.headTree };
  const compare = () => vcs.compare({ ...task, ...submitted });
  return {
    ...work,
    baseCommit,
    headCommit: submitted.headCommit,
    compare,
    changed: async () => (await compare()).changed,
  };
}

describe('a work tree is what was submitted', () => {
  const same: readonly (readonly [name: string, change: (folder: string) => void])[] = [
    ['when nothing has happened', () => undefined],
    ['when a file was touched', (folder) => utimesSync(path.join(folder, 'a'), 1, 1)],
    ['when a file was written anew', (folder) => writeFiles(folder, { b: 'b\n' })],
    ['when ignored files were changed', (folder) => writeFiles(folder, { ignored: 'y\n', 'd/ignored': 'y\n' })],
    ['when a folder of nothing was made', (folder) => writeFiles(folder, { 'e/ignored': '' })],
    [
      'when what was staged is undone in the files',
      (folder) => {
        writeFiles(folder, { a: 'other\n' });
        git(folder, 'add', 'a');
        writeFiles(folder, { a: 'changed\n' });
      },
    ],
    [
      'when a file is only untracked, and would be tracked again',
      (folder) => git(folder, 'rm', '--cached', '--quiet', 'b'),
    ],
    ['when the index is gone', (folder) => rmSync(path.join(gitDirOf(folder), 'index'))],
    ['when a file is not to be looked at', (folder) => git(folder, 'update-index', '--assume-unchanged', 'a')],
    [
      'when a file is not there because it is not wanted',
      (folder) => {
        git(folder, 'update-index', '--skip-worktree', 'b');
        rmSync(path.join(folder, 'b'));
      },
    ],
    [
      'when a merge is to be concluded that changed nothing',
      (folder) => {
        const from = git(folder, 'rev-parse', 'HEAD');
        const other = git(folder, 'commit-tree', '-p', `${from}~`, '-m', 'Other', `${from}~^{tree}`);
        git(folder, 'merge', '--quiet', '--no-commit', '--strategy=ours', other);
      },
    ],
    [
      'when a merge is settled in the files that git has not been told of',
      (folder) => {
        git(folder, 'checkout', '--quiet', '-b', 'other', 'HEAD~');
        commitOther(folder, 'a');
        git(folder, 'checkout', '--quiet', '-');
        expect(() => git(folder, 'merge', 'other')).toThrow('failed');
        writeFiles(folder, { a: 'changed\n' });
      },
    ],
    ['when HEAD is where the branch is', (folder) => git(folder, 'checkout', '--quiet', '--detach')],
  ];
  test.each(same)('%s', async (_name, change) => {
    const { folder, root, headCommit, compare } = await submit();
    change(folder);
    const before = stateOf(root, folder);
    expect(await compare()).toEqual({ branchHead: headCommit, changed: [], changedCount: 0 });
    expect(stateOf(root, folder)).toEqual(before);
  });

  test('when the branch has moved on to the same files, which is told', async () => {
    const { folder, headCommit, compare } = await submit();
    git(folder, 'commit', '--quiet', '--amend', '--message=Other words');
    const amended = git(folder, 'rev-parse', 'HEAD');
    expect(amended).not.toBe(headCommit);
    expect(await compare()).toEqual({ branchHead: amended, changed: [], changedCount: 0 });
    writeFiles(folder, { b: 'other\n' });
    git(folder, 'commit', '--quiet', '--all', '--message=Once more');
    writeFiles(folder, { b: 'b\n' });
    expect(await compare()).toEqual({ branchHead: git(folder, 'rev-parse', 'HEAD'), changed: [], changedCount: 0 });
  });
});

describe('a work tree is told from what was submitted', () => {
  const different: readonly (readonly [name: string, change: (folder: string) => void, ...changed: string[]])[] = [
    ['by a changed file', (folder) => writeFiles(folder, { 'd/c': 'other\n' }), 'd/c'],
    ['by one of the same size, changed at once', (folder) => writeFiles(folder, { a: 'CHANGED\n' }), 'a'],
    ['by a deleted file', (folder) => rmSync(path.join(folder, 'b')), 'b'],
    ['by a new file', (folder) => writeFiles(folder, { 'e/f': 'x\n', 'd/n': '' }), 'd/n', 'e/f'],
    ['by a mode', (folder) => chmodSync(path.join(folder, 'b'), 0o755), 'b'],
    [
      'by another type',
      (folder) => {
        rmSync(path.join(folder, 'b'));
        symlinkSync('a', path.join(folder, 'b'));
      },
      'b',
    ],
    [
      'by a file where a folder was, and the other way round',
      (folder) => {
        rmSync(path.join(folder, 'd'), { recursive: true });
        rmSync(path.join(folder, 'b'));
        writeFiles(folder, { d: 'x\n', 'b/x': 'x\n' });
      },
      ...['b', 'b/x', 'd', 'd/c'],
    ],
    [
      'by a renamed file, under both names',
      (folder) => renameSync(path.join(folder, 'b'), path.join(folder, 'renamed')),
      ...['b', 'renamed'],
    ],
    [
      'by what is staged',
      (folder) => {
        writeFiles(folder, { b: 'other\n' });
        git(folder, 'add', 'b');
      },
      'b',
    ],
    [
      'by what is staged, one of which is undone in the files',
      (folder) => {
        writeFiles(folder, { a: 'other\n', b: 'other\n' });
        git(folder, 'add', '--all');
        writeFiles(folder, { a: 'changed\n' });
      },
      'b',
    ],
    [
      'by an ignored file that is tracked all the same',
      (folder) => git(folder, 'add', '--force', 'ignored'),
      'ignored',
    ],
    [
      'by a file that is no longer tracked, and ignored now',
      (folder) => {
        git(folder, 'rm', '--cached', '--quiet', 'b');
        appendFileSync(path.join(gitDirOf(folder), '../../info/exclude'), 'b\n');
      },
      'b',
    ],
    [
      'by a change that git was told not to look at',
      (folder) => {
        git(folder, 'update-index', '--assume-unchanged', 'a');
        git(folder, 'update-index', '--skip-worktree', 'b');
        writeFiles(folder, { a: 'hidden\n', b: 'hidden\n' });
      },
      ...['a', 'b'],
    ],
    ['by a commit on top', (folder) => commitOther(folder, 'b'), 'b'],
    [
      'by a commit on top, and more',
      (folder) => {
        commitOther(folder, 'b');
        writeFiles(folder, { new: 'other\n' });
      },
      ...['b', 'new'],
    ],
    ['by another branch', (folder) => git(folder, 'checkout', '--quiet', '-b', 'other', 'HEAD~'), 'a', 'new'],
    [
      'by a merge that was begun',
      (folder) => {
        git(folder, 'checkout', '--quiet', '-b', 'other', 'HEAD~');
        commitOther(folder, 'a');
        git(folder, 'checkout', '--quiet', '-');
        expect(() => git(folder, 'merge', 'other')).toThrow('failed');
      },
      'a',
    ],
    ['by a repository within', (folder) => git(folder, 'init', '--quiet', 'nested'), 'nested/'],
    ['by names of all kinds', (folder) => writeFiles(folder, { 'ä "b"\n': '', '-rf': '' }), '-rf', 'ä "b"\n'],
  ];
  test.each(different.map(([name, change, ...changed]) => ({ name, change, changed })))(
    '$name',
    async ({ change, changed }) => {
      const { folder, root, branch, compare } = await submit();
      change(folder);
      const before = stateOf(root, folder);
      const branchHead = git(root, 'rev-parse', branch);
      expect(await compare()).toEqual({ branchHead, changed, changedCount: changed.length });
      expect(stateOf(root, folder)).toEqual(before);
    },
  );

  test('by its first 20 paths, and their number', async () => {
    const { folder, compare } = await submit();
    const names = Array.from({ length: 30 }, (_, index) => `n${index + 10}`);
    writeFiles(folder, Object.fromEntries(names.map((name) => [name, ''])));
    expect(await compare()).toMatchObject({ changed: names.slice(0, 20), changedCount: 30 });
  });

  test('where the branch is gone', async () => {
    const { folder, root, branch, compare } = await submit();
    git(root, 'update-ref', '-d', `refs/heads/${branch}`);
    writeFiles(folder, { b: 'other\n' });
    expect(await compare()).toEqual({ branchHead: undefined, changed: ['b'], changedCount: 1 });
  });
});

describe('there is no comparison', () => {
  test.each<readonly [string, (folder: string) => void]>([
    ['the work tree is gone', (folder) => rmSync(folder, { recursive: true })],
    [
      'it is a link',
      (folder) => {
        renameSync(folder, `${folder}-away`);
        symlinkSync(`${folder}-away`, folder);
      },
    ],
    ['it does not say whose it is', (folder) => rmSync(path.join(folder, '.git'))],
    ['it says that it is of another', (folder) => writeFileSync(path.join(folder, '.git'), 'gitdir: /nowhere\n')],
    [
      'it is a repository of its own',
      (folder) => {
        rmSync(path.join(folder, '.git'));
        git(folder, 'init', '--quiet');
      },
    ],
    ['the repository does not know it', (folder) => rmSync(gitDirOf(folder), { recursive: true })],
    ['its HEAD is nothing', (folder) => writeFileSync(path.join(gitDirOf(folder), 'HEAD'), 'nothing\n')],
  ])('where %s', async (_name, change) => {
    const { folder, compare } = await submit();
    change(folder);
    await expect(compare()).rejects.toMatchObject({ kind: 'conflict', details: { worktree: folder } });
  });

  test('when nobody waits for it any more', async () => {
    const { vcs, task, headCommit, root } = await submit();
    const headTree = git(root, 'rev-parse', `${headCommit}^{tree}`);
    const comparison = vcs.compare({ ...task, headCommit, headTree, signal: AbortSignal.abort() });
    await expect(comparison).rejects.toMatchObject({ kind: 'canceled' });
  });
});

test('a link that git itself has made relative is one', async () => {
  const { folder, changed } = await submit();
  writeFileSync(path.join(folder, '.git'), `gitdir: ${path.relative(folder, gitDirOf(folder))}\n`);
  expect(await changed()).toEqual([]);
});

test.each(['the short', 'the long'])('nothing that a repository names is run on %s way', async (way) => {
  const { folder, root, changed } = await submit({ files: { ...attributes, 'a.txt': 'a\n' } });
  const proofs = repos.folder();
  if (way === 'the long') git(folder, 'update-index', '--assume-unchanged', 'a');
  const ran = makeHostile(root, path.join(proofs, 'proofs'));
  writeFileSync(path.join(gitDirOf(folder), 'config.worktree'), `[core]\n\tfsmonitor = touch ${proofs}/own\n`);
  makeHostileNested(path.join(folder, 'sub'), proofs);
  rmSync(path.join(proofs, 'nested fsmonitor'), { force: true });
  rmSync(path.join(proofs, 'nested clean'), { force: true });
  writeFiles(folder, { 'a.txt': 'changed\n', 'd/.gitattributes': '* filter=evil diff=evil\n' });
  expect(await changed()).toEqual(['a.txt', 'd/.gitattributes', 'sub/']);
  expect([ran(), readdirSync(proofs)]).toEqual([[], ['proofs']]);
});

test('two processes of git do for it', async () => {
  const { program, calls } = loggingGit(repos);
  const { folder, changed } = await submit({ program });
  calls();
  expect(await changed()).toEqual([]);
  expect([...calls()].sort()).toEqual(['ls-files', 'status']);
  writeFiles(folder, { b: 'other\n' });
  expect(await changed()).toEqual(['b']);
  expect([...calls()].sort()).toEqual(['ls-files', 'status']);
});

function commitOther(folder: string, name: string): void {
  writeFiles(folder, { [name]: 'of another\n' });
  git(folder, 'add', name);
  git(folder, 'commit', '--quiet', '--message=Other');
}

/** Where git keeps what it knows of a work tree. */
function gitDirOf(folder: string): string {
  return git(folder, 'rev-parse', '--absolute-git-dir');
}

/** All that a comparison must leave as it is. */
function stateOf(root: string, folder: string): readonly unknown[] {
  const gitDir = path.join(root, '.git/worktrees', path.basename(folder));
  return [
    usersView(root),
    git(root, 'for-each-ref'),
    readdirSync(path.join(root, '.git'), { recursive: true, encoding: 'utf8' }).sort(),
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort(),
    readdirSync(gitDir).map((name) => [name, readIfFile(path.join(gitDir, name))]),
  ];
}

function readIfFile(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
