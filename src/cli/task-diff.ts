import { type Diff, DiffSchema, TaskVcsSchema } from '../client/index.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { restShape } from './job-json.js';
import { jsonFlag } from './jobs-get.js';
import { type Output, printable, stderr, stdout, type Style } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { taskHere } from './task-place.js';

export const taskDiffCommand = command({
  positionals: ['[ID]'],
  flags: { json: jsonFlag, url: urlFlag },
  about: 'Up to what was last submitted or, before that, to what is in its work tree, committed or not.',
  run: ({ url, json }, [named]) =>
    withClient(url, async (client) => {
      printDiff((await client.vcs.getTaskDiff({ id: taskHere(named) })).diff, json);
      return exitCodes.ok;
    }),
});

export function printDiff(diff: Diff | undefined, json: boolean): void {
  if (diff === undefined) throw new Error('the server answered without a diff');
  if (json) stdout.line(JSON.stringify(restShape(DiffSchema, diff)));
  else stdout.text(diffText(diff.unified, stdout));
  if (diff.truncated && !json) stderr.line('It is longer than what is shown.');
}

export const taskArchiveCommand = command({
  positionals: ['ID'],
  flags: { json: jsonFlag, url: urlFlag },
  about: [
    'The task has to be Completed or Cancelled. Archiving again is fine.',
    'Even in its own work tree it has to be named: that goes, with all in it that was never committed.',
  ].join('\n'),
  run: ({ url, json }, [id = '']) =>
    withClient(url, async (client) => {
      const { vcs } = await client.vcs.archiveTask({ id });
      if (vcs === undefined) throw new Error('the server answered without a branch');
      stdout.line(json ? JSON.stringify(restShape(TaskVcsSchema, vcs)) : `${vcs.refName} is archived`);
      return exitCodes.ok;
    }),
});

/** On a terminal for people, as git colours it; else as it is, so that `git apply` takes it. */
export function diffText(unified: string, { isTerminal, style }: Output): string {
  return isTerminal ? unified.replaceAll(/[^\n]+/g, (line) => colouredLine(line, style)) : unified;
}

/** Without what could move the cursor. A carriage return at its end, as Windows has it, is shown as git shows it. */
function colouredLine(line: string, style: Style): string {
  const isDos = line.endsWith('\r');
  const text = printable(isDos ? line.slice(0, -1) : line);
  return paintOf(text, style)(text) + (isDos ? style.dim('^M') : '');
}

function paintOf(text: string, { bold, green, red, cyan }: Style): (text: string) => string {
  if (/^(\+\+\+|---|diff|index|new|deleted|rename|similarity|old) /.test(text)) return bold;
  if (text.startsWith('+')) return green;
  if (text.startsWith('-')) return red;
  return text.startsWith('@@') ? cyan : (plain) => plain;
}
