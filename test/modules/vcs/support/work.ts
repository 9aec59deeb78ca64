import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createVcs, type Prepared, type TaskRef, type Vcs } from '../../../../src/modules/vcs/index.js';
import { createManualClock } from '../../../../src/platform/clock.js';
import { createGit } from '../../../../src/platform/git/index.js';
import { createIds } from '../../../../src/platform/ids.js';
import { type Files, git, type GitRepos } from '../../../support/git-repos.js';

export const newId = createIds(createManualClock(new Date('2026-01-31T12:00:00Z')));

export const author = { name: 'An Agent', email: 'agent@example.org' };
export const committer = { name: 'Muster', email: 'muster@example.org' };

/** A repository, a task of it and what does its work. */
export interface Work {
  readonly vcs: Vcs;
  readonly root: string;
  readonly dataDir: string;
  readonly task: TaskRef;
  /** The task's branch, and where its files are going to be. */
  readonly branch: string;
  readonly folder: string;
  /** Another task of the same repository. */
  another(): TaskRef;
  start(): Promise<Prepared>;
  commit(baseCommit: string, message?: string): Promise<string>;
}

export interface WorkOptions {
  readonly files?: Files;
  /** The git to be used. */
  readonly program?: string;
  readonly name?: string;
}

export function setUpWork(repos: GitRepos, { files, program, name }: WorkOptions = {}): Work {
  const root = repos.repo(files, name);
  const dataDir = path.join(repos.folder(), 'data');
  const repo = { id: newId('repo'), path: root, defaultBranch: 'main' };
  const own = createVcs({ git: createGit(program === undefined ? {} : { program }), dataDir });
  const vcs: Vcs = {
    ...own,
    // Nothing of it is on its way any more, as whoever tells others of a commit makes sure.
    async commit(input) {
      const made = await own.commit(input);
      await made.kept;
      return made;
    },
  };
  const task = { repo, taskId: newId('task') };
  return {
    vcs,
    root,
    dataDir,
    task,
    branch: `task/${task.taskId}`,
    folder: path.join(dataDir, 'worktrees', repo.id, task.taskId),
    another: () => ({ repo, taskId: newId('task') }),
    start: () => vcs.prepare(task),
    async commit(baseCommit, message = 'Work') {
      return (await vcs.commit({ ...task, baseCommit, message, author, committer })).headCommit;
    },
  };
}

/** What a user sees of a repository: the own checkout, HEAD, index and branches but for those of tasks. */
export function usersView(root: string): string {
  return [
    git(root, 'status', '--porcelain=v2', '--branch', '--ignored'),
    ...git(root, 'for-each-ref', '--format=%(refname) %(objectname)')
      .split('\n')
      .filter((line) => !/^refs\/(?:heads\/task|muster)\//.test(line)),
    readFileSync(path.join(root, '.git/HEAD'), 'utf8'),
    readFileSync(path.join(root, '.git/config'), 'utf8'),
    readFileSync(path.join(root, '.git/index')).toString('base64'),
  ].join('\n');
}

/** A git that writes down what it is called for, and is called for it. */
export function loggingGit(repos: GitRepos): { readonly program: string; calls(): readonly string[] } {
  const folder = repos.folder();
  const [program, log] = [path.join(folder, 'git'), path.join(folder, 'log')];
  writeFileSync(program, `#!/bin/sh\nprintf '%s\\n' "$1" >> '${log}'\nexec git "$@"\n`);
  writeFileSync(log, '');
  chmodSync(program, 0o755);
  return {
    program,
    calls() {
      const calls = readFileSync(log, 'utf8').split('\n').slice(0, -1);
      writeFileSync(log, '');
      return calls;
    },
  };
}
