import { AppError, messageOf } from '../errors.js';

/** The server's own limits are tighter where it has some; this keeps one bad value from breaking a whole stream. */
const maxSize = 4 * 1024 * 1024;

/**
 * JSON text of anything, as JSON.stringify sees it: members without a value fall away, dates become strings. The empty text
 * stands for null and `undefined`.
 *
 * @throws AppError `invalid_request` or `too_large` when it cannot be sent.
 */
export function sentJson(anything: unknown): string {
  if (anything === undefined || anything === null) return '';
  const text = textOf(anything);
  if (text.length > maxSize) {
    throw new AppError('too_large', `has ${text.length} characters of JSON; at most ${maxSize} can be sent`);
  }
  return text;
}

function textOf(anything: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(anything) as string | undefined;
  } catch (error) {
    throw new AppError('invalid_request', `is no JSON: ${messageOf(error)}`, { cause: error });
  }
  if (text === undefined) throw new AppError('invalid_request', `is no JSON: a ${typeof anything}`);
  return text;
}
