import type pg from 'pg';

/**
 * Lends the connections of a pool, and keeps those that come back at hand: a pool takes longer to hand a connection out and to take it
 * back, with timers, listeners and a turn of the event loop, than a lone statement takes in this process otherwise.
 */
export interface Connections {
  /** The one that came back last, or else one of the pool. Rejects when none can be made. */
  take(): pg.PoolClient | Promise<pg.PoolClient>;
  /** `broken`: why it cannot be used again. */
  giveBack(client: pg.PoolClient, broken?: Error): void;
  /** Call when a connection has been lost. Answers whether it was at hand, so that nobody else is told. */
  lost(client: pg.ClientBase, error: Error): boolean;
  readonly atHand: number;
  /** What is at hand goes back to the pool, as does from then on what comes back. */
  close(): void;
}

/** What has been at hand for once or twice that long goes back to the pool, which ends it in time. */
const idleMs = 10_000;

export function createConnections(pool: pg.Pool, keptMs = idleMs): Connections {
  const atHand: pg.PoolClient[] = [];
  /** How many there were at least since the last look: as many, from the oldest on, nobody has needed. */
  let unneeded = 0;
  let isClosed = false;

  function release(count: number): void {
    for (const client of atHand.splice(0, count)) client.release();
    unneeded = atHand.length;
  }
  const shrinking = setInterval(() => release(unneeded), keptMs).unref();

  return {
    take() {
      const client = atHand.pop();
      unneeded = Math.min(unneeded, atHand.length);
      return client ?? pool.connect();
    },
    giveBack(client, broken) {
      // Whoever waits for one waits with the pool.
      if (broken !== undefined || isClosed || pool.waitingCount > 0) client.release(broken);
      else atHand.push(client);
    },
    lost(client, error) {
      const index = atHand.findIndex((other) => other === client);
      if (index < 0) return false;
      unneeded = Math.min(unneeded, atHand.length - 1);
      atHand.splice(index, 1)[0]?.release(error);
      return true;
    },
    get atHand() {
      return atHand.length;
    },
    close() {
      isClosed = true;
      clearInterval(shrinking);
      release(atHand.length);
    },
  };
}
