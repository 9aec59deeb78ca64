import { lstat, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from '../../errors.js';
import { readPlainFile } from './plain-file.js';
import { readHeadBranch } from './refs.js';
import { type Git, GitFailure } from './run.js';
import { readSettings, type RepositorySettings } from './settings.js';

/** Where a repository is, and what its HEAD stands for. */
export interface Repository {
  /** The root of its own work tree, symbolic links resolved. */
  readonly root: string;
  /** `<root>/.git`. */
  readonly gitDir: string;
  readonly settings: RepositorySettings;
  /** The branch that is checked out, which need not have a commit yet; undefined when HEAD is detached. */
  readonly headBranch: string | undefined;
}

/** What is at a path. */
export type Inspection =
  | { readonly kind: 'repository'; readonly repository: Repository }
  /** Why it cannot be used, as it is said behind the path's name. */
  | { readonly kind: 'refused'; readonly why: string };

function refused(why: string): Inspection {
  return { kind: 'refused', why };
}

/**
 * Looks what is at a path. Files are read and nothing is run but a parser of the configuration; nothing of the repository can have
 * anything executed.
 */
export async function inspectRepository(git: Git, asked: string): Promise<Inspection> {
  if (!path.isAbsolute(asked)) return refused('must be an absolute path');
  const root = await resolved(asked);
  if ('why' in root) return refused(root.why);
  const gitDir = path.join(root.path, '.git');
  const kind = await kindOf(gitDir);
  if (kind === 'file') return refused(await whyLinked(gitDir));
  if (kind === 'link') return refused('has a .git that is a symbolic link; only a directory of its own will do');
  if (kind !== 'directory') return refused(await whyNone(root.path));
  if (!(await isGitDir(gitDir))) return refused('has a .git that is no git repository');
  const outside = await firstOutside(gitDir, writtenAlways);
  if (outside !== undefined) return refused(`has its .git/${outside} elsewhere, behind a symbolic link`);
  return inspectGitDir(git, root.path, gitDir);
}

async function inspectGitDir(git: Git, root: string, gitDir: string): Promise<Inspection> {
  let settings: RepositorySettings;
  try {
    settings = await readSettings(git, gitDir);
  } catch (error) {
    if (error instanceof GitFailure) return refused('has a .git/config that git cannot read');
    throw error;
  }
  if (settings.bare) return refused('is a bare repository; one with a work tree is needed');
  if (settings.refStorage !== 'files')
    return refused(`keeps its references as '${settings.refStorage}', which is not supported`);
  return { kind: 'repository', repository: { root, gitDir, settings, headBranch: await readHeadBranch(gitDir) } };
}

async function resolved(asked: string): Promise<{ readonly path: string } | { readonly why: string }> {
  try {
    const real = await realpath(asked);
    return (await stat(real)).isDirectory() ? { path: real } : { why: 'is a file, not a directory' };
  } catch (error) {
    switch (codeOf(error)) {
      case 'ENOENT':
        return { why: "is not there, as seen from the server's machine" };
      case 'ENOTDIR':
        return { why: 'leads through a file' };
      case 'EACCES':
        return { why: 'cannot be read by the server' };
      case 'ELOOP':
        return { why: 'leads through symbolic links in a circle' };
      case 'ENAMETOOLONG':
        return { why: 'is too long' };
      default:
        throw error;
    }
  }
}

async function kindOf(file: string): Promise<'directory' | 'file' | 'link' | 'other' | undefined> {
  try {
    const info = await lstat(file);
    if (info.isSymbolicLink()) return 'link';
    if (info.isDirectory()) return 'directory';
    return info.isFile() ? 'file' : 'other';
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function isGitDir(dir: string): Promise<boolean> {
  const kinds = await Promise.all(['HEAD', 'objects', 'refs'].map((name) => kindOf(path.join(dir, name))));
  return kinds[0] === 'file' && kinds[1] !== undefined && kinds[2] !== undefined;
}

/** What is written into when there is work, and therefore must be where it seems to be. */
export const writtenAlways = [
  'muster-modules',
  'objects',
  'refs',
  'refs/heads',
  'logs',
  'logs/refs',
  'logs/refs/heads',
  'worktrees',
  'packed-refs',
];

/** The first of some places within a git directory that is a symbolic link, and may lead out of it. */
export async function firstOutside(gitDir: string, places: readonly string[]): Promise<string | undefined> {
  const kinds = await Promise.all(places.map((name) => kindOf(path.join(gitDir, name))));
  return places.find((_, index) => kinds[index] === 'link');
}

/** A `.git` that is a file is that of a linked work tree, or of a submodule. */
async function whyLinked(gitFile: string): Promise<string> {
  const text = (await readPlainFile(gitFile))?.toString() ?? '';
  const [, target = ''] = /^gitdir: (.+?)\n*$/.exec(text) ?? [];
  const dir = path.resolve(path.dirname(gitFile), target);
  const common = (await readPlainFile(path.join(dir, 'commondir')))?.toString();
  if (common === undefined) return 'is a submodule, or has its .git elsewhere; only a repository of its own will do';
  const main = path.dirname(path.resolve(dir, common.trim()));
  return `is a linked work tree of the repository ${main}; register that`;
}

async function whyNone(dir: string): Promise<string> {
  if (await isGitDir(dir)) {
    if (path.basename(dir) === '.git') return `is the inside of the repository ${path.dirname(dir)}; register that`;
    return 'is a bare repository; one with a work tree is needed';
  }
  for (let above = path.dirname(dir), below = dir; above !== below; below = above, above = path.dirname(above)) {
    const kind = await kindOf(path.join(above, '.git')).catch(() => undefined);
    if (kind !== undefined) return `is a folder of the repository ${above}; register that`;
  }
  return 'is no git repository';
}
