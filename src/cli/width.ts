import { graphemesOf } from '../platform/text.js';

/**
 * How many cells of a terminal a text takes, as UAX #11 has it. Terminals differ, so that it is a guess for what they do not agree on: a
 * sequence of emoji that is joined to one, or a heart made to one, where they do not know of that; the syllables of Indic scripts; and
 * what is wide in the fonts of East Asia alone, such as `…` and `─`, which counts as one.
 */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const grapheme of graphemesOf(text)) width += cellsOf(grapheme);
  return width;
}

function cellsOf(grapheme: string): 0 | 1 | 2 {
  if (unseen.test(grapheme)) return 0;
  return wide.test(grapheme) || emoji.test(grapheme) ? 2 : 1;
}

/** Marks without what they stand on, and what joins or parts its neighbours. */
const unseen = /^[\p{Mark}\p{Default_Ignorable_Code_Point}\p{Control}]+$/u;

/** One that is coloured by itself, or that U+FE0F makes so. */
const emoji = /[\p{Emoji_Presentation}\ufe0f]/u;

/** It begins with a letter of Hangul, of Han, Kana, Yi or Tangut, with their punctuation, or in a form as wide as these. */
const wide =
  /^[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18dff}\u{1aff0}-\u{1b2ff}\u{1f200}-\u{1f265}\u{20000}-\u{3fffd}]/u;
