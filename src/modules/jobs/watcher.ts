import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import { createLoop } from '../../platform/loop.js';
import type { Log } from '../../platform/log.js';
import { findLeases, type Lease } from './store.js';

/** Why a worker has to stop working on a job. */
export type StopReason = 'canceled' | 'timeout' | 'lease_lost';

/**
 * Watches rows of jobs on behalf of this server's streams: one query for all of them, at every wake-up and at every poll,
 * however many streams there are.
 */
export interface Watcher {
  /** Calls `changed` when the job's state or lease may have changed. Answers the function that ends it. */
  watch(id: string, changed: () => void): () => void;
  /** Calls `lost` once when the job is no longer running under this lease. */
  hold(id: string, leaseToken: string, lost: (reason: StopReason) => void): () => void;
  start(): void;
  stop(): Promise<void>;
}

export interface WatcherDeps {
  readonly db: Db;
  readonly wakeups: Wakeups;
  readonly log: Log;
  readonly pollMs: number;
}

/** Announced when a job that was running was taken from its worker. */
export const stoppedTopic = 'jobs_stopped';
/** Announced at every change of a job. */
export const changedTopic = 'jobs_changed';

interface Hold {
  readonly id: string;
  readonly leaseToken: string;
  readonly lost: (reason: StopReason) => void;
}

export function createWatcher({ db, wakeups, log, pollMs }: WatcherDeps): Watcher {
  const holds = new Set<Hold>();
  const watches = new Map<string, Set<() => void>>();

  const holdLoop = createLoop({
    name: 'held_jobs',
    log,
    intervalMs: pollMs,
    run: async () => {
      const asked = [...holds];
      if (asked.length === 0) return;
      const found = await findLeases(db, [...new Set(asked.map(({ id }) => id))]);
      for (const hold of asked) {
        const lease = found.get(hold.id);
        if (lease?.state === 'running' && lease.leaseToken === hold.leaseToken) continue;
        // Reported meanwhile, by the stream itself.
        if (!holds.delete(hold)) continue;
        hold.lost(reasonOf(lease, hold.leaseToken));
      }
    },
  });
  const watchLoop = createLoop({
    name: 'watched_jobs',
    log,
    intervalMs: pollMs,
    run: async () => {
      for (const listeners of watches.values()) for (const changed of listeners) changed();
    },
  });
  const unlisten = [
    wakeups.on(stoppedTopic, () => holds.size > 0 && holdLoop.wake()),
    wakeups.on(changedTopic, () => watches.size > 0 && watchLoop.wake()),
  ];

  return {
    watch(id, changed) {
      let listeners = watches.get(id);
      if (listeners === undefined) watches.set(id, (listeners = new Set()));
      listeners.add(changed);
      return () => {
        listeners.delete(changed);
        if (listeners.size === 0 && watches.get(id) === listeners) watches.delete(id);
      };
    },
    hold(id, leaseToken, lost) {
      const hold: Hold = { id, leaseToken, lost };
      holds.add(hold);
      return () => void holds.delete(hold);
    },
    start() {
      holdLoop.start();
      watchLoop.start();
    },
    async stop() {
      unlisten.forEach((end) => end());
      await Promise.all([holdLoop.stop(), watchLoop.stop()]);
    },
  };
}

function reasonOf(lease: Lease | undefined, heldToken: string): StopReason {
  if (lease?.state === 'canceled' && lease.leaseToken === heldToken) return 'canceled';
  return lease?.errorCode === 'timeout' ? 'timeout' : 'lease_lost';
}
