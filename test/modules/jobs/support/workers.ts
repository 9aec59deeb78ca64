import type { JobsClient, Lease } from '../../../support/jobs-client.js';
import { refusal } from '../../../support/jobs-client.js';
import { startWorker, type WorkStream } from '../../../support/work-client.js';
import { JobStatus } from '../../../../gen/muster/v1/jobs_pb.js';
import type { ManualClock } from '../../../../src/platform/clock.js';

/** What a worker does with a job after it has heartbeated for some ticks; `late`: it completes it after its lease. */
export type Verdict = 'complete' | 'retry' | 'fail' | 'crash' | 'late';

/**
 * What all workers of a test do at a time, seen from above. Time stands still but for `tick`, which waits until no call
 * is under way and after which every worker renews its lease before the next: a lease runs out if and only if its worker
 * has crashed, however slow the machine is.
 */
export interface Shift {
  /** Faults seen: two workers on one job at a time, or a job that was run after its end. */
  readonly faults: string[];
  /** How many times each job was begun. */
  readonly begun: Map<string, number>;
  /** The end of each job, as its worker was told: exactly one each. */
  readonly ended: Map<string, string[]>;
  /** Works on a job from its claim to its end. Resolves when the worker is free again. */
  work(worker: string, lease: Lease, report: Reporter): Promise<void>;
  tick(): Promise<void>;
}

/** One way to report; each resolves to the error word or to the job's new status. */
export interface Reporter {
  heartbeat(lease: Lease): Promise<string>;
  complete(lease: Lease, by: string): Promise<string>;
  fail(lease: Lease, retryable: boolean): Promise<string>;
}

export function createShift(clock: ManualClock, decide: () => { ticks: number; verdict: Verdict }): Shift {
  const running = new Map<string, string>();
  const faults: string[] = [];
  const begun = new Map<string, number>();
  const ended = new Map<string, string[]>();
  const beating = new Set<() => void>();
  let calls = 0;
  let quiet: (() => void) | undefined;

  /** A call during which time stands still. */
  async function call<T>(run: () => Promise<T>): Promise<T> {
    calls += 1;
    try {
      return await run();
    } finally {
      calls -= 1;
      if (calls === 0) quiet?.();
    }
  }
  const nextTick = (): Promise<void> => new Promise((resolve) => beating.add(resolve));

  return {
    faults,
    begun,
    ended,
    async work(worker, lease, report) {
      const { id } = lease;
      const { ticks, verdict } = decide();
      // While the answer to its claim was on the way time may have passed: it makes sure that it has the job.
      if ((await call(() => report.heartbeat(lease))) !== 'running') return;
      const other = running.get(id);
      if (other !== undefined) faults.push(`${id} is run by ${other} and by ${worker}`);
      if (ended.has(id)) faults.push(`${id} is run by ${worker} after its end`);
      running.set(id, worker);
      begun.set(id, (begun.get(id) ?? 0) + 1);
      for (let tick = 0; tick < ticks; tick++) {
        await nextTick();
        const status = await call(() => report.heartbeat(lease));
        if (status !== 'running') faults.push(`${worker} lost ${id} while it worked: ${status}`);
      }
      if (verdict === 'crash' || verdict === 'late') running.delete(id);
      if (verdict === 'crash') return;
      if (verdict === 'late') for (let tick = 0; tick < 8; tick++) await nextTick();
      await call(async () => {
        const status = await (verdict === 'complete' || verdict === 'late'
          ? report.complete(lease, worker)
          : report.fail(lease, verdict === 'retry'));
        if (verdict !== 'late') running.delete(id);
        // Too late is fine; in time still is only as long as nobody else has been given the job.
        else if (status === 'lease_lost' || status === 'invalid_state') return;
        else if (running.has(id)) faults.push(`${worker} ended ${id}, which ${running.get(id)} runs`);
        if (status === 'done' || status === 'error')
          ended.set(id, [...(ended.get(id) ?? []), `${status} by ${worker}`]);
        else if (status !== 'queued') faults.push(`${worker} could not report on ${id}: ${status}`);
      });
    },
    async tick() {
      while (calls > 0) await new Promise<void>((resolve) => (quiet = resolve));
      clock.advance(400);
      const due = [...beating];
      beating.clear();
      // Each begins its heartbeat in this very turn or the next one; none can be forgotten by the tick after.
      due.forEach((beat) => beat());
      await new Promise(setImmediate);
    },
  };
}

/** A crashed worker's job comes back after five ticks. */
const leaseSec = 2;

/** Claims over REST, one or two at a time, until told to stop. */
export async function restWorker(name: string, jobs: JobsClient, shift: Shift, over: AbortSignal): Promise<void> {
  const word = async (call: Promise<{ status: string }>): Promise<string> => {
    const answer = await call.catch(async (): Promise<{ status: string }> => ({ status: (await refusal(call)).error }));
    return answer.status;
  };
  const report: Reporter = {
    heartbeat: (lease) => word(jobs.heartbeat(lease).then(() => ({ status: 'running' }))),
    complete: (lease, by) => word(jobs.complete(lease, by)),
    fail: (lease, retryable) => word(jobs.fail(lease, { retryable })),
  };
  while (!over.aborted) {
    const claimed = await jobs.claim({ worker_id: name, kinds: ['build'], max: 2, lease_sec: leaseSec, wait_sec: 1 });
    await Promise.all(claimed.map((lease) => shift.work(name, lease, report)));
  }
}

const words = ['', 'queued', 'running', 'done', 'error', 'canceled'];

/** Gets its jobs over a Work stream. Now and then its connection breaks, and it comes back with another one. */
export async function streamWorker(
  name: string,
  url: string,
  shift: Shift,
  over: AbortSignal,
  breaks: () => boolean,
): Promise<void> {
  const atEnd = new Promise<undefined>((resolve) => over.addEventListener('abort', () => resolve(undefined)));
  while (!over.aborted) {
    const stream = await startWorker(url, { workerId: name, kinds: ['build'], capacity: 3, leaseSec });
    const report = streamReporter(stream);
    const working: Promise<void>[] = [];
    for (let taken = 0; ; taken++) {
      const coming = stream.until('another job has come', ({ jobs }) => jobs[taken]);
      coming.catch(() => undefined);
      const next = await Promise.race([coming, atEnd]);
      if (next === undefined) break;
      working.push(shift.work(name, { id: next.id, lease_token: next.leaseToken }, report));
      if (breaks()) break;
    }
    // What came with the last one is let fall, as by a crash; what it works on is reported, and then the line is cut.
    await Promise.all(working);
    stream.breakOff();
    await stream.over;
  }
}

function streamReporter(stream: WorkStream): Reporter {
  const answer = async ({ id, lease_token: leaseToken }: Lease, send: () => void): Promise<string> => {
    const before = stream.heard.outcomes.length;
    send();
    const outcome = await stream.until(`${id} is answered`, ({ outcomes }) =>
      outcomes
        .slice(before)
        .find((each) => each.id === id && (each.leaseToken === leaseToken || each.status === JobStatus.DONE)),
    );
    return outcome.error?.error ?? words[outcome.status] ?? '';
  };
  const lease = ({ id, lease_token: leaseToken }: Lease) => ({ id, leaseToken });
  return {
    heartbeat: (held) => answer(held, () => stream.update({ held: [lease(held)] })),
    complete: (done, by) =>
      answer(done, () => stream.update({ completed: [{ ...lease(done), resultJson: JSON.stringify(by) }] })),
    fail: (failed, retryable) =>
      answer(failed, () =>
        stream.update({ failed: [{ ...lease(failed), error: { code: 'broken', message: '' }, retryable }] }),
      ),
  };
}
