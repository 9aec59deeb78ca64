import { enumWords } from '../platform/rpc/words.js';
import { parse } from '../platform/config.js';
import { type Job, type JobStatus, JobStatusSchema, type MusterClient } from '../client/index.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional, repeated, toggle } from './flags.js';
import { jobTable, shownJob } from './job-text.js';
import { stderr, stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';

const statuses = enumWords(JobStatusSchema);
const pageSize = 500;

export const listCommand = command({
  flags: {
    status: repeated({
      flag: 'status',
      value: 'STATUS',
      help: `Only jobs in this state: ${statuses.words.join(', ')}. May be repeated.`,
      parse: (text): JobStatus => statuses.toNumber(parse.oneOf(statuses.words)(text)) ?? 0,
    }),
    kind: repeated({
      flag: 'kind',
      value: 'KIND',
      help: 'Only jobs of this kind. May be repeated.',
      parse: parse.text,
    }),
    limit: optional({
      flag: 'limit',
      value: 'N',
      help: 'At most so many; 50 unless --all is given.',
      parse: parse.integer(1, 1_000_000_000),
    }),
    all: toggle('all', 'Every job there is.'),
    json: toggle('json', 'Print the JSON array that REST has for it.'),
    url: urlFlag,
  },
  about: '',
  run: ({ url, json, limit, all, status, kind }) =>
    withClient(url, async (client) => {
      const print = json ? createJsonPrinter() : createTablePrinter();
      let left = limit ?? (all ? Infinity : 50);
      let more = false;
      for await (const { jobs, isLast } of pages(client, { status, kind }, () => Math.min(left, pageSize))) {
        print.page(jobs);
        left -= jobs.length;
        more = !isLast;
        if (left <= 0) break;
      }
      print.end();
      if (more && !json) stderr.line('There are more; --all lists them.');
      return exitCodes.ok;
    }),
});

async function* pages(
  client: MusterClient,
  filter: { readonly status: readonly JobStatus[]; readonly kind: readonly string[] },
  limit: () => number,
): AsyncIterable<{ readonly jobs: readonly Job[]; readonly isLast: boolean }> {
  let cursor: string | undefined;
  do {
    const answer = await client.jobs.listJobs({
      status: [...filter.status],
      kind: [...filter.kind],
      limit: limit(),
      ...(cursor !== undefined && { cursor }),
    });
    cursor = answer.nextCursor;
    yield { jobs: answer.jobs, isLast: cursor === undefined };
  } while (cursor !== undefined);
}

interface Printer {
  page(jobs: readonly Job[]): void;
  end(): void;
}

/** A page at a time, so that a long list needs no memory. */
function createJsonPrinter(): Printer {
  let lead = '[';
  return {
    page(jobs) {
      for (const job of jobs) {
        stdout.text(lead + JSON.stringify(shownJob(job)));
        lead = ',\n';
      }
    },
    end: () => stdout.line(lead === '[' ? '[]' : ']'),
  };
}

function createTablePrinter(): Printer {
  let printed = 0;
  return {
    page(jobs) {
      const [head = '', ...rows] = jobTable(jobs.map(shownJob), stdout);
      if (printed === 0 && rows.length > 0) stdout.line(head);
      for (const row of rows) stdout.line(row);
      printed += rows.length;
    },
    end() {
      if (printed === 0) stdout.line('There are no such jobs.');
    },
  };
}
