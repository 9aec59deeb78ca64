import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { isMissing } from '../files/file-errors.js';

/** Whether there is no git repository at a path any more: not one that cannot be read or used, but none at all. */
export async function isGone(root: string): Promise<boolean> {
  try {
    await lstat(path.join(root, '.git', 'HEAD'));
    return false;
  } catch (error) {
    return isMissing(error);
  }
}
