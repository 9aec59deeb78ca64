import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

/** Runs git as a user would, with nobody's configuration. Answers stdout without its last line break. */
export function git(cwd: string, ...args: readonly string[]): string {
  const env = {
    PATH: process.env['PATH'],
    HOME: cwd,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_AUTHOR_NAME: 'A User',
    GIT_AUTHOR_EMAIL: 'user@example.org',
    GIT_COMMITTER_NAME: 'A User',
    GIT_COMMITTER_EMAIL: 'user@example.org',
  };
  const stdout = execFileSync('git', args, {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 256 * 1024 * 1024,
  });
  return stdout.toString().replace(/\n$/, '');
}

export type Files = Readonly<Record<string, string | Buffer>>;

export function writeFiles(root: string, files: Files): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), content);
  }
}

export interface GitRepos {
  /** An empty folder of its own, symbolic links in its path resolved. */
  folder(): string;
  /** A repository of its own, with a commit on `main`; without files, with no commit. */
  repo(files?: Files, name?: string): string;
}

let names = 0;

/** Repositories for the tests of a file, gone when those have finished. To be called while the file is read. */
export function useGitRepos(parent = tmpdir()): GitRepos {
  let root: string | undefined;
  afterAll(() => root !== undefined && rmSync(root, { recursive: true, force: true, maxRetries: 3 }));
  const folder = (name = ''): string => {
    root ??= realpathSync(mkdtempSync(path.join(parent, 'muster-test-')));
    names += 1;
    const made = path.join(root, String(names), name);
    mkdirSync(made, { recursive: true });
    return made;
  };
  return {
    folder,
    repo(files = { 'README.md': 'Hello\n' }, name = 'project') {
      const made = folder(name);
      git(made, 'init', '--quiet', '--initial-branch=main');
      writeFiles(made, files);
      if (Object.keys(files).length > 0) {
        git(made, 'add', '--all');
        git(made, 'commit', '--quiet', '--message=First');
      }
      return made;
    },
  };
}
