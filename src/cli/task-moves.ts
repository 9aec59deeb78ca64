import type { MusterClient, Task } from '../client/index.js';
import { parse } from '../platform/config.js';
import { type Command, command } from './command.js';
import { exitCodes, UsageError } from './errors.js';
import { optional, required, toggle } from './flags.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { contextFlag, descriptionOf, parseStatus, priorityFlag, statusNames } from './task-flags.js';
import { taskHere } from './task-place.js';
import { shownTask } from './task-text.js';

/** A command that changes one task and answers it. `idNeeded`: even in the worktree of a task it has to be named. */
function moveCommand(
  about: string,
  move: (client: MusterClient, id: string) => Promise<{ readonly task?: Task | undefined }>,
  idNeeded = false,
): Command {
  return command({
    positionals: [idNeeded ? 'ID' : '[ID]'],
    flags: { json: jsonFlag, url: urlFlag },
    about,
    run: ({ url, json }, [named]) =>
      withClient(url, async (client) => {
        printMoved((await move(client, taskHere(named))).task, json);
        return exitCodes.ok;
      }),
  });
}

export function printMoved(task: Task | undefined, json: boolean): void {
  const shown = shownTask(task);
  stdout.line(json ? JSON.stringify(shown) : `${shown.id} is ${shown.status}`);
}

export const taskCancelCommand = moveCommand(
  'Everything open below it is cancelled, too. What it blocks stays blocked until it is unblocked.',
  (client, id) => client.tasks.cancelTask({ id }),
);

export const taskStartCommand = command({
  positionals: ['ID'],
  flags: {
    base: optional({
      flag: 'base',
      value: 'REF',
      help: 'Begin at this branch, tag or commit; by default at the parent, else at the default branch.',
      parse: parse.text,
    }),
    json: jsonFlag,
    url: urlFlag,
  },
  about: 'Makes a branch and a work tree for it, and prints where that is: go there and work.',
  run: ({ url, json, base }, [id = '']) =>
    withClient(url, async (client) => {
      const { task } = await client.tasks.startTask({ id, ...(base !== undefined && { base }) });
      if (json) printMoved(task, json);
      else stdout.line((await client.tasks.getTask({ id })).task?.vcs?.worktreePath ?? '');
      return exitCodes.ok;
    }),
});

export const taskSubmitCommand = command({
  positionals: ['[ID]'],
  flags: {
    message: optional({
      flag: 'message',
      value: 'TEXT',
      help: 'Of the commit; by default the first line of the description.',
      parse: parse.text,
    }),
    allowEmpty: toggle('allow-empty', 'Also when nothing has been changed.'),
    json: jsonFlag,
    url: urlFlag,
  },
  about: [
    "Commits all that is in its work tree, and opens a review; its gates run, where it has any: muster gate watch. In a task's",
    'worktree, that task is meant.',
  ].join('\n'),
  run: ({ url, json, message, allowEmpty }, [named]) =>
    withClient(url, async (client) => {
      const { task } = await client.tasks.submitTask({
        id: taskHere(named),
        ...(message !== undefined && { message }),
        ...(allowEmpty && { allowEmpty }),
      });
      printMoved(task, json);
      if (!json) await sayGates(client, task?.id ?? '');
      return exitCodes.ok;
    }),
});

/** Says which gates run now, where there are any. */
async function sayGates(client: MusterClient, id: string): Promise<void> {
  const gates = (await client.tasks.getTask({ id })).task?.gates ?? [];
  if (gates.length > 0) stdout.line(`gates run: ${gates.map(({ name }) => name).join(', ')}; muster gate watch ${id}`);
}

export const taskForceCompleteCommand = moveCommand(
  'Whatever it waits for; an open review becomes Approved. Its children have to be done.',
  (client, id) => client.tasks.forceCompleteTask({ id }),
  true,
);

export const taskSetStatusCommand = command({
  positionals: ['ID', 'STATUS'],
  flags: { json: jsonFlag, url: urlFlag },
  about: `For what has gone wrong. STATUS is one of ${statusNames.filter((name) => name !== 'AwaitingHuman').join(', ')}.`,
  run: ({ url, json }, [id = '', text = '']) =>
    withClient(url, async (client) => {
      const status = statusOf(text);
      printMoved((await client.tasks.setTaskStatus({ id, status })).task, json);
      return exitCodes.ok;
    }),
});

function statusOf(text: string): ReturnType<typeof parseStatus> {
  try {
    return parseStatus(text);
  } catch (error) {
    throw new UsageError(`STATUS: '${text}' ${(error as Error).message}`, error);
  }
}

export const taskEditCommand = command({
  positionals: ['[ID]'],
  flags: {
    description: optional({
      flag: 'description',
      value: 'TEXT',
      help: 'What is to be done; - is stdin.',
      parse: parse.text,
    }),
    context: { ...contextFlag, help: `${contextFlag.help} Empty clears it.` },
    priority: priorityFlag,
    json: jsonFlag,
    url: urlFlag,
  },
  about: 'Changes what is given, and nothing else.',
  async run({ url, json, description: given, context, priority }, [named]) {
    if (given === undefined && context === undefined && priority === undefined) {
      throw new UsageError('nothing is to be changed; give --description, --context or --priority');
    }
    const description = given === undefined ? undefined : await descriptionOf('--description', given);
    return withClient(url, async (client) => {
      const { task } = await client.tasks.updateTask({
        id: taskHere(named),
        ...(description !== undefined && { description }),
        ...(context !== undefined && { context }),
        ...(priority !== undefined && { priority }),
      });
      printMoved(task, json);
      return exitCodes.ok;
    });
  },
});

export const taskDeleteCommand = command({
  positionals: ['ID'],
  flags: { json: jsonFlag, url: urlFlag },
  about: 'With all that is below it. What they blocked is released. The ledger still tells of them.',
  run: ({ url, json }, [id = '']) =>
    withClient(url, async (client) => {
      const { ok } = await client.tasks.deleteTask({ id });
      stdout.line(json ? JSON.stringify({ ok }) : `${id} is deleted`);
      return exitCodes.ok;
    }),
});

/** `block` and `unblock`. */
function blockerCommand(
  about: string,
  help: string,
  change: (client: MusterClient, edge: { readonly id: string; readonly blockerId: string }) => Promise<{ ok: boolean }>,
  said: string,
): Command {
  return command({
    positionals: ['[ID]'],
    flags: { by: required({ flag: 'by', value: 'ID', help, parse: parse.text }), json: jsonFlag, url: urlFlag },
    about,
    run: ({ url, json, by: blockerId }, [named]) =>
      withClient(url, async (client) => {
        const id = taskHere(named);
        const { ok } = await change(client, { id, blockerId });
        stdout.line(json ? JSON.stringify({ ok }) : `${id} ${said} ${blockerId}`);
        return exitCodes.ok;
      }),
  });
}

export const taskBlockCommand = blockerCommand(
  'Until that one is Completed. Two tasks cannot wait for each other, at whatever distance.',
  'The task to wait for.',
  (client, edge) => client.tasks.blockTask(edge),
  'waits for',
);

export const taskUnblockCommand = blockerCommand(
  '',
  'The task that it no longer waits for.',
  (client, edge) => client.tasks.unblockTask(edge),
  'no longer waits for',
);
