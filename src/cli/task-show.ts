import type { TaskWithContext } from '../client/index.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { jsonFlag } from './jobs-get.js';
import { stderr, stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { milestoneFlag, repoFlag } from './task-flags.js';
import { repoHere, taskHere } from './task-place.js';
import { shownInContext, taskText } from './task-text.js';

export const taskShowCommand = command({
  positionals: ['[ID]'],
  flags: { json: jsonFlag, url: urlFlag },
  about: "In a task's worktree, that task is meant.",
  run: ({ url, json }, [named]) =>
    withClient(url, async (client) => {
      const { task } = await client.tasks.getTask({ id: taskHere(named) });
      if (task === undefined) throw new Error('the server answered without a task');
      printInContext(task, json);
      return exitCodes.ok;
    }),
});

export const taskNextCommand = command({
  flags: { repo: repoFlag, milestone: milestoneFlag, json: jsonFlag, url: urlFlag },
  about: 'The most urgent one, the deeper one of these, the oldest of these. Nobody takes it by that: see task claim.',
  run: ({ url, json, repo, milestone }) =>
    withClient(url, async (client) => {
      const scope = milestone === undefined ? { repoId: await repoHere(client, repo) } : { milestoneId: milestone };
      printNext((await client.tasks.getNextReadyTask(scope)).task, json);
      return exitCodes.ok;
    }),
});

export const taskClaimCommand = command({
  flags: { repo: repoFlag, milestone: milestoneFlag, json: jsonFlag, url: urlFlag },
  about: 'The one that `muster task next` shows. However many ask at the same time, each gets another one.',
  run: ({ url, json, repo, milestone }) =>
    withClient(url, async (client) => {
      const scope = milestone === undefined ? { repoId: await repoHere(client, repo) } : { milestoneId: milestone };
      printNext((await client.tasks.claimNextTask(scope)).task, json);
      return exitCodes.ok;
    }),
});

/** A task, or that none is ready. */
function printNext(task: TaskWithContext | undefined, json: boolean): void {
  if (task !== undefined) printInContext(task, json);
  else if (json) stdout.line('null');
  else stderr.line('No task is ready.');
}

function printInContext(task: TaskWithContext, json: boolean): void {
  const shown = shownInContext(task);
  stdout.line(json ? JSON.stringify(shown) : taskText(shown, stdout));
}
