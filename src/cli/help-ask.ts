import { parse } from '../platform/config.js';
import { command } from './command.js';
import { CommandError, exitCodes } from './errors.js';
import { optional, repeated, required, toggle } from './flags.js';
import { categoryNames, parseCategory, type ShownHelp, shownHelp } from './help-text.js';
import { placeToListen, untilEnded } from './help-wait.js';
import { jsonFlag } from './jobs-get.js';
import { stderr, stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { taskHere } from './task-place.js';

const flags = {
  category: required({
    flag: 'category',
    value: 'CATEGORY',
    help: `${categoryNames.join(', ')}.`,
    parse: parseCategory,
  }),
  option: repeated({
    flag: 'option',
    value: 'TEXT',
    help: 'An answer to choose from. May be repeated.',
    parse: parse.text,
  }),
  deadline: optional({
    flag: 'deadline',
    value: 'DURATION',
    help: 'After so long, such as 30m, the default is the answer.',
    parse: parse.duration,
  }),
  defaultResponse: optional({
    flag: 'default-response',
    value: 'TEXT',
    help: 'The answer when nobody has answered by the deadline.',
    parse: parse.text,
  }),
  defaultOption: optional({
    flag: 'default-option',
    value: 'N',
    help: 'The option that is chosen then; 0 is the first.',
    parse: parse.integer(0, 1000),
  }),
  task: optional({
    flag: 'task',
    value: 'ID',
    help: 'The task; by default the one whose worktree the current directory is in.',
    parse: parse.text,
  }),
  wait: toggle('wait', 'Wait until the task is resumed, and print the answer.'),
  json: jsonFlag,
  url: urlFlag,
};

const about = [
  'Prints the id of the request. The task waits from then on, so whoever works on it must stop until it is resumed.',
  'With --wait, the answer is printed instead; the exit code is 1 when the task was cancelled, or moved on otherwise.',
].join('\n');

export const helpAskCommand = command({
  positionals: ['REASON'],
  flags,
  about,
  run: ({ url, json, wait, ...asked }, [reason = '']) =>
    withClient(url, async (client) => {
      const after = wait ? await placeToListen(client) : 0n;
      const { helpRequest } = await client.help.requestHelp({
        taskId: taskHere(asked.task),
        category: asked.category,
        reason,
        suggestedOptions: [...asked.option],
        ...(asked.deadline !== undefined && { deadlineSec: Math.ceil(asked.deadline / 1000) }),
        ...(asked.defaultResponse !== undefined && { defaultResponse: asked.defaultResponse }),
        ...(asked.defaultOption !== undefined && { defaultOption: asked.defaultOption }),
      });
      const shown = shownHelp(helpRequest);
      if (!wait) {
        stdout.line(json ? JSON.stringify(shown) : shown.id);
        return exitCodes.ok;
      }
      if (!json) stderr.line(`muster: ${shown.id} waits for an answer`);
      return printEnded(await untilEnded(client, shown, after), json);
    }),
});

/** Prints the answer of a request that has ended. Answers the exit code; throws CommandError when it was not resumed. */
export function printEnded(ended: ShownHelp, json: boolean): number {
  if (json) {
    stdout.line(JSON.stringify(ended));
    return ended.status === 'Resolved' ? exitCodes.ok : exitCodes.failed;
  }
  if (ended.status !== 'Resolved') throw new CommandError(`${ended.id} is ${ended.status}`, exitCodes.failed);
  stdout.line(ended.response ?? '');
  return exitCodes.ok;
}
