import { setMaxListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startApp } from '../app.js';
import { createMusterClient, followJob, type MusterClient, valueOf } from '../client/index.js';
import { readSettings } from '../platform/config.js';
import { createLog } from '../platform/log.js';
import { serverSettings } from '../settings.js';
import { command } from './command.js';
import { type DemoJob, demoJobs, demoKind } from './demo-jobs.js';
import { createDemoView, type DemoResult, summary } from './demo-view.js';
import { startDemoWorker, type WorkLine } from './demo-workers.js';
import { CommandError, exitCodes } from './errors.js';
import { shownJob } from './job-text.js';
import { durationText, outliveReader, stdout } from './output.js';
import { cliHeaders } from './server-access.js';

export const demoCommand = command({
  flags: {},
  about: [
    'Starts a server with a database of its own in a temporary directory and two workers, has them compute checksums of',
    'files of this package, some of which fail at first, cancels one job in mid run, shows what came of it, and removes',
    'everything again. Takes a few seconds. Ctrl+C ends it early and removes everything, too.',
  ].join('\n'),
  run: () => demo(),
});

/** Ends what has been started; run in reverse order. */
type CleanUp = () => Promise<void>;

async function demo(): Promise<number> {
  outliveReader();
  const began = performance.now();
  const cleanUps: CleanUp[] = [];
  const early = createEarlyEnd();
  const playing = play(cleanUps, early);
  try {
    await Promise.race([playing, early.happened]);
    stdout.line(`\n  That took ${durationText(performance.now() - began)}.`);
    return exitCodes.ok;
  } finally {
    // A step that is just starting something has to come to its end before that can be ended.
    await playing.catch(() => undefined);
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
    early.forget();
    stdout.line('  The server and the workers are stopped; their files are removed.');
  }
}

async function play(cleanUps: CleanUp[], early: EarlyEnd): Promise<void> {
  stdout.line('\n  Starting a server with a database of its own ...');
  const dataDir = await mkdtemp(path.join(tmpdir(), 'muster-demo-'));
  cleanUps.push(() => rm(dataDir, { recursive: true, force: true }));
  const config = readSettings(serverSettings, { flags: { port: '0', 'data-dir': dataDir }, env: {} });
  const app = await startApp({ config, log: createLog('silent') });
  cleanUps.push(() => app.stop());
  void app.failed.then((reason) => early.end(new CommandError(reason, exitCodes.failed)));
  if (early.signal.aborted) return;

  const jobs = demoJobs();
  stdout.line(`  Ready at ${app.url}. Submitting ${jobs.length} jobs, then starting two workers.\n`);
  const client = createMusterClient({ url: app.url, headers: cliHeaders });
  cleanUps.push(async () => client.close());
  const ids = await Promise.all(jobs.map((job) => submit(client, job)));
  if (early.signal.aborted) return;

  const byId = new Map(jobs.map((job, index) => [ids[index] ?? '', job]));
  const workers = startWorkers(app.url, client, byId, early);
  cleanUps.push(() => workers.stop());
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

/** What ends the demo before its time: Ctrl+C, SIGTERM, or something that went wrong. */
interface EarlyEnd {
  readonly signal: AbortSignal;
  /** Rejects with the reason. */
  readonly happened: Promise<never>;
  end(reason: unknown): void;
  forget(): void;
}

function createEarlyEnd(): EarlyEnd {
  const controller = new AbortController();
  const { signal } = controller;
  // Everyone who follows a job listens to it.
  setMaxListeners(0, signal);
  const happened = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
  happened.catch(() => undefined);
  const end = (reason: unknown): void => controller.abort(reason);
  const onSignal = (name: NodeJS.Signals): void => {
    if (!signal.aborted) stdout.line(`\n  ${name}: cleaning up ...`);
    end(new CommandError('interrupted', interrupted));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal,
    happened,
    end,
    forget() {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}

const interrupted = 130;
