/** The unary methods of JobService. */
export type MethodName =
  'CreateJob' | 'GetJob' | 'ListJobs' | 'CancelJob' | 'ClaimJobs' | 'HeartbeatJob' | 'CompleteJob' | 'FailJob';

/** A request or an answer as REST would have it: snake_case, documented words. */
export type Fields = { readonly [field: string]: unknown };

/** The documented facts of an error, whichever way it came. */
export interface ErrorFacts {
  readonly error: string;
  readonly code: number;
  readonly message: string;
  readonly details?: Fields;
  readonly correlation_id: string;
}

export type Outcome = { readonly ok: Fields } | { readonly failed: ErrorFacts; readonly rpcCode: string };

export type Headers = Readonly<Record<string, string>>;

/** One way to call JobService. */
export interface Api {
  call(method: MethodName, request: Fields, headers?: Headers): Promise<Outcome>;
  close(): void;
}

export interface ApiKind {
  readonly name: string;
  /** How many levels of JSON the client can handle where it is not all 128. */
  readonly maxDepth?: number;
  open(url: string): Api;
}

/** What the general status of an RPC has to be for an error word. Taken from docs/status-codes.md. */
export const rpcCodes: Readonly<Record<string, string>> = {
  invalid_request: 'invalid_argument',
  unauthorized: 'unauthenticated',
  forbidden: 'permission_denied',
  not_found: 'not_found',
  conflict: 'already_exists',
  invalid_state: 'failed_precondition',
  lease_lost: 'aborted',
  too_large: 'resource_exhausted',
  deadline_exceeded: 'deadline_exceeded',
  internal_error: 'internal',
};

/** Any JSON: not to be looked into. */
const values = new Set(['payload', 'result', 'progress', 'details']);

/**
 * An answer in one form, so that those of different transports can be compared: keys in snake_case, documented enum words, times in
 * ISO, nothing that is null. What is inside of a JSON value stays as it is.
 */
export function view(answer: unknown): Fields {
  return viewOf(answer) as Fields;
}

function viewOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(viewOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]) => {
      const name = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      const seen = values.has(name) ? member : fieldOf(name, viewOf(member));
      return seen === null || seen === undefined ? [] : [[name, seen]];
    }),
  );
}

function fieldOf(name: string, value: unknown): unknown {
  if (name === 'status' && typeof value === 'string') return value.replace(/^JOB_STATUS_/, '').toLowerCase();
  if (name.endsWith('_at') && typeof value === 'string') return new Date(value).toISOString();
  return value;
}

/** The request as protobuf's own JSON has it. */
export function protoJson(request: Fields): Fields {
  const { status } = request;
  if (!Array.isArray(status)) return request;
  return { ...request, status: status.map((word) => `JOB_STATUS_${String(word).toUpperCase()}`) };
}

/** ErrorInfo says the same as the error's general status, or somebody is lied to. */
export function failure(info: unknown, rpcCode: string, message: string): Outcome {
  const { details, ...facts } = view(info) as unknown as ErrorFacts;
  if (facts.message !== message) throw new Error(`ErrorInfo says '${facts.message}', the status '${message}'`);
  if (rpcCodes[facts.error] !== rpcCode) throw new Error(`ErrorInfo says ${facts.error}, the status ${rpcCode}`);
  const told = details !== undefined && Object.keys(details).length > 0 ? { details } : {};
  return { failed: { ...facts, ...told }, rpcCode };
}
