import type { Review } from '../client/index.js';
import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional } from './flags.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { whichOpen } from './review-comment.js';
import { reviewHere } from './review-place.js';
import { shownReview } from './review-text.js';
import { urlFlag, withClient } from './server-access.js';

export const reviewApproveCommand = command({
  positionals: ['[ID]'],
  flags: {
    headCommit: optional({
      flag: 'head-commit',
      value: 'COMMIT',
      help: 'What you have looked at: refused as stale, when the review is of another one.',
      parse: parse.text,
    }),
    json: jsonFlag,
    url: urlFlag,
  },
  about: `Ends the present phase; a human's approval after an agent's completes the task. ${whichOpen}`,
  run: ({ url, json, headCommit }, [named]) =>
    withClient(url, async (client) => {
      const { id } = await reviewHere(client, named);
      const input = { id, ...(headCommit !== undefined && { headCommit }) };
      printDecided((await client.reviews.approveReview(input)).review, json);
      return exitCodes.ok;
    }),
});

export const reviewRequestChangesCommand = command({
  positionals: ['[ID]'],
  flags: {
    summary: optional({ flag: 'summary', value: 'TEXT', help: 'What is to be said of the whole.', parse: parse.text }),
    json: jsonFlag,
    url: urlFlag,
  },
  about: `Closes the review; the task is InProgress again. Comment first: muster review comment. ${whichOpen}`,
  run: ({ url, json, summary }, [named]) =>
    withClient(url, async (client) => {
      const { id } = await reviewHere(client, named);
      const input = { id, ...(summary !== undefined && { summary }) };
      printDecided((await client.reviews.requestChanges(input)).review, json);
      return exitCodes.ok;
    }),
});

function printDecided(review: Review | undefined, json: boolean): void {
  const shown = shownReview(review);
  stdout.line(json ? JSON.stringify(shown) : `${shown.id} is ${shown.status}`);
}
