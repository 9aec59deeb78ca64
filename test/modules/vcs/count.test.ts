import { expect, test } from 'vitest';
import { useGitRepos, writeFiles } from '../../support/git-repos.js';
import { author, committer, loggingGit, setUpWork } from './support/work.js';

const repos = useGitRepos();

test('few processes of git are needed', async () => {
  const { program, calls } = loggingGit(repos);
  const work = setUpWork(repos, { program });
  const { vcs, task, folder } = work;
  // The first use of a repository reads its configuration.
  await vcs.prepare(work.another());
  calls();
  const { baseCommit } = await vcs.prepare(task);
  expect(calls()).toEqual(['update-ref', 'read-tree']);
  writeFiles(folder, { 'README.md': 'Changed\n', new: 'x' });
  expect((await vcs.diff({ ...task, baseCommit, headCommit: undefined })).files).toHaveLength(2);
  expect(calls()).toEqual(['status', 'update-index', 'write-tree', 'diff-tree']);
  const { headCommit } = await vcs.commit({ ...task, baseCommit, message: 'Work', author, committer });
  expect(calls()).toEqual(['status', 'update-index', 'commit']);
  await vcs.diff({ ...task, baseCommit, headCommit });
  expect(calls()).toEqual(['diff-tree']);
  await vcs.archive(task);
  expect(calls()).toEqual(['update-ref']);
});
