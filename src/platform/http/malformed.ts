import { AppError } from '../../errors.js';
import { correlationIdOf } from './requests.js';
import { restErrorBody } from './rest-error.js';

/** What is wrong with a request that has not become one: a code of Node's, or one of these of ours. */
export const plainOnTls = 'MUSTER_PLAIN_ON_TLS';
export const tooManyConnections = 'MUSTER_TOO_MANY_CONNECTIONS';
export const tooLate = 'ERR_HTTP_REQUEST_TIMEOUT';
export const headTooLarge = 'HPE_HEADER_OVERFLOW';

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
    case undefined:
    default:
      return ['400 Bad Request', new AppError('invalid_request', 'This is no HTTP request.')];
  }
}

/** An HTTP/1 answer, head and body, to a request that nobody serves; the connection is to be closed with it. */
export function malformedAnswer(code: string | undefined): string {
  const [status, error] = refusalOf(code);
  const correlationId = correlationIdOf(undefined);
  const body = restErrorBody(error, correlationId);
  const head = [
    `HTTP/1.1 ${status}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `X-Correlation-Id: ${correlationId}`,
    'Connection: close',
  ];
  return `${head.join('\r\n')}\r\n\r\n${body}`;
}
