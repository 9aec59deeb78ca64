import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import type { Log } from '../../platform/log.js';
import { createLoop } from '../../platform/loop.js';
import { numberedTopic } from './feed.js';
import { numberEvents } from './store.js';

/**
 * Numbers the events of committed transactions. Any server may do so at any time, and whoever does numbers all that there
 * are. So it is done at once where somebody listens, before every read, and now and then by everybody.
 */
export interface Sequencer {
  /** Call after a commit with events in it. */
  appended(): void;
  /** Resolves when all that was committed before the call has its number. */
  flush(): Promise<void>;
  start(): void;
  stop(): Promise<void>;
}

export interface SequencerDeps {
  readonly db: Db;
  readonly wakeups: Wakeups;
  readonly log: Log;
  readonly pollMs: number;
  /** Whether somebody listens on this server. */
  readonly hurried: () => boolean;
}

/** Announced when there are events to be numbered. */
const appendedTopic = 'events_appended';
const most = 2000;
/** Between two runs, so that each numbers many events: where somebody listens, and else. */
const hurriedGapMs = 5;
const idleGapMs = 250;

export function createSequencer({ db, wakeups, log, pollMs, hurried }: SequencerDeps): Sequencer {
  let timer: NodeJS.Timeout | undefined;
  let last = -Infinity;

  async function numberSome(): Promise<boolean> {
    last = performance.now();
    const numbered = await numberEvents(db, most);
    if (numbered > 0) wakeups.notify(numberedTopic);
    // A single row may stand for many events, so that it can be more.
    return numbered >= most;
  }

  const loop = createLoop({
    name: 'event_numbers',
    log,
    intervalMs: pollMs,
    run: async () => ((await numberSome()) ? 0 : undefined),
  });

  const unlisten = wakeups.on(appendedTopic, () => {
    const wait = last + (hurried() ? hurriedGapMs : idleGapMs) - performance.now();
    if (wait <= 0) return loop.wake();
    timer ??= setTimeout(() => {
      timer = undefined;
      loop.wake();
    }, wait);
  });

  return {
    appended: () => wakeups.notify(appendedTopic),
    async flush() {
      while (await numberSome());
    },
    start: () => loop.start(),
    async stop() {
      unlisten();
      clearTimeout(timer);
      await loop.stop();
    },
  };
}
