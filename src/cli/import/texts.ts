import type { Item, Source } from './source-plan.js';

/** What a task may hold, in bytes; as docs/import.md and the API say. */
const maxDescriptionBytes = 16 * 1024;
const maxContextBytes = 64 * 1024;

export interface Texts {
  readonly description: string;
  readonly context: string;
}

/**
 * What of a record becomes the description of its task, and what its context. It depends on nothing but the record, so that to import it
 * again is to send the same again.
 */
export function textsOf(source: Source, item: Item): Texts | { readonly field: string; readonly message: string } {
  const title = item.title.trim();
  const body = item.description.trim();
  const whole = body === '' || body === title ? title : `${title}\n\n${body}`;
  const isShort = Buffer.byteLength(whole) <= maxDescriptionBytes;
  const description = isShort ? whole : title;
  const context = contextOf(source, item, isShort ? '' : body);
  return (
    fault('title', Buffer.byteLength(description), maxDescriptionBytes) ??
    fault('context', Buffer.byteLength(context), maxContextBytes) ?? { description, context }
  );
}

function fault(field: string, bytes: number, max: number) {
  return bytes <= max ? undefined : { field, message: `would have ${bytes} bytes; ${max} are allowed` };
}

function contextOf(source: Source, item: Item, description: string): string {
  const isClosed = item.state === 'done' || item.state === 'cancelled';
  const facts = [
    ...item.facts,
    ...item.parents.map(({ id }) => `Part of: ${id}`),
    // What is done waits for nobody any more, and is not given blockers.
    ...(isClosed ? item.blockers.map(({ id }) => `Waited for: ${id}`) : []),
    ...item.links.map(({ type, id }) => `${type}: ${id}`),
  ].join('\n');
  const sections = [{ heading: 'Description', text: description }, ...item.sections].flatMap(({ heading, text }) =>
    text.trim() === '' ? [] : [`${heading}:\n${text.trim()}`],
  );
  return [markerOf(source, item.id), facts, ...sections].filter((part) => part !== '').join('\n\n');
}

/** The first line of a context tells where the task is from; further down, a text could only pretend to. */
function markerOf(source: Source, id: string): string {
  return `Imported from ${source} ${id}`;
}

/** The id, in its source, of the record that a task was made of; undefined for other tasks. */
export function importedId(source: Source, context: string | undefined): string | undefined {
  const [line = ''] = (context ?? '').split('\n', 1);
  const lead = markerOf(source, '');
  return line.startsWith(lead) ? line.slice(lead.length).trimEnd() : undefined;
}
