import { randomUUID } from 'node:crypto';
import { messageOf } from '../../errors.js';
import { createBackOff } from '../../platform/back-off.js';
import type { Clock } from '../../platform/clock.js';
import type { Db } from '../../platform/db/db.js';
import type { Log } from '../../platform/log.js';
import { createLoop, type Loop } from '../../platform/loop.js';
import { type Hold, renewHold, takeOverOne, type VcsRow } from './store-vcs.js';

export interface HoldsDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  readonly pollMs: number;
  /** Heals what somebody has left who had the row in hands; it is in ours now. Repeated, ever more seldom, when it fails. */
  readonly heal: (row: VcsRow, hold: Hold) => Promise<void>;
}

/** Who has the branch and work tree of a task in hands, while git is at work on them and no transaction can be open. */
export interface Holds {
  /** A hold to be written down, and until when it holds unless it is renewed. */
  create(taskId: string): Hold & { readonly until: Date };
  /** Runs `work` with the hold renewed all the time. `signal` aborts when it has been lost. */
  keep<T>(hold: Hold, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Looks at once whether there is something to be healed. */
  wake(): void;
  /** The same, and tries what has failed of these without leaving it alone any longer. */
  retry(taskIds: readonly string[]): void;
  start(): void;
  stop(): Promise<void>;
}

/** After so long without renewal a holder counts as dead. */
const holdMs = 10_000;
/** The longest time after which it is tried again to heal a row, such as one of a repository whose folder is gone. */
const mostRestMs = 5 * 60_000;

export function createHolds({ db, clock, log, pollMs, heal }: HoldsDeps): Holds {
  const backOff = createBackOff({ now: () => clock.now(), firstMs: holdMs, mostMs: mostRestMs });
  let isStopped = false;
  const until = (): Date => new Date(clock.now().getTime() + holdMs);

  async function keep<T>(hold: Hold, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const lost = new AbortController();
    let isRenewing = false;
    const renew = async (): Promise<void> => {
      // It may wait for the transaction that settles; one connection at a time is enough for that.
      if (isRenewing) return;
      isRenewing = true;
      try {
        if (!(await renewHold(db, hold, until()))) lost.abort();
      } catch (error) {
        log.warn('hold_not_renewed', { task_id: hold.taskId, error });
      } finally {
        isRenewing = false;
      }
    };
    const timer = setInterval(() => void renew(), holdMs / 4);
    try {
      return await work(lost.signal);
    } finally {
      clearInterval(timer);
    }
  }

  async function healOne(row: VcsRow, hold: Hold): Promise<void> {
    const facts = { task_id: row.task_id, repo_id: row.repo_id, state: row.state };
    try {
      await keep(hold, () => heal(row, hold));
    } catch (error) {
      // It stays in our hands until those let go, and others are healed meanwhile.
      const isNews = backOff.failed(row.task_id, messageOf(error));
      if (isNews && !isStopped) log.warn('work_not_healed', { ...facts, error });
      return;
    }
    backOff.release(row.task_id);
    log.info('work_healed', facts);
  }

  const loop: Loop = createLoop({
    name: 'holds',
    log,
    intervalMs: pollMs,
    async run() {
      while (!isStopped) {
        const hold = { holder: randomUUID(), until: until(), except: backOff.resting() };
        const row = await takeOverOne(db, hold, clock.now());
        if (row === undefined) return;
        await healOne(row, { taskId: row.task_id, holder: hold.holder });
      }
    },
  });

  return {
    create: (taskId) => ({ taskId, holder: randomUUID(), until: until() }),
    keep,
    wake: () => loop.wake(),
    retry(taskIds) {
      taskIds.forEach((id) => backOff.release(id));
      loop.wake();
    },
    start() {
      isStopped = false;
      loop.start();
    },
    stop() {
      isStopped = true;
      return loop.stop();
    },
  };
}
