import { createMusterClient, type MusterClient } from '../../src/client/index.js';
import { RefusedError } from './jobs-client.js';
import { rest } from './rest.js';
import { createReviewsClient, type RestReview } from './reviews-client.js';

/** A gate as REST prints it. */
export interface RestGate {
  readonly id: string;
  readonly scope: { readonly type: 'Repo' | 'Task'; readonly id: string };
  readonly source: 'Api' | 'File';
  readonly name: string;
  readonly command: string;
  readonly timeout_secs: number;
  readonly max_retries: number;
  readonly poll_interval_secs: number;
  readonly max_pending_secs: number;
  readonly created_at: string;
  readonly updated_at: string;
}

export interface RestGateResult {
  readonly gate_id: string;
  readonly name: string;
  readonly task_id: string;
  readonly review_id: string;
  readonly status: 'Running' | 'Pending' | 'Passed' | 'Failed' | 'Timeout' | 'Escalated' | 'Cancelled';
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number | null;
  readonly attempt: number;
  readonly started_at: string;
  readonly completed_at: string | null;
  readonly command: string;
  readonly head_commit: string;
  readonly head_tree: string;
  readonly runs: number;
  readonly next_run_at: string | null;
  readonly round: number;
}

/** `/api/gates` as a program uses it: answers what is asked for, throws RefusedError for any other status than 2xx. */
export function createGatesClient(url: string, headers: Readonly<Record<string, string>> = {}) {
  const reviews = createReviewsClient(url, headers);

  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await rest(url, method, path, body, headers);
    if (answer.status >= 300) throw new RefusedError(`${method} ${path}`, answer);
    return answer.json as T;
  }

  /** All of them, oldest first, page by page. */
  async function results(reviewId: string): Promise<RestGateResult[]> {
    const all: RestGateResult[] = [];
    let next: string | undefined = `/api/gates/results/${reviewId}`;
    while (next !== undefined) {
      const answer = await rest(url, 'GET', next, undefined, headers);
      if (answer.status !== 200) throw new RefusedError(`GET ${next}`, answer);
      all.push(...(answer.json as RestGateResult[]));
      next = /^<([^>]*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    return all;
  }

  /** Waits until no gate of a review is to run any more. Answers the review, and what its gates have found. */
  async function ended(reviewId: string): Promise<{ readonly review: RestReview; readonly results: RestGateResult[] }> {
    const muster: MusterClient = createMusterClient({ url, headers });
    try {
      for await (const _ of muster.gates.watchGates({ reviewId })) continue;
    } finally {
      muster.close();
    }
    return { review: await reviews.get(reviewId), results: await results(reviewId) };
  }

  return {
    url,
    reviews,
    tasks: reviews.tasks,
    results,
    ended,
    add: (scope: RestGate['scope'], input: object) =>
      call<RestGate>('POST', '/api/gates', { scope, name: 'unit', command: 'true', ...input }),
    get: (id: string) => call<RestGate>('GET', `/api/gates/${id}`),
    update: (id: string, patch: object) => call<RestGate>('PATCH', `/api/gates/${id}`, patch),
    remove: (id: string) => call<{ readonly ok: boolean }>('DELETE', `/api/gates/${id}`),
    list: (scope: 'repo' | 'task', id: string) => call<RestGate[]>('GET', `/api/gates?scope=${scope}&id=${id}`),
    effective: (taskId: string) => call<RestGate[]>('GET', `/api/gates/effective/${taskId}`),
    rerun: (reviewId: string) => call<{ readonly ok: boolean }>('POST', `/api/gates/rerun/${reviewId}`, {}),
  };
}

export type GatesClient = ReturnType<typeof createGatesClient>;
