import type { Json } from '../platform/json.js';
import type { LedgerEvent } from './event-json.js';

/** What an event tells of a row: of its fields only, since later versions may tell more. */
export function told<Row>({ payload }: LedgerEvent, names: readonly string[]): Partial<Row> {
  const fields: { [field: string]: Json } = {};
  for (const name of names) {
    const value = payload[name];
    if (value !== undefined) fields[name] = value;
  }
  return fields as Partial<Row>;
}
