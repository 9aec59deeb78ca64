/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * JSON that is at hand as text, such as a column's. The REST gateway prints it as it is; everybody else parses it when
 * they need the value. The text must be valid JSON.
 */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  value(): Json {
    return JSON.parse(this.text) as Json;
  }

  /** What JSON.stringify prints. */
  toJSON(): Json {
    return this.value();
  }
}

/** How many levels of arrays and objects a value has; a scalar has none. Stops counting at `limit` + 1. */
export function jsonDepth(value: unknown, limit: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (limit <= 0) return 1;
  let deepest = 0;
  for (const child of Array.isArray(value) ? (value as unknown[]) : Object.values(value)) {
    deepest = Math.max(deepest, jsonDepth(child, limit - 1));
    if (deepest >= limit) break;
  }
  return deepest + 1;
}

/**
 * What JSON must be that is to come back as it was sent; undefined for what is. A number too large for a double, such as 1e999, was read
 * as Infinity and would be printed as null. Half a surrogate pair, which JSON can escape, has no UTF-8 and would be U+FFFD in protobuf.
 */
export function faultOfJson(value: unknown): string | undefined {
  // Not by recursion: nobody has looked yet how deep it is.
  const left = [value];
  while (left.length > 0) {
    const next = left.pop();
    if (typeof next === 'number' && !Number.isFinite(next)) return 'must be JSON with numbers up to 1.79e308';
    if (typeof next === 'string' && !next.isWellFormed()) return halfPair;
    if (typeof next !== 'object' || next === null) continue;
    if (!Array.isArray(next) && !Object.keys(next).every((key) => key.isWellFormed())) return halfPair;
    for (const member of Object.values(next)) left.push(member);
  }
  return undefined;
}

export const halfPair = 'must be JSON without halves of surrogate pairs';

/** Sets an own property whatever its name is: a plain assignment to `__proto__` would set the prototype instead. */
export function setOwn(target: object, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    (target as Record<string, unknown>)[key] = value;
  }
}
