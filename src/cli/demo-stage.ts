import { setMaxListeners } from 'node:events';
import { CommandError, exitCodes } from './errors.js';
import { stdout } from './output.js';

/** What a demo is played on. */
export interface Stage {
  /** Of a server of its own. */
  readonly url: string;
  /** A folder of its own, which is gone afterwards. */
  readonly dir: string;
  readonly early: EarlyEnd;
  /** To end what has been started; what was last is ended first. */
  onEnd(cleanUp: () => Promise<void>): void;
}

/** What ends the demo before its time: Ctrl+C, SIGTERM, or something that went wrong. */
export interface EarlyEnd {
  readonly signal: AbortSignal;
  /** Rejects with the reason. */
  readonly happened: Promise<never>;
  end(reason: unknown): void;
  forget(): void;
}

export function createEarlyEnd(): EarlyEnd {
  const controller = new AbortController();
  const { signal } = controller;
  // Everyone who follows a job listens to it.
  setMaxListeners(0, signal);
  const happened = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
  happened.catch(() => undefined);
  const end = (reason: unknown): void => controller.abort(reason);
  const onSignal = (name: NodeJS.Signals): void => {
    if (!signal.aborted) stdout.line(`\n  ${name}: cleaning up ...`);
    end(new CommandError('interrupted', exitCodes.interrupted));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal,
    happened,
    end,
    forget() {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
