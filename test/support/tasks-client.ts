import { RefusedError } from './jobs-client.js';
import { rest } from './rest.js';

/** A task as REST prints it. */
export interface RestTask {
  readonly id: string;
  readonly repo_id: string;
  readonly parent_id: string | null;
  readonly kind: 'Milestone' | 'Task' | 'Subtask';
  readonly description: string;
  readonly context: string | null;
  readonly priority: number;
  readonly status: 'Pending' | 'InProgress' | 'InReview' | 'AwaitingHuman' | 'Completed' | 'Cancelled';
  readonly blocked_by: readonly string[];
  readonly blocks: readonly string[];
  readonly effectively_blocked: boolean;
  readonly depth: number;
  readonly created_at: string;
  readonly updated_at: string;
  readonly started_at: string | null;
  readonly completed_at: string | null;
}

export interface RestTree {
  readonly task: RestTask;
  readonly children: readonly RestTree[];
}

export interface RestVcs {
  readonly task_id: string;
  readonly ref_name: string;
  readonly base_commit: string;
  readonly head_commit: string | null;
  readonly worktree_path: string | null;
  readonly archived_at: string | null;
}

export interface RestTaskInContext {
  readonly task: RestTask;
  readonly context: { readonly own: string | null; readonly parent: string | null; readonly milestone: string | null };
  readonly learnings: unknown;
  readonly gates: readonly unknown[];
  readonly vcs: RestVcs | null;
  readonly review: { readonly id: string; readonly status: string } | null;
  readonly help_request: { readonly id: string; readonly status: string } | null;
  readonly session: unknown;
}

export interface RestProgress {
  readonly total: number;
  readonly completed: number;
  readonly cancelled: number;
  readonly ready: number;
  readonly blocked: number;
  readonly in_progress: number;
  readonly in_review: number;
  readonly awaiting_human: number;
}

export type TaskInput = Readonly<Record<string, unknown>>;

/** `/api/tasks` as a program uses it: answers what is asked for, throws RefusedError for any other status than 2xx. */
export function createTasksClient(url: string, headers: Readonly<Record<string, string>> = {}) {
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await rest(url, method, path, body, headers);
    if (answer.status >= 300) throw new RefusedError(`${method} ${path}`, answer);
    return answer.json as T;
  }
  const post = <T>(id: string, verb: string, body: object = {}): Promise<T> =>
    call('POST', `/api/tasks/${id}/${verb}`, body);

  return {
    url,
    create: (input: TaskInput) =>
      call<RestTask>('POST', '/api/tasks', { kind: 'Task', description: 'Do it.', ...input }),
    get: (id: string) => call<RestTaskInContext>('GET', `/api/tasks/${id}`),
    update: (id: string, patch: object) => call<RestTask>('PATCH', `/api/tasks/${id}`, patch),
    remove: (id: string) => call<{ readonly ok: boolean }>('DELETE', `/api/tasks/${id}`),
    start: (id: string, input: object = {}) => post<RestTask>(id, 'start', input),
    submit: (id: string, input: object = {}) => post<RestTask>(id, 'submit', input),
    claimNext: (input: object) => call<RestTaskInContext | null>('POST', '/api/tasks/claim-next', input),
    cancel: (id: string) => post<RestTask>(id, 'cancel'),
    complete: (id: string) => post<RestTask>(id, 'force-complete'),
    setStatus: (id: string, status: string) => post<RestTask>(id, 'set-status', { status }),
    block: (id: string, blocker: string) => post<{ readonly ok: boolean }>(id, 'block', { blocker_id: blocker }),
    unblock: (id: string, blocker: string) => post<{ readonly ok: boolean }>(id, 'unblock', { blocker_id: blocker }),
    tree: (query: string) => call<RestTree[]>('GET', `/api/tasks/tree${query}`),
    progress: (query: string) => call<RestProgress>('GET', `/api/tasks/progress${query}`),
    nextReady: (query: string) => call<RestTaskInContext | null>('GET', `/api/tasks/next-ready${query}`),
    /** One page. */
    async list(query = ''): Promise<{ readonly tasks: RestTask[]; readonly next: string | undefined }> {
      const answer = await rest(url, 'GET', `/api/tasks${query}`, undefined, headers);
      if (answer.status !== 200) throw new RefusedError(`GET /api/tasks${query}`, answer);
      const next = /^<\/api\/tasks([^>]*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
      return { tasks: answer.json as RestTask[], next };
    },
  };
}

export type TasksClient = ReturnType<typeof createTasksClient>;

/** Registers a repository. Answers its id. */
export async function registerRepo(
  url: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const answer = await rest(url, 'POST', '/api/repos', { path }, headers);
  if (answer.status !== 201) throw new RefusedError('POST /api/repos', answer);
  return (answer.json as { readonly id: string }).id;
}
