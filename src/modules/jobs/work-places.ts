import type { Leased } from './store.js';

/** The jobs that a worker has, as its stream knows them, and for how many more it has room. */
export interface Places {
  /** Lease tokens, by job id, of the jobs that the worker got on this stream and has not reported. */
  readonly held: ReadonlyMap<string, string>;
  /** Of those that it brought along from an earlier stream, for which it has set aside places by itself. */
  readonly brought: ReadonlyMap<string, string>;
  capacity: number;
  room(): number;
  /** A few places are left to wait for the others that reports under way are about to free: one claim costs what many do. */
  wantsMore(): boolean;
  take(jobs: readonly Leased[]): void;
  /** It says that it has a job, which it may have brought along. */
  confirm(job: Leased): void;
  /** Its report has come and is not committed yet. */
  beginReport(job: Leased): void;
  /** The report has come to nothing, so that the job can be reported again. */
  takeBack(job: Leased): void;
  /** It is the worker's no more, if it was under this lease. */
  drop(job: Leased): void;
  /** The same, whatever the lease. */
  lose(id: string): void;
}

export function createPlaces(): Places {
  const held = new Map<string, string>();
  /**
   * Of those whose report is not committed yet: they have their places still, but may end by this very report, which is nothing
   * to tell the worker to stop for.
   */
  const reported = new Map<string, string>();
  const brought = new Map<string, string>();

  const places: Places = {
    held,
    brought,
    capacity: 0,
    room: () => places.capacity - held.size - reported.size,
    wantsMore: () => places.room() > 0 && (reported.size === 0 || places.room() * 4 >= places.capacity),
    take(jobs) {
      for (const { id, leaseToken } of jobs) held.set(id, leaseToken);
    },
    confirm({ id, leaseToken }) {
      if (held.get(id) !== leaseToken && reported.get(id) !== leaseToken) brought.set(id, leaseToken);
    },
    beginReport({ id, leaseToken }) {
      if (brought.get(id) === leaseToken) brought.delete(id);
      if (held.get(id) !== leaseToken) return;
      held.delete(id);
      reported.set(id, leaseToken);
    },
    takeBack(job) {
      const wasReported = reported.get(job.id) === job.leaseToken;
      places.drop(job);
      if (wasReported) held.set(job.id, job.leaseToken);
    },
    drop({ id, leaseToken }) {
      if (held.get(id) === leaseToken) held.delete(id);
      if (reported.get(id) === leaseToken) reported.delete(id);
      if (brought.get(id) === leaseToken) brought.delete(id);
    },
    lose(id) {
      held.delete(id);
      brought.delete(id);
    },
  };
  return places;
}
