import { type Event, EventSchema } from '../client/index.js';
import { shorten } from '../platform/text.js';
import { restShape } from './job-json.js';
import { type Output, printable, type Style } from './output.js';

/** An event in the documented words, as REST has it. */
export interface ShownEvent {
  readonly id: string;
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly source: string;
  readonly actor: { readonly kind: string; readonly id: string } | null;
  readonly correlation_id: string | null;
  readonly task_id: string | null;
  readonly review_id: string | null;
  readonly repo_id: string | null;
  readonly session_id: string | null;
  readonly job_id: string | null;
  readonly payload: Readonly<Record<string, unknown>> | null;
}

export function shownEvent(event: Event): ShownEvent {
  return restShape(EventSchema, event) as unknown as ShownEvent;
}

/** So wide as to align most lines: how the later ones will be is not known when the first is printed. */
const widths = { seq: 7, type: 14, subject: 30, actor: 11 };

/** An event on one line, for people. */
export function eventText(event: ShownEvent, { style }: Output): string {
  return [
    style.dim(`${String(event.seq).padStart(widths.seq)}  ${event.at}`),
    coloured(event.type, style)(printable(event.type).padEnd(widths.type)),
    subjectOf(event).padEnd(widths.subject),
    style.dim(actorOf(event).padEnd(widths.actor)),
    payloadText(event),
  ]
    .join('  ')
    .trimEnd();
}

/** What it is about, the smallest thing first. */
function subjectOf({ job_id, session_id, review_id, task_id, repo_id }: ShownEvent): string {
  const ids = [job_id, session_id, review_id, task_id, repo_id].filter((id) => id !== null);
  return ids.length === 0 ? '-' : printable(ids.join(' '));
}

function actorOf({ actor }: ShownEvent): string {
  return actor === null ? '-' : printable(`${actor.kind}:${actor.id}`);
}

/** Without the times that are the event's own, which most events repeat in a field or two. */
function payloadText({ payload, at }: ShownEvent): string {
  return Object.entries(payload ?? {})
    .filter(([, value]) => value !== at)
    .map(([name, value]) => printable(`${name}=${valueText(value)}`))
    .join(' ');
}

const longestValue = 80;

/** JSON, without its quotes where they would tell nothing. */
function valueText(value: unknown): string {
  const text = typeof value === 'string' && /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
  return shorten(text, longestValue);
}

function coloured(type: string, { green, red, yellow, cyan }: Style): (text: string) => string {
  if (/(?:Failed|Escalated)$/.test(type)) return red;
  if (/(?:Done|Completed|Passed|Approved)$/.test(type)) return green;
  if (/Cancell?ed$/.test(type)) return yellow;
  return type.endsWith('Started') ? cyan : (text) => text;
}
