import { access, mkdir, realpath, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { removeTree, sweepLeftovers } from '../../platform/files/remove-tree.js';

const ignoreFile = '.gitignore';

/** Where the work trees of tasks are, and what Muster keeps for git. */
export interface VcsHome {
  /** For all repositories as our git sees them. */
  views(): Promise<string>;
  worktree(repoId: string, taskId: string): Promise<string>;
  /** Removes the files of a work tree, and the folder of its repository with the last of them. */
  discard(repoId: string, taskId: string): Promise<void>;
}

/**
 * Both are in the data directory, which is made when it is first needed. It may lie within somebody's work tree, as `.muster`
 * in the current directory does; an ignore file in it keeps it out of what git says there.
 */
export function createVcsHome(dataDir: string): VcsHome {
  let made: Promise<string> | undefined;

  async function make(): Promise<string> {
    const dir = path.resolve(dataDir);
    await mkdir(path.dirname(dir), { recursive: true });
    await mkdir(dir, { recursive: true, mode: 0o700 });
    // Git has to find its own paths again, whatever links lead there.
    const real = await realpath(dir);
    await writeFile(path.join(real, ignoreFile), '*\n');
    await mkdir(path.join(real, 'git'), { recursive: true });
    await mkdir(path.join(real, 'worktrees'), { recursive: true });
    return real;
  }

  async function home(): Promise<string> {
    made ??= make();
    try {
      const real = await made;
      await access(path.join(real, ignoreFile));
      return real;
    } catch {
      // It could not be made, or has been taken away since.
      made = make();
      return made;
    }
  }

  const worktree = async (repoId: string, taskId: string): Promise<string> =>
    path.join(await home(), 'worktrees', repoId, taskId);

  return {
    views: async () => path.join(await home(), 'git'),
    worktree,
    async discard(repoId, taskId) {
      const folder = await worktree(repoId, taskId);
      await removeTree(folder);
      await sweepLeftovers(folder);
      // Not while there is anything else in it.
      await rmdir(path.dirname(folder)).catch(() => undefined);
    },
  };
}
