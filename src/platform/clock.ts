/** Tells the time. There is one in a server; tests hand in their own. */
export interface Clock {
  now(): Date;
}

/** A clock that a test sets and advances by hand. */
export interface ManualClock extends Clock {
  advance(ms: number): void;
}

export function createManualClock(start: Date): ManualClock {
  let ms = start.getTime();
  return {
    now: () => new Date(ms),
    advance: (by) => {
      ms += by;
    },
  };
}

/**
 * The database's time, so that servers with clocks apart agree on when a lease ends: measured once by `sync` and carried
 * on by this process's monotonic clock, which no adjustment of the wall clock moves. Call `sync` again now and then,
 * since the two drift apart by a few milliseconds an hour.
 */
export interface DatabaseClock extends Clock {
  sync(): Promise<void>;
}

export async function createDatabaseClock(databaseNow: () => Promise<Date>): Promise<DatabaseClock> {
  let epoch = 0;
  const sync = async (): Promise<void> => {
    const asked = performance.now();
    const answer = await databaseNow();
    // The database looked at its clock somewhere between question and answer.
    epoch = answer.getTime() - (asked + performance.now()) / 2;
  };
  await sync();
  return { now: () => new Date(epoch + performance.now()), sync };
}
