import type { ClaimedJob } from './jobs.js';
import type { Leased } from './store.js';
import type { StopReason } from './watcher.js';
import type { JobOutcome, WorkOutput } from './work-messages.js';

const maxOutcomes = 1000;
/**
 * Characters of payload after which a message ends. They take up to three bytes each, and the last payload may have 1 MiB: that
 * stays below the 4 MiB that gRPC clients accept.
 */
const maxPayload = 512 * 1024;

/** What waits to be sent, as one message that grows. */
export function createOutbox() {
  let started: { leaseSec: number } | undefined;
  let jobs: ClaimedJob[] = [];
  let completed: string[] = [];
  let outcomes: JobOutcome[] = [];
  let stopped: (Leased & { reason: StopReason })[] = [];
  let drain = false;
  let failure: { error: unknown } | undefined;
  let wakeTaker: (() => void) | undefined;
  let wakeReader: (() => void) | undefined;

  const wake = (): void => wakeTaker?.();
  const isEmpty = (): boolean =>
    started === undefined &&
    !drain &&
    jobs.length === 0 &&
    completed.length === 0 &&
    outcomes.length === 0 &&
    stopped.length === 0;

  return {
    wake,
    started(leaseSec: number) {
      started = { leaseSec };
      wake();
    },
    jobs(claimed: readonly ClaimedJob[]) {
      jobs.push(...claimed);
      wake();
    },
    completed(id: string) {
      completed.push(id);
      wake();
    },
    outcome(outcome: JobOutcome) {
      outcomes.push(outcome);
      wake();
    },
    stopped(stop: Leased & { reason: StopReason }) {
      stopped.push(stop);
      wake();
    },
    drain() {
      drain = true;
      wake();
    },
    fail(error: unknown) {
      failure ??= { error };
      wake();
    },
    /** Resolves when few enough answers wait. */
    async room(): Promise<void> {
      while (outcomes.length + completed.length > maxOutcomes)
        await new Promise<void>((resolve) => (wakeReader = resolve));
    },
    /** Resolves with what there is, or undefined once nothing is left and `done` says that nothing will come. */
    async take(done: () => boolean): Promise<WorkOutput | undefined> {
      while (isEmpty()) {
        if (failure !== undefined) throw failure.error;
        if (done()) return undefined;
        await new Promise<void>((resolve) => (wakeTaker = resolve));
        wakeTaker = undefined;
      }
      // Callbacks of this turn may add to it.
      await new Promise(setImmediate);
      const fitting = fittingCount(jobs);
      const message = {
        ...(started && { started }),
        jobs: fitting === jobs.length ? jobs : jobs.slice(0, fitting),
        completed,
        outcomes,
        stopped,
        drain,
      };
      started = undefined;
      jobs = fitting === jobs.length ? [] : jobs.slice(fitting);
      completed = [];
      outcomes = [];
      stopped = [];
      drain = false;
      wakeReader?.();
      return message;
    },
  };
}

export type Outbox = ReturnType<typeof createOutbox>;

/** How many of the jobs go in one message; at least one. */
function fittingCount(jobs: readonly ClaimedJob[]): number {
  let size = 0;
  let count = 0;
  while (count < jobs.length && size < maxPayload) size += jobs[count++]?.payload.text.length ?? 0;
  return count;
}
