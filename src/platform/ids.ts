import { encodeTime, monotonicFactory } from 'ulid';
import type { Clock } from './clock.js';

/** Makes ids: a prefix, `_` and a ULID. Those of one process sort in the order in which they were made. */
export type NewId = (prefix: string) => string;

export function createIds(clock: Clock): NewId {
  const ulid = monotonicFactory();
  return (prefix) => `${prefix}_${ulid(clock.now().getTime())}`;
}

/** True for an id of this prefix, letter case included. */
export function isId(prefix: string, text: string): boolean {
  return text.startsWith(`${prefix}_`) && /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text.slice(prefix.length + 1));
}

/** The least id of this prefix that can be made at `time` or later. */
export function firstIdAt(prefix: string, time: Date): string {
  return `${prefix}_${encodeTime(Math.max(0, time.getTime()), 10)}${'0'.repeat(16)}`;
}
