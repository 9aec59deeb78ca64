import { setMaxListeners } from 'node:events';
import { messageOf } from '../errors.js';
import type { Log } from './log.js';

/** Stops what was started, newest first. */
export interface Lifecycle {
  /** Aborts as soon as the stop begins, so that streams and waiting calls can end. */
  readonly stopping: AbortSignal;
  /** Registers what stops a part that has just been started. */
  onStop(name: string, stop: () => Promise<void> | void): void;
  /** Stops everything once; a part that fails to stop is logged and does not hold up the others. */
  stop(): Promise<void>;
}

export function createLifecycle(log: Log): Lifecycle {
  const controller = new AbortController();
  // Every stream listens to it.
  setMaxListeners(0, controller.signal);
  const parts: { readonly name: string; readonly stop: () => Promise<void> | void }[] = [];
  let stopped: Promise<void> | undefined;

  async function stopAll(): Promise<void> {
    controller.abort(new Error('the server is stopping'));
    for (const part of parts.toReversed()) {
      try {
        await part.stop();
      } catch (error) {
        log.error('stop_failed', { part: part.name, error: messageOf(error) });
      }
    }
  }
  return {
    stopping: controller.signal,
    onStop: (name, stop) => void parts.push({ name, stop }),
    stop: () => (stopped ??= stopAll()),
  };
}
