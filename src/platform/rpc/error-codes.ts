import { Code } from '@connectrpc/connect';
import type { ErrorKind } from '../../errors.js';

/** What each error word is on the wire: the HTTP status for REST, the code for Connect, gRPC and gRPC-Web. */
export const errorCodes: Readonly<Record<ErrorKind, { readonly status: number; readonly code: Code }>> = {
  invalid_request: { status: 400, code: Code.InvalidArgument },
  unsupported_capability: { status: 400, code: Code.InvalidArgument },
  unauthorized: { status: 401, code: Code.Unauthenticated },
  forbidden: { status: 403, code: Code.PermissionDenied },
  not_found: { status: 404, code: Code.NotFound },
  method_not_allowed: { status: 405, code: Code.Unimplemented },
  conflict: { status: 409, code: Code.AlreadyExists },
  invalid_state: { status: 409, code: Code.FailedPrecondition },
  blocked: { status: 409, code: Code.FailedPrecondition },
  cycle: { status: 409, code: Code.FailedPrecondition },
  children_open: { status: 409, code: Code.FailedPrecondition },
  review_open: { status: 409, code: Code.FailedPrecondition },
  session_exists: { status: 409, code: Code.AlreadyExists },
  nothing_to_submit: { status: 409, code: Code.FailedPrecondition },
  stale: { status: 409, code: Code.FailedPrecondition },
  lease_lost: { status: 409, code: Code.Aborted },
  not_ready: { status: 409, code: Code.FailedPrecondition },
  too_large: { status: 413, code: Code.ResourceExhausted },
  unsupported_media_type: { status: 415, code: Code.InvalidArgument },
  rate_limited: { status: 429, code: Code.ResourceExhausted },
  // The caller has gone; 499 is what proxies log for it.
  canceled: { status: 499, code: Code.Canceled },
  deadline_exceeded: { status: 504, code: Code.DeadlineExceeded },
  internal_error: { status: 500, code: Code.Internal },
  unavailable: { status: 503, code: Code.Unavailable },
};
