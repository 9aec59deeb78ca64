/** Lets many wait for conditions that somebody else brings about. */
export interface Conditions {
  /** Something has changed: looks at every condition that is waited for. */
  changed(): void;
  /** Resolves with true once `done` holds, with false after `limitMs` or when the signal aborts. */
  until(done: () => boolean, limitMs: number, signal?: AbortSignal): Promise<boolean>;
}

const maxTimerMs = 2 ** 31 - 1;

export function createConditions(): Conditions {
  const looks = new Set<() => void>();
  return {
    changed() {
      // Called for each job that ends, and mostly nobody waits.
      if (looks.size > 0) for (const look of looks) look();
    },
    until(done, limitMs, signal) {
      if (done()) return Promise.resolve(true);
      if (signal?.aborted === true) return Promise.resolve(false);
      return new Promise((resolve) => {
        const leave = (): void => {
          looks.delete(look);
          clearTimeout(timer);
          signal?.removeEventListener('abort', leave);
          resolve(done());
        };
        const look = (): void => void (done() && leave());
        const timer = limitMs > maxTimerMs ? undefined : setTimeout(leave, limitMs);
        signal?.addEventListener('abort', leave, { once: true });
        looks.add(look);
      });
    },
  };
}
