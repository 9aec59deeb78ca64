import type { AppError } from '../../errors.js';
import { errorCodes } from '../rpc/error-codes.js';

/** The body of every REST error; `rate_limited` has its figures at the top level besides. */
export function restErrorBody(error: AppError, correlationId: string): string {
  return JSON.stringify({
    error: error.kind,
    code: errorCodes[error.kind].status,
    ...(error.message === '' ? undefined : { message: error.message }),
    ...(error.kind === 'rate_limited' ? error.details : undefined),
    ...(error.details === undefined || error.kind === 'rate_limited' ? undefined : { details: error.details }),
    correlation_id: correlationId,
  });
}

export function restStatus(error: AppError): number {
  return errorCodes[error.kind].status;
}
