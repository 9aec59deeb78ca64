import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type App, startApp } from '../app.js';
import { readSettings } from '../platform/config.js';
import { createLog } from '../platform/log.js';
import { serverSettings } from '../settings.js';
import { command } from './command.js';
import { createEarlyEnd, type Stage } from './demo-stage.js';
import { CommandError, exitCodes } from './errors.js';
import { toggle } from './flags.js';
import { durationText, outliveReader, stdout } from './output.js';

export const demoCommand = command({
  flags: {
    jobs: toggle('jobs', 'Show the job queue instead: two workers and some forty jobs that run a real program.'),
  },
  about: [
    'Tells a story: a server with a database of its own, a repository with a failing test, an agent that claims the task, a gate',
    'that sends its first change back, an agent who reviews the second, a human who approves, and what was learned. Everything is',
    'real and happens in a temporary directory, which is gone afterwards. Takes a few seconds. Ctrl+C ends it early.',
  ].join('\n'),
  run: ({ jobs }) => demo(jobs),
});

async function demo(jobs: boolean): Promise<number> {
  outliveReader();
  const began = performance.now();
  const early = createEarlyEnd();
  const cleanUps: (() => Promise<void>)[] = [];
  const playing = play(jobs, { early, onEnd: (cleanUp) => void cleanUps.push(cleanUp) });
  try {
    await Promise.race([playing, early.happened]);
    stdout.line(`\n  That took ${durationText(performance.now() - began)}.`);
    return exitCodes.ok;
  } finally {
    // A step that is just starting something has to come to its end before that can be ended.
    await playing.catch(() => undefined);
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
    early.forget();
    stdout.line('  Everything is stopped, and its files are removed.');
  }
}

async function play(jobs: boolean, { early, onEnd }: Omit<Stage, 'url' | 'dir'>): Promise<void> {
  stdout.line('\n  Starting a server with a database of its own ...');
  const dir = await mkdtemp(path.join(tmpdir(), 'muster-demo-'));
  onEnd(() => rm(dir, { recursive: true, force: true }));
  const flags = { port: '0', 'data-dir': path.join(dir, 'data') };
  const config = readSettings(serverSettings, { flags, env: {} });
  const app: App = await startApp({ config, log: createLog('silent') });
  onEnd(() => app.stop());
  void app.failed.then((reason) => early.end(new CommandError(reason, exitCodes.failed)));
  if (early.signal.aborted) return;
  const stage: Stage = { url: app.url, dir, early, onEnd };
  if (jobs) await (await import('./demo-queue.js')).playJobs(stage);
  else await (await import('./story/story.js')).playStory(stage);
}
