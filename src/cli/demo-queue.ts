import { fileURLToPath } from 'node:url';
import { createMusterClient, followJob, type MusterClient, valueOf } from '../client/index.js';
import { type DemoJob, demoJobs, demoKind } from './demo-jobs.js';
import type { EarlyEnd, Stage } from './demo-stage.js';
import { createDemoView, type DemoResult, summary } from './demo-view.js';
import { startDemoWorker, type WorkLine } from './demo-workers.js';
import { CommandError, exitCodes } from './errors.js';
import { shownJob } from './job-text.js';
import { stdout } from './output.js';
import { cliHeaders } from './server-access.js';

/** Has two workers run jobs, some of which fail at first, and cancels one in mid run. */
export async function playJobs({ url, early, onEnd }: Stage): Promise<void> {
  const jobs = demoJobs();
  stdout.line(`  Ready at ${url}. Submitting ${jobs.length} jobs, then starting two workers.\n`);
  const client = createMusterClient({ url: url, headers: cliHeaders });
  onEnd(async () => client.close());
  const ids = await Promise.all(jobs.map((job) => submit(client, job)));
  if (early.signal.aborted) return;

  const byId = new Map(jobs.map((job, index) => [ids[index] ?? '', job]));
  const workers = startWorkers(url, client, byId, early);
  onEnd(() => workers.stop());
  const results = await Promise.all([...byId].map(async ([id, demo]) => ({ demo, ...(await workers.resultOf(id)) })));
  workers.view.end();
  stdout.line(`\n${summary(results, stdout)}`);
  checkEnds(results);
}

function startWorkers(url: string, client: MusterClient, byId: ReadonlyMap<string, DemoJob>, early: EarlyEnd) {
  const view = createDemoView(stdout, byId.size);
  const workedBy = new Map<string, string>();
  const canceled = [...byId].find(([, { ends }]) => ends === 'canceled')?.[0] ?? '';
  let ended = 0;
  let cancelling: Promise<unknown> | undefined;

  function onLine(worker: string, line: WorkLine): void {
    const id = line.job_id ?? '';
    if (line.event === 'job_started') workedBy.set(id, worker);
    if (line.event === 'job_ended') ended += 1;
    view.worked(worker, line, byId.get(id));
    // In mid run: by now its program has computed for a while.
    if (ended >= byId.size / 2 && workedBy.has(canceled)) {
      cancelling ??= client.jobs.cancelJob({ id: canceled }).catch((error: unknown) => early.end(error));
    }
  }
  const workers = ['worker-1', 'worker-2'].map((name) => {
    const exec = `'${process.execPath}' '${fileURLToPath(new URL('demo-program.js', import.meta.url))}'`;
    const worker = startDemoWorker({ name, url, kind: demoKind, exec, onLine: (line) => onLine(name, line) });
    void worker.ended.then(() => early.end(new CommandError(`${name} ended before its time`, exitCodes.failed)));
    return worker;
  });
  return {
    view,
    async resultOf(id: string): Promise<Omit<DemoResult, 'demo'>> {
      const { signal } = early;
      let last;
      for await (const job of followJob(client, id, { signal })) last = job;
      if (last === undefined) throw new Error(`${id} has no state`);
      return { job: shownJob(last), worker: workedBy.get(id) ?? '' };
    },
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop(early.signal.aborted ? 'at once' : 'gently')));
    },
  };
}

async function submit(client: MusterClient, { payload }: DemoJob): Promise<string> {
  const { id } = await client.jobs.createJob({ kind: demoKind, payload: valueOf(payload) });
  return id;
}

function checkEnds(results: readonly DemoResult[]): void {
  const odd = results.filter(({ demo: { ends, attempts }, job }) => job.status !== ends || job.attempts !== attempts);
  if (odd.length === 0) return;
  const what = odd.map(({ demo, job }) => `${demo.label} is ${job.status} after ${job.attempts} attempts`).join(', ');
  throw new CommandError(`the demo did not go as it should: ${what}`, exitCodes.failed);
}
