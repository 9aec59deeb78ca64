import { copyFile, link, stat, utimes } from 'node:fs/promises';
import { isMissing } from '../files/file-errors.js';

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
