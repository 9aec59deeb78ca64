import type { IncomingMessage } from 'node:http';
import { AppError } from '../../errors.js';
import { errorHeaders } from './answer-headers.js';
import { correlationIdOf } from './requests.js';
import { restErrorBody } from './rest-error.js';

/** What is wrong with a request that has not become one: a code of Node's, or one of these of ours. */
export const plainOnTls = 'MUSTER_PLAIN_ON_TLS';
export const tooManyConnections = 'MUSTER_TOO_MANY_CONNECTIONS';
export const tooLate = 'ERR_HTTP_REQUEST_TIMEOUT';
export const headTooLarge = 'HPE_HEADER_OVERFLOW';
const ambiguousHead = 'MUSTER_AMBIGUOUS_HEAD';
const unknownVersion = 'HPE_INVALID_VERSION';

/** The status, with its reason phrase, and the error for a code; anything that is not known is no HTTP. */
function refusalOf(code: string | undefined): readonly [status: string, error: AppError] {
  switch (code) {
    case headTooLarge:
      return ['431 Request Header Fields Too Large', new AppError('too_large', 'The request head is too large.')];
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return ['413 Payload Too Large', new AppError('too_large', 'The chunk extensions are too large.')];
    case tooLate:
      return ['408 Request Timeout', new AppError('deadline_exceeded', 'The request took too long to arrive.')];
    case plainOnTls:
      return ['400 Bad Request', new AppError('invalid_request', 'This port speaks TLS: use https.')];
    case tooManyConnections:
      return ['503 Service Unavailable', new AppError('unavailable', 'Too many connections from your address.')];
    case ambiguousHead:
      return ['400 Bad Request', new AppError('invalid_request', 'Host and Authorization may be given only once.')];
    case undefined:
    default:
      return ['400 Bad Request', new AppError('invalid_request', 'This is no HTTP request.')];
  }
}

/**
 * What is wrong with an HTTP/1 head that Node's parser lets pass, as a code. Of two hosts Node takes the first, as of two tokens, and
 * somebody before us may have looked at the other.
 */
export function faultOfHead({ rawHeaders, httpVersionMajor }: IncomingMessage, maxHeaderCount: number) {
  if (rawHeaders.length > 2 * maxHeaderCount) return headTooLarge;
  if (httpVersionMajor !== 1) return unknownVersion;
  return isTwice(rawHeaders, 'host') || isTwice(rawHeaders, 'authorization') ? ambiguousHead : undefined;
}

function isTwice(rawHeaders: readonly string[], wanted: string): boolean {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length === wanted.length && name.toLowerCase() === wanted) count += 1;
  }
  return count > 1;
}

/** An HTTP/1 answer, head and body, to a request that nobody serves; the connection is to be closed with it. */
export function malformedAnswer(code: string | undefined): string {
  const [status, error] = refusalOf(code);
  const correlationId = correlationIdOf(undefined);
  return lastAnswer(status, error, correlationId);
}

/** An error as a whole HTTP/1 answer, head and body, with which its connection is to be closed. `status`: with its reason phrase. */
export function lastAnswer(status: string, error: AppError, correlationId: string): string {
  const body = restErrorBody(error, correlationId);
  const head = [
    `HTTP/1.1 ${status}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Correlation-Id: ${correlationId}`,
    ...Object.entries(errorHeaders(error)).map(([name, value]) => `${name}: ${value}`),
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
