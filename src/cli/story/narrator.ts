import { type Event, followEvents, type MusterClient } from '../../client/index.js';
import { type ShownEvent, shownEvent } from '../event-text.js';
import { type Output, printable } from '../output.js';

/** Tells what the ledger says, as it says it, and who waits for something in it. */
export interface Narrator {
  /** Resolves with the first event that fits, past or to come. */
  until(type: string, fits?: (event: ShownEvent) => boolean): Promise<ShownEvent>;
}

export interface NarratorOptions {
  readonly signal: AbortSignal;
  readonly onFailed: (error: unknown) => void;
  /** The names of actors, by their ids. */
  readonly names: ReadonlyMap<string, string>;
}

export function createNarrator(client: MusterClient, output: Output, options: NarratorOptions): Narrator {
  const seen: ShownEvent[] = [];
  const waiting = new Set<(event: ShownEvent) => void>();

  function tell(told: Event): void {
    const event = shownEvent(told);
    seen.push(event);
    for (const look of waiting) look(event);
    // Those of jobs say the same again, from where gates run.
    if (!event.type.startsWith('Job')) output.line(lineOf(event, output, options.names));
  }

  async function follow(): Promise<void> {
    const { signal } = options;
    for await (const event of followEvents(client, 0n, {}, { signal })) tell(event);
  }
  void follow().catch((error: unknown) => options.signal.aborted || options.onFailed(error));

  return {
    async until(type, fits = () => true) {
      const isIt = (event: ShownEvent): boolean => event.type === type && fits(event);
      const known = seen.find(isIt);
      if (known !== undefined) return known;
      return new Promise((resolve, reject) => {
        const end = (): void => reject(options.signal.reason as Error);
        const look = (event: ShownEvent): void => {
          if (!isIt(event)) return;
          waiting.delete(look);
          options.signal.removeEventListener('abort', end);
          resolve(event);
        };
        waiting.add(look);
        options.signal.addEventListener('abort', end, { once: true });
      });
    },
  };
}

function lineOf(event: ShownEvent, { style }: Output, names: ReadonlyMap<string, string>): string {
  const { type, seq, actor } = event;
  const head = `  ${style.dim(String(seq).padStart(4))}  ${style.dim(nameOf(actor, names).padEnd(9))}`;
  if (type === 'GateOutput') {
    const lines = String(event.payload?.['text']).trimEnd().split('\n');
    return lines.map((line) => `${head} ${style.dim('│')} ${printable(line)}`).join('\n');
  }
  return `${head} ${paintOf(event, style)(type.padEnd(18))} ${printable(detailOf(event))}`.trimEnd();
}

function nameOf(actor: ShownEvent['actor'], names: ReadonlyMap<string, string>): string {
  if (actor === null) return '';
  return names.get(actor.id) ?? (actor.kind === 'system' ? 'muster' : actor.kind);
}

function paintOf({ type }: ShownEvent, { green, red, yellow, cyan }: Output['style']): (text: string) => string {
  if (/Failed|Escalated|ChangesRequested/.test(type)) return red;
  if (/Passed|Approved|Completed/.test(type)) return green;
  if (/Review|Comment/.test(type)) return cyan;
  return /Learning/.test(type) ? yellow : (text) => text;
}

/** What is worth telling of an event, of all that is in it. */
function detailOf({ type, payload }: ShownEvent): string {
  const told = (name: string): string => {
    const value = payload?.[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  };
  const commit = (): string => told('head_commit').slice(0, 10);
  switch (type) {
    case 'TokenCreated':
      return `${told('name')}, ${told('role')}`;
    case 'RepoRegistered':
      return told('path');
    case 'TaskCreated':
      return `${told('kind')}: ${told('description')}`;
    case 'RefCreated':
      return told('ref_name');
    case 'Committed':
    case 'ReviewCreated':
      return `${commit()} ${told('status')}`;
    case 'ReviewPhaseChanged':
    case 'ReviewApproved':
      return `${told('status')}, commit ${commit()}`;
    case 'ChangesRequested':
      return told('summary').split('\n', 1)[0] ?? '';
    case 'CommentAdded':
      return `${told('file_path')}:${told('line_start')} ${told('body')}`;
    case 'LearningAdded':
    case 'LearningBubbled':
      return told('content');
    case 'GateAdded':
      return `${told('name')}: ${told('command')}`;
    default:
      return type.startsWith('Gate') ? `${told('name')}, attempt ${told('attempt')}` : told('status');
  }
}
