import { lstat, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ignoreMissing } from '../files/file-errors.js';
import { letGo, passingName } from '../files/leftovers.js';
import { readPlainFile } from './plain-file.js';
import { GitFailure } from './run.js';
import { listRefs, readRef } from './refs.js';
import { gitDirOf, type WorkTree } from './work-tree.js';

/**
 * Git keeps the repositories of a linked work tree's submodules with what it knows of that work tree, so that they would go with it: and
 * with them commits that the work tree's own branch may refer to, and that nobody has pushed. Puts them aside where there are any, as
 * repositories without a work tree.
 */
export async function keepSubmodules(tree: WorkTree): Promise<void> {
  const modules = path.join(gitDirOf(tree), 'modules');
  // Nobody has to have left it as git made it.
  if ((await lstat(modules).catch(ignoreMissing))?.isDirectory() !== true) return;
  const gitDirs = await findGitDirs(modules);
  const areOwn = await Promise.all(gitDirs.map((gitDir) => hasOwnCommits(tree, gitDir)));
  if (!areOwn.includes(true)) return;
  await Promise.all(gitDirs.map((gitDir) => makeBare(tree, gitDir)));
  const aside = path.join(tree.view.repository.gitDir, 'muster-modules', tree.name);
  await mkdir(path.dirname(aside), { recursive: true });
  await rename(modules, aside);
}

/** Git does nothing in one that refers to a work tree which is gone. No symbolic link is followed: another file takes the place of what is there. */
async function makeBare({ view }: WorkTree, gitDir: string): Promise<void> {
  const config = path.join(gitDir, 'config');
  const made = passingName(config, 'to');
  try {
    await writeFile(made, (await readPlainFile(config)) ?? '', { flag: 'wx' });
    await view.run({ args: ['config', '--file', made, '--replace-all', 'core.bare', 'true'] });
    await view.run({ args: ['config', '--file', made, '--unset-all', 'core.worktree'] }).catch((error: unknown) => {
      if (!(error instanceof GitFailure) || error.exitCode !== notSet) throw error;
    });
    await rename(made, config);
  } finally {
    await rm(made, { force: true });
    letGo(made);
  }
}

const notSet = 5;

/** A submodule's name may have slashes, and it may have submodules in turn. */
async function findGitDirs(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(ignoreMissing);
  const folders = (entries ?? []).filter((entry) => entry.isDirectory()).map(({ name }) => path.join(folder, name));
  const found = folders.map(async (each) => {
    const isGitDir = (await lstat(path.join(each, 'HEAD')).catch(ignoreMissing)) !== undefined;
    return isGitDir ? [each, ...(await findGitDirs(path.join(each, 'modules')))] : findGitDirs(each);
  });
  return (await Promise.all(found)).flat();
}

/** Whether something in it comes from no remote. In doubt it does. */
async function hasOwnCommits({ view }: WorkTree, gitDir: string): Promise<boolean> {
  const [refs, head] = await Promise.all([listRefs(gitDir), readRef(gitDir, 'HEAD')]);
  const isKnown = (name: string): boolean => /^refs\/(?:remotes|tags)\//.test(name);
  const tips = [...refs].filter(([name]) => !isKnown(name)).map(([, id]) => id);
  const known = [...refs].filter(([name]) => isKnown(name)).map(([, id]) => `^${id}`);
  const stdin = [...tips, ...(head === undefined ? [] : [head]), ...known].map((line) => `${line}\n`).join('');
  try {
    // Its objects alone are looked at; its configuration is nobody's.
    const env = { GIT_OBJECT_DIRECTORY: path.join(gitDir, 'objects') };
    const { stdout } = await view.run({ args: ['rev-list', '--max-count=1', '--stdin'], stdin, env });
    return stdout.length > 0;
  } catch (error) {
    if (error instanceof GitFailure) return true;
    throw error;
  }
}
