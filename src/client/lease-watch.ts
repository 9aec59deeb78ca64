import type { HeldJob } from './held-job.js';
import type { Holdings } from './holdings.js';

export interface LeaseWatch {
  /** Call when a job has come. */
  watch(): void;
  stop(): void;
}

export interface LeaseWatchOptions {
  readonly holdings: Holdings;
  readonly leaseMs: () => number;
  /** Heartbeats are due; the holdings know them. */
  readonly onDue: () => void;
  /** By our own clock the lease has ended. */
  readonly onEnded: (held: HeldJob) => void;
}

/** Heartbeats for all jobs at a third of the lease; without a connection, an eye on which leases have ended. */
export function createLeaseWatch({ holdings, leaseMs, onDue, onEnded }: LeaseWatchOptions): LeaseWatch {
  let timer: NodeJS.Timeout | undefined;

  function arm(firstEnd: number): void {
    timer = setTimeout(look, Math.min(leaseMs() / 3, Math.max(firstEnd - performance.now(), 1)));
  }

  function look(): void {
    timer = undefined;
    const now = performance.now();
    for (const held of holdings.all()) {
      const open = held.phase === 'waiting' || held.phase === 'running';
      if (open && held.leaseEndsAt <= now) onEnded(held);
    }
    if (holdings.size === 0) return;
    const firstEnd = holdings.renewAll();
    arm(firstEnd);
    onDue();
  }

  return {
    watch() {
      if (timer === undefined) arm(Infinity);
    },
    stop() {
      clearTimeout(timer);
      timer = undefined;
    },
  };
}
