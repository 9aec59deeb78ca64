import { lstat, rm } from 'node:fs/promises';
import { isMissing } from '../files/file-errors.js';

/** Longer than any command holds a lock that nobody waits for. */
const staleMs = 600_000;

/**
 * Removes the locks of references that a git has left which died with the machine or its container. Only of references that nobody but
 * Muster and the agent in the work tree has anything to do with; git itself waits for all others, and then names them.
 */
export async function removeStaleLocks(...files: readonly string[]): Promise<void> {
  await Promise.all(
    files.map(async (file) => {
      if (await isStale(`${file}.lock`)) await rm(`${file}.lock`, { force: true });
    }),
  );
}

export async function isStale(lock: string): Promise<boolean> {
  try {
    return Date.now() - (await lstat(lock)).mtimeMs > staleMs;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
