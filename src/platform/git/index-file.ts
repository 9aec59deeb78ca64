import { copyFile, stat, utimes } from 'node:fs/promises';

/**
 * Copies an index, and keeps its age: git takes a file for unchanged when it looks as it did when the index was written, unless
 * both were written in the same second. A copy that seems younger would have it overlook what was changed within that second.
 */
export async function copyIndex(from: string, to: string): Promise<void> {
  const { atimeMs, mtimeMs } = await stat(from);
  await copyFile(from, to);
  // Rather a bit older, since what is set is not as exact as what was read. That only costs git a second look.
  await utimes(to, atimeMs / 1000, mtimeMs / 1000 - 0.001);
}
