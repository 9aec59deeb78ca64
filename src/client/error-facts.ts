import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '../../gen/muster/v1/errors_pb.js';
import { AppError, codeOf, type ErrorDetails, messageOf } from '../errors.js';

/** What an error of a call says. */
export interface ErrorFacts {
  /** The documented word, such as `not_found`; for errors that no server of ours told, the nearest one. */
  readonly word: string;
  /** For people. */
  readonly message: string;
  readonly details: ErrorDetails;
  /** True when the call did not get to the server, or its answer did not get back. */
  readonly unreachable: boolean;
  /** Finds the request in the server's log. */
  readonly correlationId?: string;
}

/** Words for what a proxy, or a server before ours could speak, says by its code alone. */
const wordOfCode: Partial<Record<Code, string>> = {
  [Code.Canceled]: 'canceled',
  [Code.InvalidArgument]: 'invalid_request',
  [Code.DeadlineExceeded]: 'deadline_exceeded',
  [Code.NotFound]: 'not_found',
  [Code.PermissionDenied]: 'forbidden',
  [Code.ResourceExhausted]: 'too_large',
  [Code.Unimplemented]: 'method_not_allowed',
  [Code.Unauthenticated]: 'unauthorized',
  [Code.Unavailable]: 'unavailable',
};

/** Reads anything that a call of the client rejected with. */
export function errorFactsOf(error: unknown): ErrorFacts {
  if (error instanceof AppError) {
    return { word: error.kind, message: error.message, details: error.details ?? {}, unreachable: false };
  }
  const known = ConnectError.from(error);
  const [info] = known.findDetails(ErrorInfoSchema);
  if (info !== undefined) {
    const { error: word, message, details = {}, correlationId } = info;
    return { word, message, details, unreachable: false, correlationId };
  }
  const lost = lostConnection(known);
  return {
    word: lost === undefined ? (wordOfCode[known.code] ?? 'internal_error') : 'unavailable',
    message: lost ?? known.rawMessage,
    details: {},
    unreachable: lost !== undefined || known.code === Code.Unavailable,
  };
}

/** What happened to the connection, in words for people, if that is what an error is about. */
function lostConnection(error: ConnectError): string | undefined {
  // A stream that was cut off; to give a call up oneself has another text.
  if (error.rawMessage.startsWith('http/2 stream closed')) return 'the connection was lost';
  for (const cause of causesOf(error)) {
    const code = codeOf(cause) ?? '';
    if (code === 'ECONNREFUSED') return 'connection refused';
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'unknown host';
    if (code === 'ECONNRESET' || code === 'EPIPE' || code === 'ERR_HTTP2_STREAM_CANCEL')
      return 'the connection was lost';
    if (code === 'ERR_HTTP2_ERROR' || code === 'ERR_HTTP2_SESSION_ERROR')
      return 'what answers there is no HTTP/2 server';
    if (/^(E[A-Z]+|ERR_(HTTP2|SSL|TLS)_\w+)$/.test(code)) return messageOf(cause);
  }
  return undefined;
}

/** An error, what caused it, what caused that, and so on, as far as one would look. */
export function* causesOf(error: unknown): Iterable<Error> {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 5; cause = cause.cause, depth += 1) yield cause;
}
