/**
 * The words an error can have on every way in. Which HTTP status or RPC code a word becomes is decided at the edges
 * (platform/http, platform/rpc); nothing below them knows a status code.
 */
export const errorKinds = [
  'invalid_request',
  'unsupported_capability',
  'unauthorized',
  'forbidden',
  'not_found',
  'method_not_allowed',
  'conflict',
  'invalid_state',
  'blocked',
  'cycle',
  'children_open',
  'review_open',
  'session_exists',
  'nothing_to_submit',
  'stale',
  'lease_lost',
  'not_ready',
  'too_large',
  'unsupported_media_type',
  'rate_limited',
  'canceled',
  'deadline_exceeded',
  'internal_error',
  'unavailable',
] as const;

export type ErrorKind = (typeof errorKinds)[number];

/** Machine-readable facts about an error, printed as they are under `details`. */
export type ErrorDetails = { readonly [key: string]: unknown };

export interface AppErrorOptions {
  readonly details?: ErrorDetails;
  readonly cause?: unknown;
}

/**
 * Errors repeat what a caller has sent, such as the name of a field, and gRPC tells them in headers: of longer texts the beginning has to
 * do. In UTF-16 code units, of the message and of each text in the details.
 */
const maxMessage = 1000;
const maxDetail = 500;

/** The one error type that crosses module borders. Everything else that is thrown leaves as `internal_error`. */
export class AppError extends Error {
  override readonly name = 'AppError';
  readonly kind: ErrorKind;
  readonly details: ErrorDetails | undefined;

  constructor(kind: ErrorKind, message: string, options: AppErrorOptions = {}) {
    super(cut(message, maxMessage), options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.details = options.details && (cutTexts(options.details) as ErrorDetails);
  }
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…`;
}

function cutTexts(value: unknown): unknown {
  if (typeof value === 'string') return cut(value, maxDetail);
  if (Array.isArray(value)) return value.map(cutTexts);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, cutTexts(member)]));
}

/** A request that names its bad field; `field` is a path in the request, such as `payload` or `kinds[2]`. */
export function invalidField(field: string, message: string, details: ErrorDetails = {}): AppError {
  return new AppError('invalid_request', `${field}: ${message}`, { details: { field, ...details } });
}

/** The word that the operating system or Postgres has for what went wrong, such as `ENOENT` or `40001`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The message of anything thrown, for logs and for people at a terminal. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What a call ends with whose caller does not wait for it any more. */
export function hungUp(): AppError {
  return new AppError('canceled', 'The caller has hung up.');
}
