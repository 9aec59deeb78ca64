import { chmod, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from '../../errors.js';
import { isMissing } from '../files/file-errors.js';
import { letGo, passingName } from '../files/leftovers.js';
import { readPlainFile } from './plain-file.js';
import { sweepLeftovers } from '../files/remove-tree.js';

/**
 * Makes a reference that never points to anything else, as one does that is named after a commit to keep that from being collected. It is
 * on disk then. Git's lock on it need not be taken, since whoever writes it writes the same; and no process of git is needed.
 *
 * @param gitDir the common directory, in which none of the name's folders is a symbolic link.
 */
export async function keepRef(gitDir: string, name: string, id: string): Promise<void> {
  const file = path.join(gitDir, name);
  if ((await readPlainFile(file))?.toString().trim() === id) return;
  // Not beside it, where git would take it for a reference.
  const place = path.join(gitDir, 'muster-ref');
  const made = passingName(place, 'to');
  try {
    await Promise.all([writeDurably(made, `${id}\n`), sweepLeftovers(place)]);
    await rename(made, file).catch(async (error: unknown) => {
      if (!isMissing(error)) throw error;
      await makeFolders(gitDir, path.dirname(name));
      await rename(made, file);
    });
  } catch (error) {
    await rm(made, { force: true });
    throw error;
  } finally {
    letGo(made);
  }
}

async function writeDurably(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx');
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** With the mode that all of `refs` has: others may write there, too, in a repository that a group shares. */
async function makeFolders(gitDir: string, name: string): Promise<void> {
  const { mode } = await stat(path.join(gitDir, 'refs'));
  const parts = name.split('/');
  for (const count of parts.keys()) {
    const folder = path.join(gitDir, ...parts.slice(0, count + 1));
    try {
      await mkdir(folder);
      await chmod(folder, mode & 0o7777);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
  }
}
