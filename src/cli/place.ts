import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** Where somebody stands: in a work tree of git. */
export interface Place {
  /** The root of the repository's own work tree, also from a worktree of a task. */
  readonly root: string;
  /** In the worktree of a task. */
  readonly taskId: string | undefined;
}

/** Looks for the work tree around a directory, without running git. Undefined outside of any. */
export function placeOf(directory: string): Place | undefined {
  for (let at = path.resolve(directory); ; at = path.dirname(at)) {
    const place = placeAt(at);
    if (place !== undefined || path.dirname(at) === at) return place;
  }
}

function placeAt(directory: string): Place | undefined {
  const git = path.join(directory, '.git');
  const stats = statSync(git, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  if (stats.isDirectory()) return { root: directory, taskId: undefined };
  // Of a linked worktree it is a file that tells where its own HEAD is.
  const [, gitDir] = /^gitdir: (.+?)\n*$/.exec(read(git) ?? '') ?? [];
  if (gitDir === undefined) return { root: directory, taskId: undefined };
  const own = path.resolve(directory, gitDir);
  const common = read(path.join(own, 'commondir'));
  const root = common === undefined ? directory : path.dirname(path.resolve(own, common.trimEnd()));
  return { root, taskId: taskOf(own) };
}

/**
 * The task of a linked worktree. Of one that Muster has made, git's name is the task's id, whatever is checked out in it, such as nothing
 * during a rebase; in one that somebody has made for himself, the branch tells.
 */
function taskOf(gitDir: string): string | undefined {
  const [, made] = /\/worktrees\/((?:ms|task|sub)_\w+)$/.exec(gitDir) ?? [];
  const [, taken] =
    /^ref: refs\/heads\/task\/((?:ms|task|sub)_\w+)\n*$/.exec(read(path.join(gitDir, 'HEAD')) ?? '') ?? [];
  return made ?? taken;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
