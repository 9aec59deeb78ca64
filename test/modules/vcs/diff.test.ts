import { chmodSync, readdirSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Diff } from '../../../src/modules/vcs/index.js';
import { type Files, git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { setUpWork, type Work } from './support/work.js';

const repos = useGitRepos();

function lines(count: number, from = 1): string {
  return Array.from({ length: count }, (_, index) => `line ${from + index}\n`).join('');
}

/** The difference before a commit, which has to be the same as after it. */
async function diffOf(work: Work, change: (folder: string) => void): Promise<Diff> {
  const { vcs, task, folder } = work;
  const { baseCommit } = await work.start();
  change(folder);
  const status = git(folder, 'status', '--porcelain=v2');
  const before = await vcs.diff({ ...task, baseCommit, headCommit: undefined });
  expect(git(folder, 'status', '--porcelain=v2')).toBe(status);
  const after = await vcs.diff({ ...task, baseCommit, headCommit: await work.commit(baseCommit) });
  expect(after).toEqual(before);
  return before;
}

function setUp(files: Files): Work {
  return setUpWork(repos, { files });
}

describe('a difference', () => {
  test('has hunks and lines, with what stands where', async () => {
    const text = `line 0\n${lines(20)}`;
    const diff = await diffOf(setUp({ 'a.txt': text }), (folder) =>
      writeFiles(folder, {
        'a.txt': text.replace('line 10\n', 'line ten\nand more\n').replace(/line 20\n$/, 'line 20'),
      }),
    );
    expect(diff.truncated).toBe(false);
    expect(diff.files).toMatchObject([
      { path: 'a.txt', status: 'Modified', binary: false, additions: 3, deletions: 2 },
    ]);
    expect(diff.files[0]?.hunks).toEqual([
      {
        ...{ oldStart: 8, oldLines: 7, newStart: 8, newLines: 8, header: 'line 6' },
        lines: [
          ...['line 7', 'line 8', 'line 9'].map((content) => ({ kind: 'Context', content })),
          { kind: 'Remove', content: 'line 10' },
          { kind: 'Add', content: 'line ten' },
          { kind: 'Add', content: 'and more' },
          ...['line 11', 'line 12', 'line 13'].map((content) => ({ kind: 'Context', content })),
        ],
      },
      {
        ...{ oldStart: 18, oldLines: 4, newStart: 19, newLines: 4, header: 'line 16' },
        lines: [
          ...['line 17', 'line 18', 'line 19'].map((content) => ({ kind: 'Context', content })),
          { kind: 'Remove', content: 'line 20' },
          { kind: 'Add', content: 'line 20' },
        ],
      },
    ]);
    expect(diff.unified).toMatch(/^diff --git a\/a\.txt b\/a\.txt\nindex /);
    expect(diff.unified).toMatch(/\n\\ No newline at end of file\n$/);
  });

  test('knows what was added, deleted, renamed, of another type or mode, or binary', async () => {
    const files = {
      gone: 'x\n',
      moved: lines(30),
      'moved and changed': lines(30, 100),
      link: 'x\n',
      run: '#!/bin/sh\n',
      bin: 'a\0b',
    };
    const { files: found } = await diffOf(setUp(files), (folder) => {
      rmSync(path.join(folder, 'gone'));
      git(folder, 'mv', 'moved', 'to-here');
      git(folder, 'mv', 'moved and changed', 'changed');
      unlinkSync(path.join(folder, 'link'));
      symlinkSync('/etc/passwd', path.join(folder, 'link'));
      chmodSync(path.join(folder, 'run'), 0o755);
      writeFiles(folder, {
        changed: lines(31, 100),
        bin: 'a\0c',
        'new/empty': '',
        'new/bin': Buffer.from([0, 1]),
        'new/text': 'new\n',
      });
    });
    expect(found.map(({ hunks, ...file }) => ({ ...file, hunks: hunks.length }))).toEqual([
      { path: 'bin', oldPath: undefined, status: 'Modified', binary: true, additions: 0, deletions: 0, hunks: 0 },
      {
        path: 'changed',
        oldPath: 'moved and changed',
        status: 'Renamed',
        binary: false,
        additions: 1,
        deletions: 0,
        hunks: 1,
      },
      { path: 'gone', oldPath: undefined, status: 'Deleted', binary: false, additions: 0, deletions: 1, hunks: 1 },
      { path: 'link', oldPath: undefined, status: 'TypeChanged', binary: false, additions: 1, deletions: 1, hunks: 2 },
      { path: 'new/bin', oldPath: undefined, status: 'Added', binary: true, additions: 0, deletions: 0, hunks: 0 },
      { path: 'new/empty', oldPath: undefined, status: 'Added', binary: false, additions: 0, deletions: 0, hunks: 0 },
      { path: 'new/text', oldPath: undefined, status: 'Added', binary: false, additions: 1, deletions: 0, hunks: 1 },
      { path: 'run', oldPath: undefined, status: 'Modified', binary: false, additions: 0, deletions: 0, hunks: 0 },
      { path: 'to-here', oldPath: 'moved', status: 'Renamed', binary: false, additions: 0, deletions: 0, hunks: 0 },
    ]);
  });

  test('is not deceived by names, or by what looks like a difference itself', async () => {
    const evil = 'diff --git a/x b/y\n--- a/x\n+++ b/y\n@@ -1,1 +1,1 @@\n-a\n+b\n';
    const names = [
      '-n',
      '--',
      'a\tb',
      'a\nb',
      'q"uote',
      'ünïcödé',
      ' b/c',
      'a b/a b',
      ':(exclude)x',
      '\\',
      '{a => b}',
      `${'x'.repeat(255)}/${'y'.repeat(255)}`,
    ];
    const { files } = await diffOf(setUp({ evil }), (folder) =>
      writeFiles(folder, {
        evil: evil.replaceAll('\n', '\n\n'),
        ...Object.fromEntries(names.map((name) => [name, `${name}\n`])),
      }),
    );
    expect(files.map((file) => file.path).sort()).toEqual([...names, 'evil'].sort());
    for (const { path: name, hunks } of files) {
      if (name === 'evil')
        expect(hunks.flatMap((hunk) => hunk.lines).filter(({ kind }) => kind === 'Add')).toHaveLength(6);
      else expect(hunks[0]?.lines.map(({ content }) => content).join('\n')).toBe(name);
    }
  });

  test('is nothing where nothing has changed', async () => {
    const work = setUp({ a: 'x\n' });
    const { baseCommit } = await work.start();
    const nothing = { unified: '', truncated: false, files: [] };
    expect(await work.vcs.diff({ ...work.task, baseCommit, headCommit: undefined })).toEqual(nothing);
    expect(await work.vcs.diff({ ...work.task, baseCommit, headCommit: baseCommit })).toEqual(nothing);
  });

  test('ends at 5 MiB, at the end of a line, and says so', async () => {
    const long = lines(20_000).replaceAll('line', 'x'.repeat(300));
    const { unified, truncated, files } = await diffOf(setUp({ a: 'x\n' }), (folder) =>
      writeFiles(folder, { a: 'y\n', big: long, last: 'z\n' }),
    );
    expect(truncated).toBe(true);
    expect(Buffer.byteLength(unified)).toBeLessThanOrEqual(5 * 1024 * 1024);
    expect(Buffer.byteLength(unified)).toBeGreaterThan(5 * 1024 * 1024 - 400);
    expect(unified.endsWith('\n')).toBe(true);
    expect(files).toMatchObject([{ additions: 1 }, { additions: 20_000 }, { path: 'last', additions: 1, hunks: [] }]);
    expect(files[1]?.hunks[0]?.lines.at(-1)?.content).toBe(/\+(.*)\n$/.exec(unified)?.[1]);
  });

  test('leaves nothing behind, in the repository or beside it', async () => {
    const work = setUp({ a: 'x\n' });
    const { vcs, task, root, folder, dataDir } = work;
    const { baseCommit } = await work.start();
    writeFiles(folder, { new: 'something new\n' });
    const places = [path.join(root, '.git'), path.join(dataDir, 'git')];
    const everything = () => places.map((place) => readdirSync(place, { recursive: true }).sort());
    const before = everything();
    expect((await vcs.diff({ ...task, baseCommit, headCommit: undefined })).files).toHaveLength(1);
    expect(everything()).toEqual(before);
  });
});
