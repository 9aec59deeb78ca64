import {
  type Event,
  type EventFilter,
  type EventSource,
  EventSourceSchema,
  followEvents,
  headOf,
  type MusterClient,
} from '../client/index.js';
import { parse } from '../platform/config.js';
import { enumWords } from '../platform/rpc/words.js';
import { command } from './command.js';
import { exitCodes, UsageError } from './errors.js';
import { eventText, shownEvent } from './event-text.js';
import { optional, repeated, toggle } from './flags.js';
import { stderr, stdout } from './output.js';
import { sayLost, urlFlag, withClient } from './server-access.js';

const sources = enumWords(EventSourceSchema);
const pageSize = 1000;
const defaultLimit = 20;

const flags = {
  follow: toggle('follow', 'Go on with what comes, until Ctrl+C.'),
  after: optional({
    flag: 'after',
    value: 'N',
    help: 'All events after this seq instead of the newest ones; 0 is the beginning.',
    parse: parse.integer(0, Number.MAX_SAFE_INTEGER),
  }),
  type: repeated({
    flag: 'type',
    value: 'TYPE',
    help: 'Only events of this type, such as JobDone. May be repeated.',
    parse: parse.text,
  }),
  source: optional({
    flag: 'source',
    value: 'SOURCE',
    help: `Only what came this way: ${sources.words.join(', ')}.`,
    parse: (text): EventSource => sources.toNumber(parse.oneOf(sources.words)(text)) ?? 0,
  }),
  job: optional({ flag: 'job', value: 'ID', help: 'Only what is about this job.', parse: parse.text }),
  limit: optional({
    flag: 'limit',
    value: 'N',
    help: `How many of the newest: 0 to ${pageSize}; ${defaultLimit} unless given.`,
    parse: parse.integer(0, pageSize),
  }),
  json: toggle('json', 'Print the JSON that REST has for each event, a line each.'),
  url: urlFlag,
};

const about = [
  'Prints the newest events, oldest first. With --follow, a connection that is lost is made anew, and no event is missed',
  'or printed twice for it. A program that has to see every event goes on with --after and the last seq it has seen.',
].join('\n');

export const tailCommand = command({
  flags,
  about,
  run({ url, json, follow, after, limit, type, source, job }) {
    if (after !== undefined && limit !== undefined) throw new UsageError('--after and --limit cannot both be given');
    if (limit === 0 && !follow) throw new UsageError('--limit 0 shows nothing without --follow');
    const filter: EventFilter = {
      type: [...type],
      ...(source !== undefined && { source }),
      ...(job !== undefined && { jobId: job }),
    };
    return withClient(url, async (client) => {
      const tail = createTail(client, filter, json ? printJson : printText);
      if (follow) {
        const from = after === undefined ? await tail.newestAndHead(limit) : BigInt(after);
        return tail.follow(from, { reached: after === undefined });
      }
      const last = after === undefined ? await tail.newest(limit) : await tail.allAfter(BigInt(after));
      if (last === undefined && !json) stdout.line('There are no such events.');
      return exitCodes.ok;
    });
  },
});

type Print = (events: readonly Event[]) => void;

function printText(events: readonly Event[]): void {
  for (const event of events) stdout.line(eventText(shownEvent(event), stdout));
}

function printJson(events: readonly Event[]): void {
  for (const event of events) stdout.line(JSON.stringify(shownEvent(event)));
}

/** Each prints events; those that answer a seq tell after which one to go on. */
function createTail(client: MusterClient, filter: EventFilter, print: Print) {
  async function newest(limit = defaultLimit): Promise<bigint | undefined> {
    const { events } = await client.events.listEvents({ ...filter, limit });
    print(events.toReversed());
    return events[0]?.seq;
  }

  /** What fits may be long ago, or not be at all, so the ledger's own end is where to go on. */
  async function newestAndHead(limit?: number): Promise<bigint> {
    // Read first: what comes before the page is read is on the page.
    const head = await headOf(client);
    const last = limit === 0 ? undefined : await newest(limit);
    return last !== undefined && last > head ? last : head;
  }

  async function allAfter(after: bigint): Promise<bigint | undefined> {
    let last: bigint | undefined;
    for (;;) {
      const { events } = await client.events.replayEvents({ ...filter, after: last ?? after, limit: pageSize });
      print(events);
      last = events.at(-1)?.seq ?? last;
      if (events.length < pageSize) return last;
    }
  }

  async function follow(after: bigint, { reached }: { readonly reached: boolean }): Promise<never> {
    const following = followEvents(client, after, filter, {
      reached,
      onLost: (error, retryInMs) => sayLost(client, error, retryInMs),
      onBack: (last) => stderr.line(`muster: back at ${client.url}, going on after event ${last}`),
    });
    for await (const event of following) print([event]);
    throw new Error('the ledger has come to an end');
  }

  return { newest, newestAndHead, allAfter, follow };
}
