import { AppError, codeOf, messageOf } from '../../errors.js';

/** There is no file of that name. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** For `catch`: undefined where there is no file of that name. */
export function ignoreMissing(error: unknown): undefined {
  if (isMissing(error)) return undefined;
  throw error;
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

/** What is said to a caller when a file may not be read or written. */
export function notPermitted(what: string, cause: unknown): AppError {
  const message = `The server may not read or write what it has to: ${what}. Whoever works there as another user has to leave it readable and writable.`;
  return new AppError('conflict', message, { cause });
}

/** An error as it is, but for those of files that whoever runs the machine can mend: a disk that is full, a lack of permission. */
export function sayFileError(error: unknown): unknown {
  const code = codeOf(error) ?? '';
  if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code)) return noRoom(error);
  if (['EACCES', 'EPERM', 'EROFS'].includes(code)) return notPermitted(messageOf(error), error);
  return error;
}
