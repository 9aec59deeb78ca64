import { writeFiles, type Files } from './git-repos.js';
import { RefusedError } from './jobs-client.js';
import { rest } from './rest.js';
import { createTasksClient } from './tasks-client.js';

/** A review as REST prints it. */
export interface RestReview {
  readonly id: string;
  readonly task_id: string;
  readonly status:
    'GatesPending' | 'GatesEscalated' | 'AgentPending' | 'HumanPending' | 'Approved' | 'ChangesRequested';
  readonly base_commit: string;
  readonly head_commit: string;
  readonly head_tree: string | null;
  readonly summary: string | null;
  readonly submitted_at: string;
  readonly gates_completed_at: string | null;
  readonly agent_completed_at: string | null;
  readonly human_completed_at: string | null;
  readonly created_at: string;
  readonly updated_at: string;
}

export interface RestComment {
  readonly id: string;
  readonly review_id: string;
  readonly task_id: string;
  readonly author: 'Agent' | 'Human';
  readonly file_path: string;
  readonly line_start: number | null;
  readonly line_end: number | null;
  readonly side: 'Left' | 'Right';
  readonly body: string;
  readonly created_at: string;
  readonly resolved_at: string | null;
}

export interface RestDiff {
  readonly base: string;
  readonly head: string | null;
  readonly unified: string;
  readonly files: readonly { readonly path: string }[];
}

/** `/api/reviews` as a program uses it: answers what is asked for, throws RefusedError for any other status than 2xx. */
export function createReviewsClient(url: string, headers: Readonly<Record<string, string>> = {}) {
  const tasks = createTasksClient(url, headers);

  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await rest(url, method, path, body, headers);
    if (answer.status >= 300) throw new RefusedError(`${method} ${path}`, answer);
    return answer.json as T;
  }

  async function active(taskId: string): Promise<RestReview | null> {
    return call('GET', `/api/tasks/${taskId}/reviews/active`);
  }

  /** Submits with these files in the task's work tree. Answers the review that is opened. */
  async function submit(taskId: string, files: Files): Promise<RestReview> {
    writeFiles((await tasks.get(taskId)).vcs?.worktree_path ?? '', files);
    await tasks.submit(taskId, { allow_empty: true });
    const review = await active(taskId);
    if (review === null) throw new Error(`${taskId} has no open review`);
    return review;
  }

  return {
    url,
    tasks,
    active,
    submit,
    get: (id: string) => call<RestReview>('GET', `/api/reviews/${id}`),
    list: (taskId: string, query = '') => call<RestReview[]>('GET', `/api/tasks/${taskId}/reviews${query}`),
    diff: (id: string, query = '') => call<RestDiff>('GET', `/api/reviews/${id}/diff${query}`),
    comment: (id: string, input: object) =>
      call<RestComment>('POST', `/api/reviews/${id}/comments`, { side: 'Right', body: 'b', ...input }),
    comments: (id: string) => call<RestComment[]>('GET', `/api/reviews/${id}/comments?limit=500`),
    resolve: (id: string) => call<RestComment>('POST', `/api/comments/${id}/resolve`, {}),
    approve: (id: string, input: object = {}) => call<RestReview>('POST', `/api/reviews/${id}/approve`, input),
    requestChanges: (id: string, input: object = {}) =>
      call<RestReview>('POST', `/api/reviews/${id}/request-changes`, input),
  };
}

export type ReviewsClient = ReturnType<typeof createReviewsClient>;
