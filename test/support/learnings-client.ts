import { RefusedError } from './jobs-client.js';
import { rest } from './rest.js';

/** A learning as REST prints it. */
export interface RestLearning {
  readonly id: string;
  readonly task_id: string;
  readonly content: string;
  readonly source_task_id: string | null;
  readonly created_at: string;
}

export interface RestInherited {
  readonly own: readonly RestLearning[];
  readonly parent: readonly RestLearning[];
  readonly milestone: readonly RestLearning[];
}

/** `/api/learnings` as a program uses it; throws RefusedError for any other status than 2xx. */
export function createLearningsClient(url: string, headers: Readonly<Record<string, string>> = {}) {
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await rest(url, method, path, body, headers);
    if (answer.status >= 300) throw new RefusedError(`${method} ${path}`, answer);
    return answer.json as T;
  }

  return {
    add: (taskId: string, content: string) => call<RestLearning>('POST', `/api/learnings/${taskId}`, { content }),
    inherited: (taskId: string) => call<RestInherited>('GET', `/api/learnings/${taskId}/inherited`),
    /** All of them, page by page. */
    async list(taskId: string, limit = 50): Promise<readonly RestLearning[]> {
      const all: RestLearning[] = [];
      let next: string | undefined = `/api/learnings/${taskId}?limit=${limit}`;
      while (next !== undefined) {
        const answer = await rest(url, 'GET', next, undefined, headers);
        if (answer.status !== 200) throw new RefusedError(`GET ${next}`, answer);
        all.push(...(answer.json as readonly RestLearning[]));
        next = /^<([^>]*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
      }
      return all;
    },
  };
}

export type LearningsClient = ReturnType<typeof createLearningsClient>;
