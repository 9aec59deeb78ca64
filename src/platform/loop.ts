import type { Log } from './log.js';
import { within } from './within.js';

/** Background work that runs again and again: after an interval, or at once when woken. Runs never overlap. */
export interface Loop {
  /** Runs at once. Does nothing when it is started already; after a stop it starts anew. */
  start(): void;
  /** Runs as soon as the present run, if any, has ended. Wakes that come meanwhile count as one. */
  wake(): void;
  /** Resolves when the present run has ended, or is left behind since it takes too long; none follows. */
  stop(): Promise<void>;
}

export interface LoopOptions {
  readonly name: string;
  readonly log: Log;
  /** Between the end of a run and the start of the next, in milliseconds. */
  readonly intervalMs: number;
  /**
   * A run that fails is logged and tried again after the interval. It may answer in how many milliseconds it wants to
   * run again when that is sooner.
   */
  readonly run: () => Promise<number | void>;
  /** How long a stop waits for the present run, in milliseconds; by default 3000. */
  readonly stopMs?: number;
}

export function createLoop({ name, log, intervalMs, run, stopMs = 3000 }: LoopOptions): Loop {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let woken = false;
  let stopped = true;

  async function runOnce(): Promise<void> {
    let next = intervalMs;
    try {
      next = Math.min(next, (await run()) ?? intervalMs);
    } catch (error) {
      if (!stopped) log.error('loop_failed', { loop: name, error });
    }
    running = undefined;
    if (stopped) return;
    if (woken) begin();
    else timer = setTimeout(begin, Math.max(0, next));
  }

  function begin(): void {
    clearTimeout(timer);
    woken = false;
    running = runOnce();
  }

  return {
    start() {
      if (!stopped) return;
      stopped = false;
      // A run that the stop before still waits for is let end first.
      if (running === undefined) begin();
      else woken = true;
    },
    wake() {
      if (stopped) return;
      if (running === undefined) begin();
      else woken = true;
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      if (running !== undefined && !(await within(stopMs, running))) log.warn('loop_left_behind', { loop: name });
    },
  };
}
