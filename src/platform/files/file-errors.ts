import { AppError, codeOf } from '../../errors.js';

/** There is no file of that name. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** There is one already, or a folder that is not empty. */
export function isTaken(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'EEXIST' || code === 'ENOTEMPTY';
}

/** What is said to a caller when a file cannot be written. */
export function noRoom(cause: unknown): AppError {
  return new AppError('unavailable', 'A file cannot be written; there may be no room left on the disk.', { cause });
}

/** An error as it is, but for one of a disk that is full. */
export function sayNoRoom(error: unknown): unknown {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(codeOf(error) ?? '') ? noRoom(error) : error;
}
