import type { MusterClient } from '../client/index.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { toggle } from './flags.js';
import { lastRound, printedText, resultTable, type ShownResult, shownResult } from './gate-text.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { whichOpen } from './review-comment.js';
import { reviewHere, whichRead } from './review-place.js';
import { urlFlag, withClient } from './server-access.js';

export const gateResultsCommand = command({
  positionals: ['[ID]'],
  flags: {
    output: toggle('output', 'What every attempt has printed, also those that have passed.'),
    json: jsonFlag,
    url: urlFlag,
  },
  about: `Every attempt, oldest first, and what those of the last round have printed that have not passed. ${whichRead}`,
  run: ({ url, json, output }, [named]) =>
    withClient(url, async (client) => {
      const { id } = await reviewHere(client, named, { closed: true });
      const results = await resultsOf(client, id);
      if (json) stdout.line(JSON.stringify(results));
      else printResults(id, results, output);
      return exitCodes.ok;
    }),
});

/** All of a review, oldest first. */
export async function resultsOf(client: MusterClient, reviewId: string): Promise<readonly ShownResult[]> {
  const all: ShownResult[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.gates.listGateResults({ reviewId, ...(cursor !== undefined && { cursor }) });
    all.push(...page.results.map(shownResult));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return all;
}

function printResults(id: string, results: readonly ShownResult[], everything: boolean): void {
  if (results.length === 0) {
    stdout.line(`${id} has no gates to pass.`);
    return;
  }
  for (const line of resultTable(results, stdout)) stdout.line(line);
  const ended = (result: ShownResult): boolean => result.completed_at !== null || result.runs > 0;
  const told = everything ? results : lastRound(results).filter(({ status }) => status !== 'Passed');
  for (const result of told.filter(ended)) stdout.line(`\n${printedText(result, stdout)}`);
}

export const gateRerunCommand = command({
  positionals: ['[ID]'],
  flags: { json: jsonFlag, url: urlFlag },
  about: `Of a review that is GatesEscalated; attempts start again at 1. For humans. ${whichOpen}`,
  run: ({ url, json }, [named]) =>
    withClient(url, async (client) => {
      const { id } = await reviewHere(client, named);
      const { ok } = await client.gates.rerunGates({ reviewId: id });
      stdout.line(
        json ? JSON.stringify({ ok }) : `${id} has its gates run again; follow them: muster gate watch ${id}`,
      );
      return exitCodes.ok;
    }),
});
