import { invalidField } from '../errors.js';

/** Throws `invalid_request` naming the field for text that Postgres cannot hold. Half a surrogate pair is none: it becomes U+FFFD. */
export function checkText(field: string, text: string): void {
  if (text.includes('\0')) throw invalidField(field, 'must not contain the character U+0000');
}

/** True for a query parameter that says something: an empty one is as good as none. */
export function isGiven(text: string | null | undefined): text is string {
  return text !== undefined && text !== null && text !== '';
}

/** The first line of what is left without the blank ends, at most so many UTF-16 code units of it. */
export function firstLine(text: string, most = Infinity): string {
  const [line = ''] = text.trim().split(/\r?\n/, 1);
  return shorten(line, most);
}

/** At most so many UTF-16 code units of a text, the last of them telling that there is more. No character is cut in two. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  let kept = '';
  // The last one in there may go on behind it, and is never kept.
  for (const grapheme of graphemesOf(text.slice(0, most))) {
    if (kept.length + grapheme.length >= most) break;
    kept += grapheme;
  }
  return `${kept}…`;
}

let segmenter: Intl.Segmenter | undefined;

/** What people take for one character each: a letter with its accents, an emoji with all that it is made of. */
export function* graphemesOf(text: string): Iterable<string> {
  // It takes tens of milliseconds to make one, and most texts need none.
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' });
  for (const { segment } of segmenter.segment(text)) yield segment;
}
