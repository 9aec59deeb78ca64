import { RefusedError } from './jobs-client.js';
import { rest } from './rest.js';
import type { RestTask } from './tasks-client.js';

/** A request for help as REST prints it. */
export interface RestHelp {
  readonly id: string;
  readonly task_id: string;
  readonly from_status: string;
  readonly category: string;
  readonly reason: string;
  readonly suggested_options: readonly string[];
  readonly status: 'Pending' | 'Responded' | 'Resolved' | 'Cancelled';
  readonly response: string | null;
  readonly chosen_option: number | null;
  readonly created_at: string;
  readonly responded_at: string | null;
  readonly resumed_at: string | null;
  readonly deadline_at: string | null;
  readonly default_response: string | null;
  readonly default_option: number | null;
  readonly answered_by_default: boolean;
}

/** `/api/help` as a program uses it; throws RefusedError for any other status than 2xx. */
export function createHelpClient(url: string, headers: Readonly<Record<string, string>> = {}) {
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await rest(url, method, path, body, headers);
    if (answer.status >= 300) throw new RefusedError(`${method} ${path}`, answer);
    return answer.json as T;
  }

  return {
    ask: (task_id: string, input: object = {}) =>
      call<RestHelp>('POST', '/api/help', { task_id, category: 'Decision', reason: 'Which one?', ...input }),
    respond: (id: string, answer: object = { response: 'This one.' }) =>
      call<RestHelp>('POST', `/api/help/${id}/respond`, answer),
    resume: (taskId: string) => call<RestTask>('POST', `/api/help/${taskId}/resume`),
    active: (taskId: string) => call<RestHelp | null>('GET', `/api/help/active/${taskId}`),
    /** All of them, newest first, page by page. */
    async list(taskId: string, limit = 50): Promise<readonly RestHelp[]> {
      const all: RestHelp[] = [];
      let next: string | undefined = `/api/help/${taskId}?limit=${limit}`;
      while (next !== undefined) {
        const answer = await rest(url, 'GET', next, undefined, headers);
        if (answer.status !== 200) throw new RefusedError(`GET ${next}`, answer);
        all.push(...(answer.json as readonly RestHelp[]));
        next = /^<([^>]*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
      }
      return all;
    },
  };
}

export type HelpClient = ReturnType<typeof createHelpClient>;
