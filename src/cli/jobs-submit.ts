import { readFileSync } from 'node:fs';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { CreateJobResponseSchema, type Json, valueOf } from '../client/index.js';
import { messageOf } from '../errors.js';
import { parse } from '../platform/config.js';
import { faultOfJson } from '../platform/json.js';
import { isWireTime } from '../platform/rpc/limits.js';
import { command } from './command.js';
import { exitCodes, UsageError } from './errors.js';
import { optional, toggle } from './flags.js';
import { restShape } from './job-json.js';
import { parsePriority, priorities } from './job-text.js';
import { watch, watchAbout } from './jobs-watch.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';

const flags = {
  payload: optional({ flag: 'payload', value: 'JSON', help: 'What the job is about: any JSON.', parse: parseJson }),
  payloadFile: optional({
    flag: 'payload-file',
    value: 'FILE',
    help: 'The same from a file; - reads stdin.',
    parse: parse.text,
  }),
  priority: optional({
    flag: 'priority',
    value: 'PRIORITY',
    help: `${priorities.join(', ')}, or 0 to 3; normal by default. Urgent goes first.`,
    parse: parsePriority,
  }),
  runAt: optional({
    flag: 'run-at',
    value: 'TIME',
    help: 'Not before this time, such as 2030-01-31T12:00:00Z, or after so long, such as +5m.',
    parse: parseTime,
  }),
  maxAttempts: optional({
    flag: 'max-attempts',
    value: 'N',
    help: 'After how many attempts a failure is final: 1 to 100, by default 3.',
    parse: parse.integer(1, 100),
  }),
  timeoutSec: optional({
    flag: 'timeout-sec',
    value: 'N',
    help: 'How long one attempt may take, in seconds: 1 to 604800. By default as long as its worker lives.',
    parse: parse.integer(1, 604_800),
  }),
  idempotencyKey: optional({
    flag: 'idempotency-key',
    value: 'KEY',
    help: 'Submitting the same job again under the same key answers the first one.',
    parse: parse.text,
  }),
  wait: toggle('wait', 'Wait for its end, as `muster jobs watch` does.'),
  json: toggle('json', 'Print the JSON that REST answers with; with --wait, the job, a line for each of its states.'),
  url: urlFlag,
};

export const submitCommand = command({
  positionals: ['KIND'],
  flags,
  about: `Prints the id of the job. With --wait, prints each of its states.\n\nWith --wait: ${watchAbout}`,
  run({ url, json, wait, payload, payloadFile, runAt, ...more }, [kind = '']) {
    if (payload !== undefined && payloadFile !== undefined) {
      throw new UsageError('--payload and --payload-file cannot both be given');
    }
    const body = payload ?? (payloadFile === undefined ? undefined : readPayload(payloadFile));
    return withClient(url, async (client) => {
      const given = Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined));
      const answer = await client.jobs.createJob({
        kind,
        ...given,
        ...(body !== undefined && { payload: valueOf(body.value) }),
        ...(runAt !== undefined && { runAt: timestampFromDate(runAt) }),
      });
      if (wait) {
        if (!json) stdout.line(answer.id);
        return watch(client, answer.id, json);
      }
      stdout.line(json ? JSON.stringify(restShape(CreateJobResponseSchema, answer)) : answer.id);
      return exitCodes.ok;
    });
  },
});

/** In an object, so that a payload of null is told from none. */
function parseJson(text: string): { readonly value: Json } {
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch (error) {
    throw new Error(`is no JSON: ${messageOf(error)}`, { cause: error });
  }
  const fault = faultOfJson(value);
  if (fault !== undefined) throw new Error(fault);
  return { value };
}

function readPayload(file: string): { readonly value: Json } {
  try {
    return parseJson(readFileSync(file === '-' ? 0 : file, 'utf8'));
  } catch (error) {
    throw new UsageError(`--payload-file: '${file}' ${messageOf(error)}`, error);
  }
}

const rfc3339 = /^\d{4}-\d{2}-(\d{2})[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})$/;

function parseTime(text: string): Date {
  if (text.startsWith('+')) return new Date(Date.now() + parse.duration(text.slice(1)));
  const time = new Date(text.toUpperCase());
  // Date rolls a 31st of a shorter month over into the next one.
  const sameDay = new Date(`${text.slice(0, 10)}T00:00:00Z`).getUTCDate() === Number(rfc3339.exec(text)?.[1]);
  if (Number.isNaN(time.getTime()) || !sameDay || !isWireTime(time)) {
    throw new Error('is no time such as 2030-01-31T12:00:00Z or +5m');
  }
  return time;
}
