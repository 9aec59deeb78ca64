import { followGates, type GateNews, GateOutputSchema, type MusterClient, ReviewStatus } from '../client/index.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { createGateLines, type ShownOutput } from './gate-lines.js';
import { resultsOf } from './gate-results.js';
import { type ShownResult, shownResult } from './gate-text.js';
import { restShape } from './job-json.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { escalatedHint, shownReview } from './review-text.js';
import { reviewHere, whichRead } from './review-place.js';
import { sayLost, urlFlag, withClient } from './server-access.js';

const about = [
  'Prints each attempt and each change of it, and what gates print while they run, until none is to run any more. A',
  'connection that is lost is made anew. The exit code is 0 when all gates of the last round have passed, and 1 otherwise.',
  whichRead,
].join('\n');

export const gateWatchCommand = command({
  positionals: ['[ID]'],
  flags: {
    json: { ...jsonFlag, help: 'Print a line of JSON for each: {"result"} as REST has it, or {"output"}.' },
    url: urlFlag,
  },
  about,
  run: ({ url, json }, [named]) =>
    withClient(url, async (client) => {
      const { id } = await reviewHere(client, named, { closed: true });
      return watch(client, id, json);
    }),
});

async function watch(client: MusterClient, id: string, json: boolean): Promise<number> {
  // Answers the last round, of which the names are; what comes later has the same names.
  const known = await resultsOf(client, id);
  const round = roundOf(known);
  const lines = createGateLines(
    stdout,
    known.map(({ name }) => name),
  );
  const last = new Map<string, ShownResult>();
  const onLost = (error: unknown, retryInMs: number): void => sayLost(client, error, retryInMs);
  for await (const news of followGates(client, id, { onLost })) {
    if (json) stdout.line(JSON.stringify(shownNews(news)));
    if (news.case === 'output') {
      if (!json) lines.output(shownOutput(news.value));
    } else if (news.value.round >= round) {
      const result = shownResult(news.value);
      last.set(`${result.gate_id} ${result.round}`, result);
      if (!json) lines.result(result);
    }
  }
  if (!json) await sayEnd(client, id, last.size);
  return verdictOf([...last.values()]);
}

function shownOutput(output: Extract<GateNews, { case: 'output' }>['value']): ShownOutput {
  return restShape(GateOutputSchema, output) as unknown as ShownOutput;
}

function shownNews(news: GateNews): object {
  return news.case === 'result' ? { result: shownResult(news.value) } : { output: shownOutput(news.value) };
}

function roundOf(results: readonly Pick<ShownResult, 'round'>[]): number {
  return Math.max(0, ...results.map((result) => result.round));
}

function verdictOf(results: readonly ShownResult[]): number {
  const round = Math.max(0, ...results.map((result) => result.round));
  const isGood = results.every((result) => result.round < round || result.status === 'Passed');
  return isGood ? exitCodes.ok : exitCodes.failed;
}

/** What has become of the review, and what can be done where a human has to decide. */
async function sayEnd(client: MusterClient, id: string, count: number): Promise<void> {
  const { review } = await client.reviews.getReview({ id });
  const none = count === 0 ? ', and has no gates to pass' : '';
  stdout.line(`${id} is ${shownReview(review).status}${none}`);
  if (review?.status === ReviewStatus.GATES_ESCALATED) stdout.line(escalatedHint);
}
