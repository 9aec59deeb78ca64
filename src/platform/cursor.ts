import { invalidField } from '../errors.js';
import { isId } from './ids.js';
import { isGiven } from './text.js';

/** Where a page of a kind of list ends, as a text that callers hand back for the next page and do not look into. */
export interface Cursor<Place> {
  encode(place: Place): string;
  /**
   * `undefined` where none was sent, or an empty one, which is what proto3 has for an unset text. Throws `invalid_request` naming
   * `cursor` for a text that no list of the kind gives.
   */
  decode(cursor: string | null | undefined): Place | undefined;
}

/** Of lists whose members come in the order of their ids. */
export function idCursor(...prefixes: readonly string[]): Cursor<string> {
  return createCursor(
    (id) => id,
    (text) => (prefixes.some((prefix) => isId(prefix, text)) ? text : undefined),
  );
}

/** Of lists whose members come in the order of a number that nobody is told. `kind` tells them from other such lists. */
export function numberCursor(kind: string): Cursor<number> {
  return createCursor(
    (n) => `${kind} ${n}`,
    (text) => {
      const n = text.slice(kind.length + 1);
      return text.startsWith(`${kind} `) && /^\d{1,15}$/.test(n) ? Number(n) : undefined;
    },
  );
}

function createCursor<Place>(
  textOf: (place: Place) => string,
  placeOf: (text: string) => Place | undefined,
): Cursor<Place> {
  return {
    encode: (place) => Buffer.from(textOf(place)).toString('base64url'),
    decode(cursor) {
      if (!isGiven(cursor)) return undefined;
      const place = placeOf(Buffer.from(cursor, 'base64url').toString());
      if (place === undefined) throw invalidField('cursor', 'is none of ours');
      return place;
    },
  };
}
