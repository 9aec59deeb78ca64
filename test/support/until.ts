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

/** Waits for something to be seen in what is heard from somebody else. */
export interface Lookout<S> {
  /** Call when more has been heard, or the other side has ended. */
  tell(): void;
  /** Resolves when `look` finds something; rejects when the other side ends first. */
  until<T>(what: string, look: (heard: S) => T | undefined | false): Promise<T>;
}

/** `ended` says how the other side ended, once it has; `summary` what was heard, for a message. */
export function createLookout<S>(heard: S, ended: () => string | undefined, summary: () => string): Lookout<S> {
  const waiting = new Set<() => void>();
  return {
    tell: () => waiting.forEach((look) => look()),
    until: (what, look) =>
      new Promise((resolve, reject) => {
        const settle = (answer: () => void): void => {
          clearTimeout(late);
          waiting.delete(again);
          answer();
        };
        const again = (): void => {
          const seen = look(heard);
          if (seen !== undefined && seen !== false) return settle(() => resolve(seen));
          const end = ended();
          if (end !== undefined) settle(() => reject(new Error(`ended before ${what}: ${end}`)));
        };
        const late = setTimeout(
          () => settle(() => reject(new Error(`waited in vain until ${what}; heard ${summary()}`))),
          patienceMs,
        );
        waiting.add(again);
        again();
      }),
  };
}
