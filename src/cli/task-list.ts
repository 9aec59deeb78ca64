import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional, repeated, toggle } from './flags.js';
import { stderr, stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { kindNames, parseKind, parseStatus, repoFlag, statusNames } from './task-flags.js';
import { repoHere } from './task-place.js';
import { shownTask, taskTable } from './task-text.js';

const pageSize = 500;

export const taskListCommand = command({
  flags: {
    repo: repoFlag,
    everywhere: toggle('everywhere', 'Those of every repository.'),
    parent: optional({
      flag: 'parent',
      value: 'ID',
      help: 'Only the children of this task; none: only those without a parent.',
      parse: parse.text,
    }),
    kind: repeated({
      flag: 'kind',
      value: 'KIND',
      help: `Only ${kindNames.join(', ')}. May be repeated.`,
      parse: parseKind,
    }),
    status: repeated({
      flag: 'status',
      value: 'STATUS',
      help: `Only tasks in this state: ${statusNames.join(', ')}. May be repeated.`,
      parse: parseStatus,
    }),
    ready: toggle('ready', 'Only those that can be started.'),
    archived: toggle('archived', 'Only those that are archived.'),
    limit: optional({
      flag: 'limit',
      value: 'N',
      help: 'At most so many; 50 unless --all is given.',
      parse: parse.integer(1, 1_000_000_000),
    }),
    all: toggle('all', 'Every task there is.'),
    json: toggle('json', 'Print the JSON array that REST has for it.'),
    url: urlFlag,
  },
  about: 'Newest first.',
  run: ({ url, json, repo, everywhere, parent, kind, status, ready, archived, limit, all }) =>
    withClient(url, async (client) => {
      const isScoped = repo !== undefined || (!everywhere && (parent === undefined || parent === 'none'));
      const filter = {
        ...(isScoped && { repoId: await repoHere(client, repo) }),
        ...(parent !== undefined && { parentId: parent }),
        ...(ready && { ready }),
        ...(archived && { archived }),
        kind: [...kind],
        status: [...status],
      };
      let left = limit ?? (all ? Infinity : 50);
      let cursor: string | undefined;
      let printed = 0;
      do {
        const page = await client.tasks.listTasks({
          ...filter,
          limit: Math.min(left, pageSize),
          ...(cursor !== undefined && { cursor }),
        });
        const tasks = page.tasks.map(shownTask);
        if (json) for (const task of tasks) stdout.text(`${printed++ === 0 ? '[' : ',\n'}${JSON.stringify(task)}`);
        else if (tasks.length > 0) {
          // The head stands above the first page alone.
          for (const line of taskTable(tasks, stdout).slice(printed === 0 ? 0 : 1)) stdout.line(line);
          printed += tasks.length;
        }
        left -= tasks.length;
        cursor = page.nextCursor;
      } while (cursor !== undefined && left > 0);
      if (json) stdout.line(printed === 0 ? '[]' : ']');
      else if (printed === 0) stdout.line('There are no such tasks.');
      else if (cursor !== undefined) stderr.line('There are more; --all lists them.');
      return exitCodes.ok;
    }),
});
