import { type MusterClient, TaskStatus } from '../client/index.js';
import { parse } from '../platform/config.js';
import { command } from './command.js';
import { CommandError, exitCodes } from './errors.js';
import { optional, toggle } from './flags.js';
import { printEnded } from './help-ask.js';
import { helpTable, helpText, type ShownHelp, shownHelp } from './help-text.js';
import { placeToListen, untilEnded } from './help-wait.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { repoFlag } from './task-flags.js';
import { printMoved } from './task-moves.js';
import { repoHere, taskHere } from './task-place.js';

const pageSize = 500;

export const helpListCommand = command({
  positionals: ['[TASK]'],
  flags: {
    waiting: toggle('waiting', 'What waits for a human, of all tasks of all repositories; with --repo, of one.'),
    repo: { ...repoFlag, help: 'With --waiting: only of tasks of this repository.' },
    json: jsonFlag,
    url: urlFlag,
  },
  about: "All requests of a task, newest first. In a task's worktree, that task is meant.",
  run: ({ url, json, waiting, repo }, [named]) =>
    withClient(url, async (client) => {
      const found = await (waiting ? allWaiting(client, repo) : allOf(client, taskHere(named)));
      if (json) stdout.line(JSON.stringify(found));
      else if (found.length === 0) stdout.line(waiting ? 'Nobody waits.' : 'Nobody has asked for help on it.');
      else for (const line of helpTable(found, stdout)) stdout.line(line);
      return exitCodes.ok;
    }),
});

async function allOf(client: MusterClient, taskId: string): Promise<readonly ShownHelp[]> {
  const all: ShownHelp[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.help.listHelpRequests({
      taskId,
      limit: pageSize,
      ...(cursor !== undefined && { cursor }),
    });
    all.push(...page.helpRequests.map(shownHelp));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return all;
}

async function allWaiting(client: MusterClient, repo: string | undefined): Promise<readonly ShownHelp[]> {
  const filter = {
    status: [TaskStatus.AWAITING_HUMAN],
    limit: pageSize,
    ...(repo !== undefined && { repoId: await repoHere(client, repo) }),
  };
  const all: ShownHelp[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.tasks.listTasks({ ...filter, ...(cursor !== undefined && { cursor }) });
    for (const { id } of page.tasks) {
      const { helpRequest } = await client.help.getActiveHelp({ taskId: id });
      // Somebody may have resumed it in the meantime.
      if (helpRequest !== undefined) all.push(shownHelp(helpRequest));
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return all;
}

export const helpShowCommand = command({
  positionals: ['[TASK]'],
  flags: {
    wait: toggle('wait', 'Wait until the task is resumed, and print the answer.'),
    json: jsonFlag,
    url: urlFlag,
  },
  about: "The request of a task that is open, else the latest. In a task's worktree, that task is meant.",
  run: ({ url, json, wait }, [named]) =>
    withClient(url, async (client) => {
      const taskId = taskHere(named);
      const after = wait ? await placeToListen(client) : 0n;
      const { helpRequests } = await client.help.listHelpRequests({ taskId, limit: 1 });
      const [latest] = helpRequests;
      if (latest === undefined) {
        throw new CommandError(`not_found: nobody has asked for help on ${taskId}`, exitCodes.failed);
      }
      const shown = shownHelp(latest);
      if (wait) return printEnded(isOpen(shown) ? await untilEnded(client, shown, after) : shown, json);
      stdout.line(json ? JSON.stringify(shown) : helpText(shown, stdout));
      return exitCodes.ok;
    }),
});

function isOpen({ status }: ShownHelp): boolean {
  return status === 'Pending' || status === 'Responded';
}

export const helpRespondCommand = command({
  positionals: ['ID', '[TEXT]'],
  flags: {
    option: optional({
      flag: 'option',
      value: 'N',
      help: 'The suggested option that is chosen; 0 is the first. Without TEXT, its text is the answer.',
      parse: parse.integer(0, 1000),
    }),
    resume: toggle('resume', 'Let the task go on at once.'),
    json: jsonFlag,
    url: urlFlag,
  },
  about: 'The task waits on until it is resumed.',
  run: ({ url, json, option, resume }, [id = '', response]) =>
    withClient(url, async (client) => {
      const { helpRequest } = await client.help.respondToHelp({
        id,
        ...(response !== undefined && { response }),
        ...(option !== undefined && { chosenOption: option }),
      });
      const shown = shownHelp(helpRequest);
      if (resume) printMoved((await client.help.resumeTask({ taskId: shown.task_id })).task, json);
      else stdout.line(json ? JSON.stringify(shown) : `${shown.id} is ${shown.status}`);
      return exitCodes.ok;
    }),
});

export const helpResumeCommand = command({
  positionals: ['[TASK]'],
  flags: { json: jsonFlag, url: urlFlag },
  about: 'Lets a task go on whose request was answered, in the status in which it was asked.',
  run: ({ url, json }, [named]) =>
    withClient(url, async (client) => {
      printMoved((await client.help.resumeTask({ taskId: taskHere(named) })).task, json);
      return exitCodes.ok;
    }),
});
