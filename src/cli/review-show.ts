import { errorFactsOf, type MusterClient } from '../client/index.js';
import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional } from './flags.js';
import { resultsOf } from './gate-results.js';
import type { ShownResult } from './gate-text.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { commentsOf, reviewHere, roundsOf, whichRead } from './review-place.js';
import { reviewTable, reviewText, shownComment, shownReview } from './review-text.js';
import { urlFlag, withClient } from './server-access.js';
import { printDiff } from './task-diff.js';
import { taskHere } from './task-place.js';

export const reviewShowCommand = command({
  positionals: ['[ID]'],
  flags: { json: jsonFlag, url: urlFlag },
  about: `${whichRead} With --json: {"review", "comments", "gate_results"}.`,
  run: ({ url, json }, [named]) =>
    withClient(url, async (client) => {
      const review = shownReview(await reviewHere(client, named, { closed: true }));
      const comments = (await commentsOf(client, review.id)).map(shownComment);
      const facts = { review, comments, gate_results: await resultsIfAllowed(client, review.id) };
      stdout.line(json ? JSON.stringify(facts) : reviewText(facts, stdout));
      return exitCodes.ok;
    }),
});

/** Null for an agent that lacks `gates.read`. */
async function resultsIfAllowed(client: MusterClient, id: string): Promise<readonly ShownResult[] | null> {
  try {
    return await resultsOf(client, id);
  } catch (error) {
    if (errorFactsOf(error).word !== 'forbidden') throw error;
    return null;
  }
}

export const reviewListCommand = command({
  positionals: ['[ID]'],
  flags: { json: jsonFlag, url: urlFlag },
  about:
    "Of a task, oldest first: a round for each time that it was submitted. In a task's worktree, that task is meant.",
  run: ({ url, json }, [named]) =>
    withClient(url, async (client) => {
      const rounds = (await roundsOf(client, taskHere(named))).map(shownReview);
      if (json) stdout.line(JSON.stringify(rounds));
      else for (const line of reviewTable(rounds, stdout)) stdout.line(line);
      return exitCodes.ok;
    }),
});

export const reviewDiffCommand = command({
  positionals: ['[ID]'],
  flags: {
    since: optional({
      flag: 'since',
      value: 'REVIEW',
      help: 'From what an earlier review of the task was of; by default from where the task began.',
      parse: parse.text,
    }),
    json: jsonFlag,
    url: urlFlag,
  },
  about: whichRead,
  run: ({ url, json, since }, [named]) =>
    withClient(url, async (client) => {
      const { id } = await reviewHere(client, named, { closed: true });
      printDiff((await client.reviews.getReviewDiff({ id, ...(since !== undefined && { since }) })).diff, json);
      return exitCodes.ok;
    }),
});
