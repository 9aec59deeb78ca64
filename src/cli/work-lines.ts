import { StringDecoder } from 'node:string_decoder';
import { errorFactsOf, type WorkerEvent, type WorkerLog } from '../client/index.js';
import { durationText, type Output, printable } from './output.js';
import { startCommand } from './server-access.js';

/** What a worker does, a line an event, for people. */
export function createTextLog(output: Output, url: string): WorkerLog {
  const { dim, green, red, yellow } = output.style;
  let isNew = true;
  return (event) => {
    const time = dim(new Date().toTimeString().slice(0, 8));
    const say = (text: string): void => output.line(`${time} ${text}`);
    switch (event.type) {
      case 'connected':
        isNew = false;
        return say(`connected to ${url}`);
      case 'draining':
        return say('the server is about to stop; running jobs go on');
      case 'disconnected': {
        const hint = isNew ? `. Start one with: ${startCommand(url)}` : '';
        isNew = false;
        return say(`${lostText(event.error, url)}; trying again in ${durationText(event.retryInMs)}${hint}`);
      }
      case 'job_started':
        return say(`${nameOf(event)} started (attempt ${event.job.attempts} of ${event.job.maxAttempts})`);
      case 'job_ended': {
        const after = `after ${durationText(event.ms)}`;
        if (event.failure === undefined) return say(`${nameOf(event)} ${green('done')} ${after}`);
        const then = event.status === 'queued' ? 'will be tried again' : 'for good';
        return say(`${nameOf(event)} ${red('failed')} ${after}, ${then}: ${event.failure.code}`);
      }
      case 'job_stopped':
        return say(`${nameOf(event)} ${yellow('stopped')} after ${durationText(event.ms)}: ${event.reason}`);
      case 'job_released':
        return say(`${nameOf(event)} given back`);
      case 'refused':
        return say(`${nameOf(event)} report refused: ${event.word}: ${printable(event.message)}`);
    }
  };
}

/** The same for programs: a JSON object a line, with `ts` and `event`. */
export function createJsonLog(output: Output): WorkerLog {
  return (event) =>
    output.line(JSON.stringify({ ts: new Date().toISOString(), event: event.type, ...fieldsOf(event) }));
}

function fieldsOf(event: WorkerEvent): object {
  switch (event.type) {
    case 'connected':
    case 'draining':
      return {};
    case 'disconnected': {
      const facts = event.error === undefined ? undefined : errorFactsOf(event.error);
      return {
        error: facts?.word ?? null,
        message: facts?.message ?? null,
        retry_in_ms: Math.round(event.retryInMs),
      };
    }
    case 'job_started':
      return { ...idsOf(event), max_attempts: event.job.maxAttempts };
    case 'job_ended':
      return { ...idsOf(event), status: event.status, ms: Math.round(event.ms), error: event.failure ?? null };
    case 'job_stopped':
      return { ...idsOf(event), reason: event.reason, ms: Math.round(event.ms) };
    case 'job_released':
      return idsOf(event);
    case 'refused':
      return { ...idsOf(event), error: event.word, message: event.message };
  }
}

type JobEvent = Extract<WorkerEvent, { readonly job: unknown }>;

function idsOf({ job }: JobEvent): object {
  return { job_id: job.id, kind: job.kind, attempt: job.attempts };
}

function nameOf({ job }: JobEvent): string {
  return `${job.id} ${job.kind}`;
}

function lostText(error: unknown, url: string): string {
  if (error === undefined) return `${url} ended the connection`;
  return `cannot reach ${url} (${printable(errorFactsOf(error).message)})`;
}

/** Passes on what programs write to stderr, whole lines at a time, each behind the id of its job. */
export interface StderrLines {
  readonly add: (jobId: string, chunk: Buffer) => void;
  /** Writes what is left without a line break. */
  readonly end: (jobId: string) => void;
}

const maxLine = 16 * 1024;

export function createStderrLines(output: Output): StderrLines {
  const open = new Map<string, { readonly decoder: StringDecoder; rest: string }>();
  const say = (jobId: string, line: string): void => output.line(`${output.style.dim(`[${jobId}]`)} ${line}`);
  return {
    add(jobId, chunk) {
      let state = open.get(jobId);
      if (state === undefined) open.set(jobId, (state = { decoder: new StringDecoder('utf8'), rest: '' }));
      const lines = (state.rest + state.decoder.write(chunk)).split('\n');
      state.rest = lines.pop() ?? '';
      for (const line of lines) say(jobId, line);
      if (state.rest.length > maxLine) {
        say(jobId, state.rest);
        state.rest = '';
      }
    },
    end(jobId) {
      const rest = open.get(jobId)?.rest ?? '';
      open.delete(jobId);
      if (rest !== '') say(jobId, rest);
    },
  };
}
