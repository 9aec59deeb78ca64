import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { author, committer, setUpWork, type Work } from './support/work.js';

const repos = useGitRepos();
const clone = ['-c', 'protocol.file.allow=always', 'submodule', '--quiet'] as const;

/** A repository with a submodule whose name has a slash, which has one in turn, and a task that has cloned both. */
async function setUpSubmodules(): Promise<Work & { readonly baseCommit: string; readonly sub: string }> {
  const [inner, outer] = [repos.repo(), repos.repo()];
  git(outer, ...clone, 'add', inner, 'inner');
  git(outer, 'commit', '--quiet', '--message=Inner');
  // As a clone has it after a while.
  git(outer, 'pack-refs', '--all');
  const work = setUpWork(repos);
  git(work.root, ...clone, 'add', outer, 'libs/outer');
  git(work.root, 'commit', '--quiet', '--message=Outer');
  const { baseCommit } = await work.start();
  git(work.folder, ...clone, 'update', '--init', '--recursive');
  return { ...work, baseCommit, sub: path.join(work.folder, 'libs/outer') };
}

function kept({ root, task }: Work): string {
  return path.join(root, '.git/muster-modules', task.taskId);
}

test('submodules as they were cloned go with the work tree', async () => {
  const work = await setUpSubmodules();
  expect(readdirSync(path.join(work.root, '.git/worktrees', work.task.taskId))).toContain('modules');
  await work.vcs.archive(work.task);
  expect(existsSync(kept(work))).toBe(false);
});

test.each<[what: string, at: string, commit: (sub: string) => void]>([
  ['on a branch', '', (sub) => git(sub, 'checkout', '--quiet', '-B', 'own')],
  ['on none', '', (sub) => git(sub, 'checkout', '--quiet', '--detach')],
  ['in a submodule of a submodule', 'inner', () => undefined],
])('what is committed in a submodule %s, and submitted, is kept', async (_what, at, checkOut) => {
  const work = await setUpSubmodules();
  const sub = path.join(work.sub, at);
  checkOut(sub);
  writeFiles(sub, { new: 'x' });
  git(sub, 'add', 'new');
  git(sub, 'commit', '--quiet', '--message=Own');
  const own = git(sub, 'rev-parse', 'HEAD');
  git(sub, 'checkout', '--quiet', '--detach');
  if (at === '') {
    const { headCommit } = await work.vcs.commit({
      ...work.task,
      baseCommit: work.baseCommit,
      message: 'Sub',
      author,
      committer,
    });
    expect(git(work.root, 'rev-parse', `${headCommit}:libs/outer`)).toBe(own);
  }
  await work.vcs.archive(work.task);
  // As after a death in between.
  await work.vcs.archive(work.task);
  const elsewhere = repos.repo();
  git(elsewhere, 'fetch', '--quiet', path.join(kept(work), 'libs/outer', ...(at === '' ? [] : ['modules', at])), own);
  expect(git(elsewhere, 'log', '-1', '--format=%s', 'FETCH_HEAD')).toBe('Own');
});

test('nobody else’s repository, and nobody else’s file, is taken for one', async () => {
  const other = repos.repo();
  const config = path.join(repos.folder(), 'config');
  writeFiles(path.dirname(config), { config: '[user]\n\tname = me\n' });
  const configOf = (): string => readFileSync(path.join(other, '.git/config'), 'utf8');
  const before = configOf();
  const linked = setUpWork(repos);
  await linked.start();
  symlinkSync(path.dirname(other), path.join(linked.root, '.git/worktrees', linked.task.taskId, 'modules'));
  await linked.vcs.archive(linked.task);
  expect(configOf()).toBe(before);

  const work = await setUpSubmodules();
  git(work.sub, 'commit', '--quiet', '--allow-empty', '--message=Own');
  const own = path.join(work.root, '.git/worktrees', work.task.taskId, 'modules/libs/outer/config');
  rmSync(own);
  symlinkSync(config, own);
  await work.vcs.archive(work.task);
  expect(existsSync(kept(work))).toBe(true);
  expect(readFileSync(config, 'utf8')).toBe('[user]\n\tname = me\n');
});
