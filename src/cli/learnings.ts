import type { MusterClient } from '../client/index.js';
import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional, toggle } from './flags.js';
import { jsonFlag } from './jobs-get.js';
import { learningText, type ShownLearning, shownLearning } from './learning-text.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { taskHere } from './task-place.js';

export const learningsAddCommand = command({
  positionals: ['TEXT'],
  flags: {
    task: optional({
      flag: 'task',
      value: 'ID',
      help: 'The task; by default the one whose worktree the current directory is in.',
      parse: parse.text,
    }),
    json: jsonFlag,
    url: urlFlag,
  },
  about: 'When the task is completed, its parent gets it, too. Prints the id of the learning.',
  run: ({ url, json, task }, [content = '']) =>
    withClient(url, async (client) => {
      const { learning } = await client.learnings.addLearning({ taskId: taskHere(task), content });
      const shown = shownLearning(learning);
      stdout.line(json ? JSON.stringify(shown) : shown.id);
      return exitCodes.ok;
    }),
});

export const learningsListCommand = command({
  positionals: ['[ID]'],
  flags: {
    inherited: toggle('inherited', "Also the newest of its parent's and its milestone's."),
    json: jsonFlag,
    url: urlFlag,
  },
  about: "Oldest first. In a task's worktree, that task is meant.",
  run: ({ url, json, inherited }, [named]) =>
    withClient(url, async (client) => {
      const taskId = taskHere(named);
      if (inherited) await printInherited(client, taskId, json);
      else await printOwn(client, taskId, json);
      return exitCodes.ok;
    }),
});

const pageSize = 500;

async function printOwn(client: MusterClient, taskId: string, json: boolean): Promise<void> {
  const all: ShownLearning[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.learnings.listLearnings({
      taskId,
      limit: pageSize,
      ...(cursor !== undefined && { cursor }),
    });
    all.push(...page.learnings.map(shownLearning));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  if (json) stdout.line(JSON.stringify(all));
  else if (all.length === 0) stdout.line('Nothing was learned on it yet.');
  else for (const each of all) stdout.line(learningText(each, stdout));
}

async function printInherited(client: MusterClient, taskId: string, json: boolean): Promise<void> {
  const { learnings } = await client.learnings.getInheritedLearnings({ taskId });
  const { own = [], parent = [], milestone = [] } = learnings ?? {};
  const parts = Object.entries({ own, parent, milestone }).map(
    ([name, list]) => [name, list.map(shownLearning)] as const,
  );
  if (json) {
    stdout.line(JSON.stringify(Object.fromEntries(parts)));
    return;
  }
  const told = parts.filter(([, list]) => list.length > 0);
  if (told.length === 0) stdout.line('Nothing was learned on it or above it yet.');
  for (const [name, list] of told) {
    stdout.line(stdout.style.bold(name));
    for (const each of list) stdout.line(learningText(each, stdout));
  }
}
