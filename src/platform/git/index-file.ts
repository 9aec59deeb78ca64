import { copyFile, link, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { isMissing } from '../files/file-errors.js';
import { letGo, passingName } from '../files/leftovers.js';

/** The name of those that are never in their place, beside the work tree's own. */
export const indexOfOurs = 'muster-index';

/**
 * Puts an index where git can go on from it, without a change of the first: git never writes into one, but puts another in its place. So
 * a second name is enough, where both places can have one. A copy keeps its age: git takes a file for unchanged when it looks as
 * it did when the index was written, unless both were written in the same second. A copy that seems younger would have it overlook
 * what was changed within that second.
 */
export async function forkIndex(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (isMissing(error)) throw error;
    const { atimeMs, mtimeMs } = await stat(from);
    await copyFile(from, to);
    // Rather a bit older, since what is set is not as exact as what was read. That only costs git a second look.
    await utimes(to, atimeMs / 1000, mtimeMs / 1000 - 0.001);
  }
}

/**
 * Has git use a copy by which it takes each file for unchanged that looks as it did when it was staged, also one that was written in the same
 * second as the index. By the index itself it would look into such files; and when it puts a younger one in its place, make a note there for
 * each in which it finds something else than is staged, that it has to be looked at again. The copy is gone afterwards.
 */
export async function withAgedCopy<T>(indexFile: string, work: (copy: string) => Promise<T>): Promise<T> {
  const copy = passingName(path.join(path.dirname(indexFile), indexOfOurs), 'to');
  try {
    const { atimeMs, mtimeMs } = await stat(indexFile);
    await copyFile(indexFile, copy);
    await utimes(copy, atimeMs / 1000, mtimeMs / 1000 + agedSeconds);
    return await work(copy);
  } finally {
    await Promise.all([copy, `${copy}.lock`].map((file) => rm(file, { force: true })));
    letGo(copy);
  }
}

const agedSeconds = 2;

/** The same, but when git has changed the copy, that is the index afterwards. */
export async function changeAged(indexFile: string, work: (copy: string) => Promise<void>): Promise<void> {
  await withAgedCopy(indexFile, async (copy) => {
    const { ino } = await stat(copy);
    await work(copy);
    if ((await stat(copy)).ino !== ino) await rename(copy, indexFile);
  });
}
