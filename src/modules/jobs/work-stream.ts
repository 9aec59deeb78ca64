import { AppError } from '../../errors.js';
import type { Log } from '../../platform/log.js';
import type { Origin } from '../events/index.js';
import type { Claimer } from './claimer.js';
import type { Desk } from './desk.js';
import type { Leased } from './store.js';
import type { StopReason, Watcher } from './watcher.js';
import type { WorkInput, WorkOutput, WorkReports, WorkStart } from './work-messages.js';
import { createOutbox } from './work-outbox.js';
import { createPlaces } from './work-places.js';
import { createPusher } from './work-pusher.js';
import { createReporting } from './work-reports.js';

export interface WorkStreamDeps {
  readonly claimer: Claimer;
  readonly desk: Desk;
  readonly watcher: Watcher;
  readonly log: Log;
  /** Aborts when the server is about to stop. */
  readonly stopping: AbortSignal;
}

/**
 * One worker's stream. The worker holds at most `capacity` jobs: a place is taken when a job is sent and free again when
 * its report is committed. What cannot be sent yet is gathered, so that a slow reader costs one bounded message, never a
 * growing queue: jobs are bounded by the capacity, answers by the reports read, and no more reports are read while
 * too many answers wait.
 */
export async function* serveWorker(
  inputs: AsyncIterable<WorkInput>,
  origin: Origin,
  signal: AbortSignal,
  deps: WorkStreamDeps,
): AsyncIterable<WorkOutput> {
  const { claimer, desk, watcher, log, stopping } = deps;
  const outbox = createOutbox();
  const places = createPlaces();
  const over = new AbortController();
  const pusher = createPusher({ claimer, places, outbox, origin, over: over.signal, stopping });
  const reporting = createReporting({ desk, places, outbox, origin, log, freed: pusher.more });
  let worker: WorkStart | undefined;

  function lost({ id, leaseToken }: Leased, reason: StopReason): void {
    places.lose(id);
    outbox.stopped({ id, leaseToken, reason });
    pusher.more();
  }
  const unwatch = [watcher.hold({ held: places.held, lost }), watcher.hold({ held: places.brought, lost })];

  function begin(start: WorkStart): void {
    if (worker !== undefined) throw new AppError('invalid_request', 'start: comes once, as the first message');
    worker = start;
    places.capacity = start.capacity;
    pusher.start(start);
    const { workerId, kinds, capacity } = start;
    log.info('worker_connected', { corr_id: origin.correlationId, worker_id: workerId, kinds, capacity });
    outbox.started(start.leaseSec);
  }

  async function take(reports: WorkReports): Promise<void> {
    if (worker === undefined) throw new AppError('invalid_request', 'start: must be the first message');
    reporting.file(reports);
    const { capacity = places.capacity } = reports;
    const fewer = capacity < places.capacity;
    places.capacity = capacity;
    // It may wait for more than it wants now.
    if (fewer) pusher.cut();
    await outbox.room();
  }

  async function read(): Promise<void> {
    for await (const input of inputs) {
      if ('start' in input) begin(input.start);
      else await take(input);
      pusher.more();
    }
  }

  const drain = (): void => {
    pusher.cut();
    outbox.drain();
  };
  stopping.addEventListener('abort', drain, { once: true });
  if (stopping.aborted) drain();
  over.signal.addEventListener('abort', pusher.cut);
  const gone = (): void => {
    over.abort();
    outbox.wake();
  };
  signal.addEventListener('abort', gone, { once: true });

  /** How the worker's side came to its end; undefined while it has not. */
  let ended: 'cleanly' | 'broken' | undefined;
  const reading = read()
    .then(
      () => (ended = 'cleanly'),
      (error: unknown) => {
        ended = 'broken';
        outbox.fail(error);
      },
    )
    .finally(gone);

  try {
    for (;;) {
      const message = await outbox.take(() => signal.aborted || (ended !== undefined && !reporting.isBusy()));
      if (message === undefined) break;
      yield message;
    }
    // A worker that is no longer let in may go on talking; nobody listens.
    if (!signal.aborted) await reading;
  } finally {
    stopping.removeEventListener('abort', drain);
    signal.removeEventListener('abort', gone);
    over.abort();
    for (const end of unwatch) end();
    const left = [...places.held].map(([id, leaseToken]) => ({ id, leaseToken }));
    // A worker that ended its side is done with them. One whose connection broke, or that was told to leave because the
    // server stops, may come back while its leases run.
    if (ended === 'cleanly' && !signal.aborted && !stopping.aborted) {
      await Promise.allSettled(left.map((lease) => desk.release(lease, origin)));
    }
    if (worker !== undefined)
      log.info('worker_disconnected', { corr_id: origin.correlationId, worker_id: worker.workerId, held: left.length });
  }
}
