import { setTimeout as pause } from 'node:timers/promises';

/** Bounds a hang; says nothing about speed. */
export const patienceMs = 40_000;

type Falsy = undefined | false | null;

/**
 * Looks again and again until there is something to see, and answers it. For what no signal tells of, such as a row that
 * another process writes.
 */
export async function until<T>(what: string, look: () => Promise<T | Falsy> | T | Falsy): Promise<T> {
  const end = performance.now() + patienceMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false && seen !== null) return seen;
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`);
    await pause(5);
  }
}

/** The same for a promise that may never settle. */
export async function soon<T>(what: string, promise: Promise<T>): Promise<T> {
  const bound = new AbortController();
  const late = pause(patienceMs, undefined, { signal: bound.signal }).then(
    () => {
      throw new Error(`waited in vain for ${what}`);
    },
    () => promise,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    bound.abort();
  }
}
