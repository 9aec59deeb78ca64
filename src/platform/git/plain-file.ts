import { constants, open } from 'node:fs/promises';
import { codeOf } from '../../errors.js';
import { isMissing } from '../files/file-errors.js';

const maxBytes = 256 * 1024 * 1024;
// A pipe in a file's place would else be waited for, and a link followed.
const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/** What is in a file; undefined when there is none of that name, or what has the name is no plain file. */
export async function readPlainFile(file: string): Promise<Buffer | undefined> {
  try {
    const handle = await open(file, flags);
    try {
      const info = await handle.stat();
      if (!info.isFile()) return undefined;
      if (info.size > maxBytes) throw new Error(`${file} is too large`);
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isMissing(error) || ['ELOOP', 'EISDIR', 'ENXIO', 'ENAMETOOLONG'].includes(codeOf(error) ?? ''))
      return undefined;
    throw error;
  }
}
