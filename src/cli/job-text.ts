import { type Job, JobSchema } from '../client/index.js';
import { firstLine } from '../platform/text.js';
import { restShape } from './job-json.js';
import { alignColumns, durationText, type Output, printable, type Style } from './output.js';

/** A job in the documented words, as REST has it. */
export interface ShownJob {
  readonly id: string;
  readonly kind: string;
  readonly status: string;
  readonly payload: unknown;
  readonly result: unknown;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly priority: number;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly run_at: string;
  readonly timeout_sec: number | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly progress: unknown;
}

export const priorities = ['urgent', 'high', 'normal', 'low'] as const;

/** A word, or 0 to 3. Throws an Error that says so. */
export function parsePriority(text: string): number {
  const index = (priorities as readonly string[]).indexOf(text);
  if (index >= 0) return index;
  if (!/^[0-3]$/.test(text)) throw new Error(`is none of ${priorities.join(', ')} and not 0 to 3`);
  return Number(text);
}

export function shownJob(job: Job): ShownJob {
  return restShape(JobSchema, job) as unknown as ShownJob;
}

/** All there is to know of a job, a line a field. */
export function jobText(job: ShownJob, { style }: Output): string {
  const rows: [string, string | undefined][] = [
    ['id', job.id],
    ['kind', job.kind],
    ['status', colouredStatus(job.status, style)],
    ['priority', `${job.priority} (${priorities[job.priority] ?? 'unknown'})`],
    ['attempts', `${job.attempts} of ${job.max_attempts}`],
    ['created_at', job.created_at],
    ['run_at', Date.parse(job.run_at) > Date.parse(job.created_at) ? job.run_at : undefined],
    ['timeout', job.timeout_sec === null ? undefined : `${job.timeout_sec} s`],
    ['started_at', job.started_at ?? undefined],
    ['finished_at', job.finished_at === null ? undefined : `${job.finished_at}${tookText(job)}`],
    ['payload', jsonText(job.payload)],
    ['progress', jsonText(job.progress)],
    ['result', jsonText(job.result)],
    ['error', job.error === null ? undefined : `${style.red(job.error.code)} ${printable(job.error.message)}`.trim()],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows
    .flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
    .map(([name, value]) => style.dim(name.padEnd(width)) + value.replaceAll('\n', `\n${' '.repeat(width)}`))
    .join('\n');
}

/** Lines of a table, its head first. */
export function jobTable(jobs: readonly ShownJob[], { style }: Output): string[] {
  const head = ['ID', 'KIND', 'STATUS', 'PRIORITY', 'ATTEMPTS', 'CREATED', 'NOTE'];
  return alignColumns([
    head.map((name) => style.dim(name)),
    ...jobs.map((job) => [
      job.id,
      job.kind,
      colouredStatus(job.status, style),
      priorities[job.priority] ?? String(job.priority),
      `${job.attempts}/${job.max_attempts}`,
      job.created_at.replace(/\.\d+Z$/, 'Z'),
      noteOf(job),
    ]),
  ]);
}

/** One change of a job, for people who follow it. */
export function changeText(job: ShownJob, { style }: Output): string {
  const parts = [new Date().toTimeString().slice(0, 8), colouredStatus(job.status, style)];
  if (job.status === 'running') parts.push(`attempt ${job.attempts} of ${job.max_attempts}`);
  else parts.push(noteOf(job));
  if (job.progress !== null && job.status === 'running') parts.push(printable(JSON.stringify(job.progress)));
  return parts.filter((part) => part !== '').join('  ');
}

function noteOf(job: ShownJob): string {
  const took = job.started_at !== null && job.finished_at !== null ? tookText(job).trim() : '';
  const failed = job.error === null ? '' : `${job.error.code} ${printable(firstLine(job.error.message, 60))}`.trim();
  if (job.status !== 'queued') return [failed, took].filter(Boolean).join(' ');
  const due = Date.parse(job.run_at);
  const waits = due > Date.now() ? `due ${job.run_at}` : '';
  return [failed, waits].filter(Boolean).join('; ');
}

function tookText({ started_at, finished_at }: ShownJob): string {
  if (started_at === null || finished_at === null) return '';
  return ` (${durationText(Date.parse(finished_at) - Date.parse(started_at))})`;
}

function jsonText(value: unknown): string | undefined {
  if (value === null) return undefined;
  const compact = JSON.stringify(value);
  return printable(compact.length <= 80 ? compact : JSON.stringify(value, null, 2));
}

export function colouredStatus(status: string, style: Style): string {
  switch (status) {
    case 'done':
      return style.green(status);
    case 'error':
      return style.red(status);
    case 'running':
      return style.cyan(status);
    case 'canceled':
      return style.yellow(status);
    default:
      return status;
  }
}
