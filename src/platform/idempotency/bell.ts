import type { Wakeups } from '../db/wakeups.js';

/** Waits for what another server announces. Listens from the first wait on. */
export interface Bell {
  /** Resolves when it has rung since the last wait, after `ms`, or when one of the signals aborts; the first time at once. */
  rung(ms: number): Promise<void>;
  close(): void;
}

export function createBell(wakeups: Wakeups, topic: string, signals: readonly AbortSignal[]): Bell {
  let unlisten: (() => void) | undefined;
  let ringing = false;
  let wake = (): void => undefined;

  function ring(): void {
    ringing = true;
    wake();
  }

  return {
    async rung(ms) {
      if (unlisten === undefined) {
        const stop = wakeups.on(topic, ring);
        for (const signal of signals) signal.addEventListener('abort', ring);
        unlisten = () => {
          stop();
          for (const signal of signals) signal.removeEventListener('abort', ring);
        };
        // What was announced before anybody listened is to be seen now.
        return;
      }
      if (!ringing && !signals.some(({ aborted }) => aborted)) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      ringing = false;
    },
    close: () => unlisten?.(),
  };
}
