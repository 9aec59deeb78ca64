import { AppError, invalidField } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import { idCursor } from '../../platform/cursor.js';
import { createBatcher } from '../../platform/db/batcher.js';
import type { Db, Tx } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import { type Keep, writeOnce } from '../../platform/idempotency/keep.js';
import { isId, type NewId } from '../../platform/ids.js';
import type { Log } from '../../platform/log.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import type { Appended, Origin } from '../events/index.js';
import { type ClaimRequest, createClaimer } from './claimer.js';
import { type CompleteInput, createDesk, type FailInput, type HeartbeatInput } from './desk.js';
import { createHousekeeping } from './housekeeping.js';
import {
  checkInteger,
  checkKind,
  checkName,
  checkNotOwn,
  type ClaimedJob,
  invalidTransition,
  isTerminal,
  type Job,
  type JobState,
  type JobStatus,
  type SubmitInput,
} from './jobs.js';
import { createOwnQueue, type OwnQueue } from './own-queue.js';
import { createReports, type Renewal } from './reports.js';
import { cancelJob, findJobs, forgetCanceled } from './store.js';
import { countJobs, listJobs } from './store-list.js';
import { createSubmitter, type Submitted } from './submitter.js';
import { changedTopic, createWatcher, stoppedTopic } from './watcher.js';
import type { WorkInput, WorkOutput } from './work-messages.js';
import { serveWorker } from './work-stream.js';

export interface JobsDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly wakeups: Wakeups;
  readonly log: Log;
  readonly random: () => number;
  /** Aborts when the server is about to stop. */
  readonly stopping: AbortSignal;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
  readonly pollMs: number;
  readonly retentionMs: number | undefined;
}

type Optional<T> = T | null | undefined;

const paging = createPaging(idCursor('job'), (job: Job) => job.id);

export interface ClaimInput {
  readonly workerId: string;
  readonly kinds: readonly string[];
  readonly max?: Optional<number>;
  readonly leaseSec?: Optional<number>;
  readonly waitSec?: Optional<number>;
}

export interface Canceled {
  readonly id: string;
  readonly status: 'canceled';
}

/** The use cases of jobs. Everything rejects with AppErrors that name the field at fault. */
export interface Jobs {
  submit(input: SubmitInput, origin: Origin, keep?: Keep<Submitted>): Promise<Submitted>;
  get(id: string): Promise<Job>;
  list(input: ListInput): Promise<{ readonly jobs: readonly Job[]; readonly nextCursor: string | undefined }>;
  cancel(id: string, origin: Origin, keep?: Keep<Canceled>): Promise<Canceled>;
  claim(input: ClaimInput, origin: Origin, signal: AbortSignal, keep?: Keep<ClaimedJob[]>): Promise<ClaimedJob[]>;
  heartbeat(input: HeartbeatInput, keep?: Keep<Renewal>): Promise<Renewal>;
  complete(input: CompleteInput, origin: Origin, keep?: Keep<Job>): Promise<Job>;
  fail(input: FailInput, origin: Origin, keep?: Keep<Job>): Promise<Job>;
  work(inputs: AsyncIterable<WorkInput>, origin: Origin, signal: AbortSignal): AsyncIterable<WorkOutput>;
  watch(id: string, signal: AbortSignal): AsyncIterable<Job>;
  /** Of a kind that begins with `muster.`. */
  ownQueue(kind: string): OwnQueue;
  /** How many jobs wait (`queued`), wait for their time (`scheduled`) and run (`running`); counted up to ten thousand. */
  depths(): Promise<{ readonly [state: string]: number }>;
  start(): void;
  stop(): Promise<void>;
}

export interface ListInput extends PageInput {
  readonly status: readonly JobStatus[];
  readonly kind: readonly string[];
}

export function createJobs(deps: JobsDeps): Jobs {
  const { db, clock, newId, wakeups, log, random, stopping, appended, pollMs, retentionMs } = deps;
  const housekeeping = createHousekeeping({ db, clock, wakeups, log, random, appended, pollMs, retentionMs });
  const onScheduled = housekeeping.scheduleChanged;
  const submitter = createSubmitter({ db, clock, newId, wakeups, onScheduled, appended });
  const claimer = createClaimer({ db, clock, wakeups, log, stopping, appended, pollMs });
  const reports = createReports({ db, clock, wakeups, random, onScheduled, appended });
  const desk = createDesk(reports);
  const watcher = createWatcher({ db, wakeups, log, pollMs });

  // Reads of concurrent callers share a query; each begins after its call came in, so it sees all that was committed.
  const reader = createBatcher<string, Job | undefined>({
    maxItems: 500,
    maxInFlight: 4,
    run: async (ids) => {
      const found = new Map((await findJobs(db, [...new Set(ids)])).map((job) => [job.id, job]));
      return ids.map((id) => found.get(id));
    },
  });

  async function get(id: string): Promise<Job> {
    const job = isId('job', id) ? await reader.submit(id) : undefined;
    if (job === undefined) throw notFound(id);
    return job;
  }

  async function cancel(id: string, origin: Origin, keep?: Keep<Canceled>): Promise<Canceled> {
    checkNotOwn(await get(id));
    const canceled: Canceled = { id, status: 'canceled' };
    const keepChange = async (tx: Tx, was: JobState | undefined): Promise<void> => {
      if (was !== undefined) await keep?.(tx, canceled);
    };
    const was = isId('job', id)
      ? await writeOnce(db, keep && keepChange, (on) => cancelJob(on, id, clock.now(), origin))
      : undefined;
    if (was === undefined) {
      const { status } = await get(id);
      if (status !== 'canceled') throw invalidTransition(id, status, 'canceled');
    } else {
      log.info('job_canceled', { corr_id: origin.correlationId, job_id: id, from: was });
      appended('JobCanceled', 1);
      wakeups.notify(changedTopic);
      if (was === 'running') wakeups.notify(stoppedTopic);
      else await forgetCanceled(db, id);
    }
    return canceled;
  }

  async function* watch(id: string, signal: AbortSignal): AsyncIterable<Job> {
    let wake: (() => void) | undefined;
    let changed = true;
    const look = (): void => {
      changed = true;
      wake?.();
    };
    const unwatch = watcher.watch(id, look);
    signal.addEventListener('abort', look, { once: true });
    stopping.addEventListener('abort', look, { once: true });
    try {
      let last = '';
      for (;;) {
        changed = false;
        const job = await get(id);
        const text = JSON.stringify(job);
        if (text !== last) yield job;
        last = text;
        if (isTerminal(job.status) || signal.aborted) return;
        if (stopping.aborted) throw new AppError('unavailable', 'The server is stopping; watch again.');
        if (!changed) await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      unwatch();
      signal.removeEventListener('abort', look);
      stopping.removeEventListener('abort', look);
    }
  }

  return {
    submit: submitter.submit,
    get,
    async list(input) {
      const page = paging(input);
      input.kind.forEach((kind, index) => checkName(`kind[${index}]`, kind));
      const { place: before, count: limit } = page;
      const found = await listJobs(db, { statuses: input.status, kinds: input.kind, before, limit });
      const { rows: jobs, nextCursor } = page.of(found);
      return { jobs, nextCursor };
    },
    cancel,
    claim: async (input, origin, signal, keep) => claimer.claim({ ...claimRequest(input), origin }, signal, keep),
    heartbeat: desk.heartbeat,
    async complete(input, origin, keep) {
      await desk.complete(input, origin, keepJob(input.id, keep));
      return get(input.id);
    },
    async fail(input, origin, keep) {
      const state = await desk.fail(input, origin, keepJob(input.id, keep));
      const facts = { job_id: input.id, reason: input.error?.code, retry: state === 'scheduled' };
      log.info('job_failed', { corr_id: origin.correlationId, ...facts });
      return get(input.id);
    },
    work: (inputs, origin, signal) => serveWorker(inputs, origin, signal, { claimer, desk, watcher, log, stopping }),
    watch,
    ownQueue: (kind) => createOwnQueue(kind, { claimer, reports, newId, onAdded: submitter.announce, appended }),
    depths: () => countJobs(db),
    start() {
      housekeeping.start();
      claimer.start();
      watcher.start();
    },
    async stop() {
      await Promise.all([housekeeping.stop(), claimer.stop(), watcher.stop()]);
    },
  };
}

/** Keeps the job as it is at the end of the transaction. */
function keepJob(id: string, keep: Keep<Job> | undefined): Keep<unknown> | undefined {
  if (keep === undefined) return undefined;
  return async (tx) => {
    const [job] = await findJobs(tx, [id]);
    if (job === undefined) throw notFound(id);
    await keep(tx, job);
  };
}

function notFound(id: string): AppError {
  return new AppError('not_found', `There is no job ${id}.`);
}

/** Whose it is and what it may take; `kinds` sorted, so that workers that want the same are served together. */
export function claimRequest(input: ClaimInput): Omit<ClaimRequest, 'origin'> {
  checkName('worker_id', input.workerId);
  if (input.kinds.length === 0 || input.kinds.length > 50) throw invalidField('kinds', 'must name 1 to 50 kinds');
  input.kinds.forEach((kind, index) => checkKind(`kinds[${index}]`, kind));
  return {
    workerId: input.workerId,
    kinds: [...new Set(input.kinds)].sort(),
    max: checkInteger('max', input.max ?? 1, 1, 500),
    leaseSec: checkInteger('lease_sec', input.leaseSec ?? 60, 1, 3600),
    waitMs: checkInteger('wait_sec', input.waitSec ?? 0, 0, 60) * 1000,
  };
}
