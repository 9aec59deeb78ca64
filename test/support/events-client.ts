import { RefusedError } from './jobs-client.js';
import { rest } from './rest.js';

/** A line of the ledger as REST prints it. */
export interface RestEvent {
  readonly id: string;
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly source: string;
  readonly actor: { readonly kind: string; readonly id: string };
  readonly correlation_id: string | null;
  readonly job_id: string | null;
  readonly payload: Readonly<Record<string, unknown>>;
}

async function read(url: string, path: string): Promise<RestEvent[]> {
  const answer = await rest(url, 'GET', path);
  if (answer.status !== 200) throw new RefusedError(`GET ${path}`, answer);
  return answer.json as RestEvent[];
}

/** The newest events, newest first. */
export function listEvents(url: string, query = ''): Promise<RestEvent[]> {
  return read(url, `/api/events${query}`);
}

/** One page, oldest first. */
export function replayEvents(url: string, query = ''): Promise<RestEvent[]> {
  return read(url, `/api/events/replay${query}`);
}

/** The whole ledger, page by page. */
export async function wholeLedger(url: string): Promise<RestEvent[]> {
  const all: RestEvent[] = [];
  for (;;) {
    const page = await replayEvents(url, `?limit=1000&after=${all.at(-1)?.seq ?? 0}`);
    if (page.length === 0) return all;
    all.push(...page);
  }
}
