import { invalidField } from '../../../errors.js';
import { isWireTime } from '../../rpc/limits.js';

const rfc3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;

/** Reads an RFC 3339 time; digits below the millisecond are cut. Throws `invalid_request` naming `field`. */
export function parseTimestamp(text: string, field: string): Date {
  const parts = rfc3339.exec(text);
  const date = new Date(text.toUpperCase());
  if (parts === null || !isWireTime(date) || Number(parts[3]) > daysIn(Number(parts[1]), Number(parts[2]))) {
    throw invalidField(field, 'must be an RFC 3339 time such as 2026-01-31T12:00:00Z');
  }
  return date;
}

// Date rolls the 31st of a shorter month over into the next one instead of refusing it.
function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}
