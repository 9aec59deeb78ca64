import type { Origin } from '../events/index.js';
import type { Claimer, ClaimRequest } from './claimer.js';
import type { WorkStart } from './work-messages.js';
import type { Outbox } from './work-outbox.js';
import type { Places } from './work-places.js';

export interface PusherDeps {
  readonly claimer: Claimer;
  readonly places: Places;
  readonly outbox: Outbox;
  readonly origin: Origin;
  /** Each ends it. */
  readonly over: AbortSignal;
  readonly stopping: AbortSignal;
}

/** Claims jobs for a worker that has room, and sends them. */
export interface Pusher {
  /** The worker has said what it takes. */
  start(worker: WorkStart): void;
  /** To be called when there may be more room. */
  more(): void;
  /** Ends the present wait for jobs; those that come too late for it go back. */
  cut(): void;
}

const waitMs = 60_000;

export function createPusher({ claimer, places, outbox, origin, over, stopping }: PusherDeps): Pusher {
  let worker: WorkStart | undefined;
  let claiming = false;
  let waiting: AbortController | undefined;

  async function claimMore(): Promise<void> {
    if (claiming || worker === undefined) return;
    claiming = true;
    try {
      while (!over.aborted && !stopping.aborted && places.wantsMore()) {
        const request: ClaimRequest = { ...worker, max: places.room(), waitMs, origin };
        waiting = new AbortController();
        const jobs = await claimer.claim(request, waiting.signal);
        places.take(jobs);
        outbox.jobs(jobs);
      }
    } catch (error) {
      outbox.fail(error);
    } finally {
      claiming = false;
    }
  }

  return {
    start: (given) => void (worker = given),
    more: () => void claimMore(),
    cut: () => waiting?.abort(),
  };
}
