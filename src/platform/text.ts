import { invalidField } from '../errors.js';

/** Throws `invalid_request` naming the field for text that Postgres cannot hold. Half a surrogate pair is none: it becomes U+FFFD. */
export function checkText(field: string, text: string): void {
  if (text.includes('\0')) throw invalidField(field, 'must not contain the character U+0000');
}
