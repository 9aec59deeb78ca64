import { constants, type FileHandle, open } from 'node:fs/promises';
import { codeOf } from '../../errors.js';
import { isMissing } from '../files/file-errors.js';

const maxBytes = 256 * 1024 * 1024;
/** References, and most of what else is read here, are smaller. */
const shortBytes = 4096;
// A pipe in a file's place would else be waited for, and a link followed.
const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/** What is in a file; undefined when there is none of that name, or what has the name is no plain file. */
export async function readPlainFile(file: string | Buffer): Promise<Buffer | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, flags);
    return await readWhole(handle, file);
  } catch (error) {
    if (isMissing(error) || ['ELOOP', 'EISDIR', 'ENXIO', 'ENAMETOOLONG'].includes(codeOf(error) ?? ''))
      return undefined;
    throw error;
  } finally {
    // What was only read can be closed while its reader goes on.
    handle?.close().catch(() => undefined);
  }
}

/** A short file in one go: to ask for its size, its content and its end one after the other takes three times as long. */
async function readWhole(handle: FileHandle, file: string | Buffer): Promise<Buffer | undefined> {
  const short = Buffer.allocUnsafe(shortBytes);
  const [info, read] = await Promise.allSettled([handle.stat(), handle.read(short, 0, shortBytes, 0)]);
  if (info.status === 'rejected') throw info.reason;
  if (!info.value.isFile()) return undefined;
  if (info.value.size > maxBytes) throw new Error(`${file.toString()} is too large`);
  if (read.status === 'rejected') throw read.reason;
  if (read.value.bytesRead < shortBytes) return short.subarray(0, read.value.bytesRead);
  return handle.readFile();
}

/** The path of a file whose name git has told, decoded as Latin-1: it may be no UTF-8. */
export function inWorkTree(workTree: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${workTree}/`), Buffer.from(name, 'latin1')]);
}
