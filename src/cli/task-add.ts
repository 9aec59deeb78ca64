import { TaskKind } from '../client/index.js';
import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional, repeated } from './flags.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { contextFlag, descriptionOf, kindNames, parseKind, priorityFlag, repoFlag } from './task-flags.js';
import { repoHere } from './task-place.js';
import { shownTask } from './task-text.js';

export const taskAddCommand = command({
  positionals: ['DESCRIPTION'],
  flags: {
    kind: optional({
      flag: 'kind',
      value: 'KIND',
      help: `${kindNames.join(', ')}; by default a Subtask under a task, else a Task.`,
      parse: parseKind,
    }),
    parent: optional({
      flag: 'parent',
      value: 'ID',
      help: 'The milestone or task that it is a part of.',
      parse: parse.text,
    }),
    context: contextFlag,
    priority: priorityFlag,
    blockedBy: repeated({
      flag: 'blocked-by',
      value: 'ID',
      help: 'A task that it waits for. May be repeated.',
      parse: parse.text,
    }),
    repo: repoFlag,
    json: jsonFlag,
    url: urlFlag,
  },
  about: 'Prints the id of the task. DESCRIPTION is what is to be done; - is stdin.',
  async run({ url, json, repo, kind, parent, context, priority, blockedBy }, [given = '']) {
    const description = await descriptionOf('DESCRIPTION', given);
    return withClient(url, async (client) => {
      const { task } = await client.tasks.createTask({
        repoId: await repoHere(client, repo),
        kind: kind ?? (parent?.startsWith('task_') === true ? TaskKind.SUBTASK : TaskKind.TASK),
        description,
        blockedBy: [...blockedBy],
        ...(parent !== undefined && { parentId: parent }),
        ...(context !== undefined && { context }),
        ...(priority !== undefined && { priority }),
      });
      const shown = shownTask(task);
      stdout.line(json ? JSON.stringify(shown) : shown.id);
      return exitCodes.ok;
    });
  },
});
