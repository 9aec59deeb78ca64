import { create, type JsonObject } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '../../../gen/muster/v1/errors_pb.js';
import type { ErrorInfo } from '../../../gen/muster/v1/errors_pb.js';
import type { AppError } from '../../errors.js';
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
