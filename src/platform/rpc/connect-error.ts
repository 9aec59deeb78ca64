import { create, type JsonObject } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '../../../gen/muster/v1/errors_pb.js';
import type { ErrorInfo } from '../../../gen/muster/v1/errors_pb.js';
import { AppError, type ErrorKind } from '../../errors.js';
import { errorCodes } from './error-codes.js';

/** The error as Connect, gRPC and gRPC-Web carry it, the documented word and details as its typed detail. */
export function toConnectError(error: AppError, correlationId: string): ConnectError {
  return new ConnectError(
    error.message,
    errorCodes[error.kind].code,
    undefined,
    [{ desc: ErrorInfoSchema, value: errorInfo(error, correlationId) }],
    error,
  );
}

/** An error with a code of the protocol's own, such as gRPC has for faults below the message, and with ours as its typed detail. */
export function withInfo(own: ConnectError, error: AppError, correlationId: string): ConnectError {
  const detail = { desc: ErrorInfoSchema, value: errorInfo(error, correlationId) };
  return new ConnectError(own.rawMessage, own.code, undefined, [detail], error);
}

/** The documented facts of an error as a domain value and a message: the two have the same shape. */
export function errorInfo(error: AppError, correlationId: string): ErrorInfo {
  return create(ErrorInfoSchema, {
    error: error.kind,
    code: errorCodes[error.kind].status,
    message: error.message,
    // Details are plain data; this also drops what JSON has no word for.
    details: JSON.parse(JSON.stringify(error.details ?? {})) as JsonObject,
    correlationId,
  });
}

/** What could not be read, by connect-node or by those before it: it is for the caller to mend, and no fault of ours to be logged. */
export function callersFault(error: ConnectError): AppError {
  return error.cause instanceof AppError
    ? error.cause
    : new AppError(wordOf(error.code), error.rawMessage, { cause: error });
}

function wordOf(code: Code): ErrorKind {
  if (code === Code.ResourceExhausted) return 'too_large';
  if (code === Code.Canceled || code === Code.Aborted) return 'canceled';
  return code === Code.DeadlineExceeded ? 'deadline_exceeded' : 'invalid_request';
}
