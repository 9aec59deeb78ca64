import { onTestFinished } from 'vitest';
import { createLookout } from './until.js';

/** One server-sent event. */
export interface SentEvent {
  readonly id: string | undefined;
  /** `message` unless the server names another. */
  readonly event: string;
  readonly data: string;
}

/** A stream of server-sent events, read as the standard says. */
export interface EventStream {
  readonly status: number;
  readonly headers: Headers;
  readonly events: readonly SentEvent[];
  /** Everything as it came, comments included. */
  readonly text: () => string;
  /** Resolves when `look` finds something; rejects when the stream ends first. */
  until<T>(what: string, look: (events: readonly SentEvent[]) => T | undefined | false): Promise<T>;
  close(): void;
  /** Resolves when the server has ended the stream, or the connection is gone. */
  readonly over: Promise<void>;
}

export async function openEventStream(url: string, headers: Record<string, string> = {}): Promise<EventStream> {
  const given = new AbortController();
  onTestFinished(() => given.abort());
  const response = await fetch(url, { headers: { accept: 'text/event-stream', ...headers }, signal: given.signal });
  const events: SentEvent[] = [];
  let text = '';
  let ended = false;
  const lookout = createLookout(
    events as readonly SentEvent[],
    () => (ended ? text.slice(-500) : undefined),
    () => `${events.length} events`,
  );

  async function read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for await (const chunk of response.body ?? []) {
        const piece = decoder.decode(chunk as Uint8Array, { stream: true });
        text += piece;
        rest += piece;
        const blocks = rest.split('\n\n');
        rest = blocks.pop() ?? '';
        events.push(...blocks.flatMap(eventOf));
        lookout.tell();
      }
    } catch {
      // Closed by us, or cut off: both are an end.
    }
    ended = true;
    lookout.tell();
  }

  return {
    status: response.status,
    headers: response.headers,
    events,
    text: () => text,
    over: read(),
    close: () => given.abort(),
    until: lookout.until,
  };
}

/** An event of a block of lines; a block without data is none. */
function eventOf(block: string): SentEvent[] {
  const fields = block.split('\n').flatMap((line) => {
    const cut = line.indexOf(':');
    return cut <= 0 ? [] : [[line.slice(0, cut), line.slice(cut + 1).replace(/^ /, '')] as const];
  });
  const of = (name: string): string[] => fields.flatMap(([field, value]) => (field === name ? [value] : []));
  const data = of('data');
  return data.length === 0
    ? []
    : [{ id: of('id').at(-1), event: of('event').at(-1) ?? 'message', data: data.join('\n') }];
}
