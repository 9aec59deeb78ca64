import { invalidField } from '../errors.js';
import type { Cursor } from './cursor.js';

type Optional<T> = T | null | undefined;

/** What a request of any list can say. */
export interface PageInput {
  readonly limit?: Optional<number>;
  readonly cursor?: Optional<string>;
}

/** A page that is asked for. */
export interface Page<Place, Row> {
  /** Where the page before ended; undefined: this is the first. */
  readonly place: Place | undefined;
  /** How many rows to look for: one more than the page may have, which tells that there are more. */
  readonly count: number;
  /** The page, of what was found. It ends sooner where no more than `fitting` of them are to go on it. */
  of(
    found: readonly Row[],
    fitting?: number,
  ): { readonly rows: readonly Row[]; readonly nextCursor: string | undefined };
}

/** The pages of a list. Throws `invalid_request` naming `limit` or `cursor`. */
export type Paging<Place, Row> = (input: PageInput) => Page<Place, Row>;

export function createPaging<Place, Row>(
  cursor: Cursor<Place>,
  placeOf: (row: Row) => NoInfer<Place>,
): Paging<Place, Row> {
  return (input) => {
    const limit = pageLimit(input.limit);
    return {
      place: cursor.decode(input.cursor),
      count: limit + 1,
      of(found, fitting = limit) {
        const rows = found.slice(0, Math.min(limit, fitting));
        const last = rows.length < found.length ? rows.at(-1) : undefined;
        return { rows, nextCursor: last && cursor.encode(placeOf(last)) };
      },
    };
  };
}

/** How many a page may have. Throws `invalid_request` naming `limit`. */
export function pageLimit(limit: Optional<number>, { usual, most } = { usual: 50, most: 500 }): number {
  const asked = limit ?? usual;
  if (!Number.isInteger(asked) || asked < 1 || asked > most) {
    throw invalidField('limit', `must be between 1 and ${most}`);
  }
  return asked;
}
