import { DiffSide } from '../client/index.js';
import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional, required, withDefault } from './flags.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { reviewHere } from './review-place.js';
import { commentText, shownComment } from './review-text.js';
import { urlFlag, withClient } from './server-access.js';

export const whichOpen = "ID is a review's or a task's; in a task's worktree, that task is meant: its open review.";

export const reviewCommentCommand = command({
  positionals: ['[ID]'],
  flags: {
    file: required({ flag: 'file', value: 'PATH', help: 'As the diff has it.', parse: parse.text }),
    line: optional({
      flag: 'line',
      value: 'N[-M]',
      help: 'The line, or the first and the last; by default the file as a whole.',
      parse: parseLines,
    }),
    side: withDefault({
      flag: 'side',
      value: 'SIDE',
      fallback: 'right',
      help: 'left: as it was; right: as it was submitted.',
      parse: parseSide,
    }),
    body: required({ flag: 'body', value: 'TEXT', help: 'What is to be said.', parse: parse.text }),
    json: jsonFlag,
    url: urlFlag,
  },
  about: whichOpen,
  run: ({ url, json, file: filePath, line, side, body }, [named]) =>
    withClient(url, async (client) => {
      const { id } = await reviewHere(client, named);
      const shown = shownComment((await client.reviews.addComment({ id, filePath, side, body, ...line })).comment);
      stdout.line(json ? JSON.stringify(shown) : commentText(shown, stdout));
      return exitCodes.ok;
    }),
});

export const reviewResolveCommand = command({
  positionals: ['COMMENT'],
  flags: { json: jsonFlag, url: urlFlag },
  about: 'Says that it is dealt with. Resolving again is fine.',
  run: ({ url, json }, [id = '']) =>
    withClient(url, async (client) => {
      const shown = shownComment((await client.reviews.resolveComment({ id })).comment);
      stdout.line(json ? JSON.stringify(shown) : `${shown.id} is resolved`);
      return exitCodes.ok;
    }),
});

function parseSide(text: string): DiffSide {
  const side = { left: DiffSide.LEFT, right: DiffSide.RIGHT }[text.toLowerCase()];
  if (side === undefined) throw new Error('is neither left nor right');
  return side;
}

function parseLines(text: string): { readonly lineStart: number; readonly lineEnd: number } {
  const [, first, last] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text) ?? [];
  if (first === undefined) throw new Error('is no line such as 12, and no lines such as 12-14');
  return { lineStart: Number(first), lineEnd: Number(last ?? first) };
}
