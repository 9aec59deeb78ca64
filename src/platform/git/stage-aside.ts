import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { findChanges, stage, type Staging } from './changes.js';
import { startFrom } from './commit.js';
import { letGo, passingName } from '../files/leftovers.js';
import { sweepLeftovers } from '../files/remove-tree.js';
import { gitDirOf, type WorkTree } from './work-tree.js';

interface Made {
  readonly tree: string;
  /** Of the changes, what is not in it: folders that are repositories of their own. */
  readonly nested: readonly string[];
}

/**
 * Makes the tree that a commit of all that is in a work tree would have, and has it used. Nothing of the work tree or the repository is
 * changed by it: index and objects are kept in a place of their own, which is thrown away.
 *
 * @param prepare what is done to the copy of the index before anybody looks for changes.
 */
export async function stageAside<T>(
  tree: WorkTree,
  signal: AbortSignal | undefined,
  use: (staging: Staging, made: Made) => Promise<T>,
  prepare?: (staging: Staging) => Promise<void>,
): Promise<T> {
  const { view } = tree;
  const gitDir = gitDirOf(tree);
  const place = path.join(view.dir, 'diff');
  await sweepLeftovers(place);
  const folder = passingName(place, 'to');
  try {
    await mkdir(folder);
    const objects = path.join(folder, 'objects');
    await mkdir(objects);
    const env = {
      GIT_OBJECT_DIRECTORY: objects,
      GIT_ALTERNATE_OBJECT_DIRECTORIES: quoted(path.join(view.repository.gitDir, 'objects')),
    };
    const indexFile = path.join(folder, 'index');
    const staging: Staging = { view, gitDir, workTree: tree.path, indexFile, env, signal };
    await startFrom(path.join(gitDir, 'index'), staging);
    await prepare?.(staging);
    const changes = await findChanges(staging);
    await stage(staging, changes);
    const { stdout } = await view.run({ args: ['write-tree'], gitDir, workTree: tree.path, indexFile, env, signal });
    return await use(staging, { tree: stdout.toString().trim(), nested: changes.nested });
  } finally {
    await rm(folder, { recursive: true, force: true });
    letGo(folder);
  }
}

/** As git reads one of a list of paths: colons would else end it, and a quote begin it. */
function quoted(text: string): string {
  const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };
  return `"${text.replaceAll(/[\\"\n]/g, (letter) => escapes[letter] ?? letter)}"`;
}
