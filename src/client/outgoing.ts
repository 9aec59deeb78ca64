import type { WorkRequest } from '../../gen/muster/v1/jobs_pb.js';

/** A worker's side of its stream. */
export interface Outgoing {
  readonly messages: AsyncIterable<WorkRequest>;
  /** There may be something to say. What is added in the same turn of the event loop goes along. */
  wake(): void;
  /** Ends this side once all has been said. */
  end(): void;
}

/** `next` is asked whenever the connection takes another message, so what waits is never stored twice. */
export function createOutgoing(start: WorkRequest, next: () => WorkRequest | undefined): Outgoing {
  let ended = false;
  let woken: (() => void) | undefined;
  let scheduled = false;

  async function* say(): AsyncIterable<WorkRequest> {
    yield start;
    for (;;) {
      const message = next();
      if (message !== undefined) yield message;
      else if (ended) return;
      else await new Promise<void>((resolve) => (woken = resolve));
    }
  }

  function deliver(): void {
    scheduled = false;
    woken?.();
    woken = undefined;
  }

  return {
    messages: say(),
    wake() {
      if (scheduled || woken === undefined) return;
      scheduled = true;
      setImmediate(deliver);
    },
    end() {
      ended = true;
      deliver();
    },
  };
}
