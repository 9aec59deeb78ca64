/** What `git check-ref-format` refuses in any part of a name; control characters, space and DEL among it. */
// oxlint-disable-next-line no-control-regex -- those are what is looked for
const forbidden = /[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|\.$/;

/** Whether git takes the text as the name of a branch or tag, such as `main` or `feature/x`. */
export function isRefName(text: string): boolean {
  if (text === '' || text === '@' || text === 'HEAD' || Buffer.byteLength(text) > 512) return false;
  if (forbidden.test(text) || /\p{Surrogate}/u.test(text) || text.startsWith('-')) return false;
  return text.split('/').every((part) => part !== '' && !part.startsWith('.') && !part.endsWith('.lock'));
}

/** Whether the text is the full name of an object: 40 digits, or 64 where SHA-256 is used. */
export function isObjectId(text: string): boolean {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text);
}
