import { rest, type RestAnswer } from './rest.js';

/** A job as REST prints it. */
export interface RestJob {
  readonly id: string;
  readonly kind: string;
  readonly status: 'queued' | 'running' | 'done' | 'error' | 'canceled';
  readonly payload: unknown;
  readonly result: unknown;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly priority: number;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly run_at: string;
  readonly timeout_sec: number | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly progress: unknown;
}

export interface RestClaim extends RestJob {
  readonly lease_token: string;
  readonly lease_expires_at: string;
}

export interface RestError {
  readonly error: string;
  readonly code: number;
  readonly message?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What a report names: a claimed job is one. */
export type Lease = Pick<RestClaim, 'id' | 'lease_token'>;
export type JobInput = Readonly<Record<string, unknown>> & { readonly kind: string };
export type ClaimInput = Readonly<Record<string, unknown>> & { readonly kinds: readonly string[] };

/** A call that was expected to succeed and did not. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly status: number;
  readonly body: RestError;

  constructor(call: string, { status, json }: RestAnswer) {
    super(`${call}: ${status} ${JSON.stringify(json)}`);
    this.status = status;
    this.body = json as RestError;
  }
}

/** `/v1/jobs` as a program uses it: answers what is asked for, throws RefusedError for any other status than 2xx. */
export function createJobsClient(url: string) {
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await rest(url, method, path, body);
    if (answer.status >= 300) throw new RefusedError(`${method} ${path}`, answer);
    return answer.json as T;
  }
  const report = <T>({ id, lease_token }: Lease, verb: string, more: object = {}): Promise<T> =>
    call('POST', `/v1/jobs/${id}/${verb}`, { lease_token, ...more });

  return {
    url,
    submit: (job: JobInput) => call<Pick<RestJob, 'id' | 'status' | 'kind'>>('POST', '/v1/jobs', job),
    get: (id: string) => call<RestJob>('GET', `/v1/jobs/${id}`),
    cancel: (id: string) => call<Pick<RestJob, 'id' | 'status'>>('DELETE', `/v1/jobs/${id}`),
    claim: (claim: ClaimInput) => call<RestClaim[]>('POST', '/v1/jobs/claim', { worker_id: 'test', ...claim }),
    heartbeat: (lease: Lease, more?: { progress?: unknown }) =>
      report<{ cancel_requested: boolean; lease_expires_at: string | null }>(lease, 'heartbeat', more),
    complete: (lease: Lease, result?: unknown) => report<RestJob>(lease, 'complete', { result }),
    fail: (lease: Lease, more: { error?: { code?: string; message?: string }; retryable?: boolean } = {}) =>
      report<RestJob>(lease, 'fail', { error: { code: 'broken', message: 'It broke.' }, ...more }),
    /** One page. */
    async list(query = ''): Promise<{ readonly jobs: RestJob[]; readonly next: string | undefined }> {
      const answer = await rest(url, 'GET', `/v1/jobs${query}`);
      if (answer.status !== 200) throw new RefusedError(`GET /v1/jobs${query}`, answer);
      const next = /^<\/v1\/jobs([^>]*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
      return { jobs: answer.json as RestJob[], next };
    },
  };
}

export type JobsClient = ReturnType<typeof createJobsClient>;

/** Claims the one job that must be there. */
export async function claimOne(client: JobsClient, claim: ClaimInput): Promise<RestClaim> {
  const [job, ...others] = await client.claim(claim);
  if (job === undefined || others.length > 0) throw new Error(`claimed ${others.length + (job ? 1 : 0)} jobs, not one`);
  return job;
}

/** The error that a call must be refused with. */
export async function refusal(call: Promise<unknown>): Promise<RestError> {
  try {
    const answer = await call;
    throw new Error(`not refused, but answered ${JSON.stringify(answer)}`);
  } catch (error) {
    if (error instanceof RefusedError) return error.body;
    throw error;
  }
}
