import { randomFillSync } from 'node:crypto';
import { encodeTime, monotonicFactory } from 'ulid';
import type { Clock } from './clock.js';

/** Makes ids: a prefix, `_` and a ULID. Those of one process sort in the order in which they were made. */
export type NewId = (prefix: string) => string;

export function createIds(clock: Clock): NewId {
  const ulid = monotonicFactory(createRandom());
  return (prefix) => `${prefix}_${ulid(clock.now().getTime())}`;
}

/**
 * Cryptographic random numbers from 0 to 1, in steps of 1/256, of which ulid takes one a letter. From a store that is filled now
 * and then, since asking the system each time costs more than all else about an id.
 */
function createRandom(): () => number {
  const bytes = new Uint8Array(4096);
  let next = bytes.length;
  return () => {
    if (next === bytes.length) {
      randomFillSync(bytes);
      next = 0;
    }
    return (bytes[next++] ?? 0) / 256;
  };
}

/** True for an id of this prefix, letter case included. */
export function isId(prefix: string, text: string): boolean {
  return text.startsWith(`${prefix}_`) && /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text.slice(prefix.length + 1));
}

/** The least id of this prefix that can be made at `time` or later. */
export function firstIdAt(prefix: string, time: Date): string {
  return `${prefix}_${encodeTime(Math.max(0, time.getTime()), 10)}${'0'.repeat(16)}`;
}
