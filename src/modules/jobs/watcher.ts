import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import { createLoop } from '../../platform/loop.js';
import type { Log } from '../../platform/log.js';
import { findLeases, type Lease, type Leased } from './store.js';

/** Why a worker has to stop working on a job. */
export type StopReason = 'canceled' | 'timeout' | 'lease_lost';

/**
 * Watches rows of jobs on behalf of this server's streams: one query for all of them, at every wake-up and at every poll,
 * however many streams there are.
 */
export interface Watcher {
  /** Calls `changed` when the job's state or lease may have changed. Answers the function that ends it. */
  watch(id: string, changed: () => void): () => void;
  /** Tells the holder what it has lost, until the function that this answers is called. */
  hold(holder: Holder): () => void;
  start(): void;
  stop(): Promise<void>;
}

/** Somebody with jobs in hand. */
export interface Holder {
  /** Lease tokens by job id; it may change at any time. */
  readonly held: ReadonlyMap<string, string>;
  /** Called when one of them is no longer running under its lease, again and again while it is still among them. */
  lost(job: Leased, reason: StopReason): void;
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

export function createWatcher({ db, wakeups, log, pollMs }: WatcherDeps): Watcher {
  const holders = new Set<Holder>();
  const watches = new Map<string, Set<() => void>>();

  const holdLoop = createLoop({
    name: 'held_jobs',
    log,
    intervalMs: pollMs,
    run: async () => {
      const asked = [...holders].map((holder) => ({ holder, held: [...holder.held] }));
      const ids = new Set(asked.flatMap(({ held }) => held.map(([id]) => id)));
      if (ids.size === 0) return;
      const found = await findLeases(db, [...ids]);
      for (const { holder, held } of asked) {
        for (const [id, leaseToken] of held) {
          const lease = found.get(id);
          if (lease?.state === 'running' && lease.leaseToken === leaseToken) continue;
          // Unless it was reported meanwhile, or is back under another lease.
          if (holder.held.get(id) === leaseToken) holder.lost({ id, leaseToken }, reasonOf(lease, leaseToken));
        }
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
    wakeups.on(stoppedTopic, () => holders.size > 0 && holdLoop.wake()),
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
    hold(holder) {
      holders.add(holder);
      return () => void holders.delete(holder);
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
