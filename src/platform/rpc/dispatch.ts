import { AppError } from '../../errors.js';
import type { Authenticate } from '../auth/authenticate.js';
import type { Authorize } from '../auth/policy.js';
import type { Log } from '../log.js';
import { AdmittedCall, type CallInit } from './call.js';
import type { Plain } from './codec.js';
import type { Method } from './methods.js';

/**
 * The one door to every method. REST, Connect, gRPC and gRPC-Web all come through here, so that who may do what, how long
 * it may take and how a fault is reported is decided once. Everything it throws is an AppError.
 */
export interface Dispatch {
  unary(method: Method, input: Plain, init: CallInit): Promise<Plain>;
  serverStream(method: Method, input: Plain, init: CallInit): AsyncIterable<Plain>;
  bidiStream(method: Method, inputs: AsyncIterable<Plain>, init: CallInit): AsyncIterable<Plain>;
}

export interface DispatchDeps {
  readonly authenticate: Authenticate;
  readonly authorize: Authorize;
  readonly log: Log;
  /** No call may ask for more time than this; milliseconds. */
  readonly maxTimeoutMs: number;
}

export function createDispatch(deps: DispatchDeps): Dispatch {
  const { authenticate, authorize, log, maxTimeoutMs } = deps;

  function admit(method: Method, init: CallInit): AdmittedCall {
    const principal = authenticate(init.credentials);
    try {
      authorize(principal, method.scope);
    } catch (error) {
      log.warn('call_refused', { corr_id: init.correlationId, method: method.path, principal: principal.id, error });
      throw error;
    }
    return new AdmittedCall(init, principal);
  }

  /** Anything thrown as an AppError; what is not one already is a fault of ours, told to the log and to nobody else. */
  function asAppError(error: unknown, method: Method, init: CallInit): AppError {
    if (error instanceof AppError) return error;
    log.error('internal_error', { corr_id: init.correlationId, method: method.path, error });
    return new AppError('internal_error', 'Something went wrong on our side; the log has it by the correlation id.', {
      cause: error,
    });
  }

  async function* stream(method: Method, input: unknown, init: CallInit): AsyncIterable<Plain> {
    try {
      const call = admit(method, init);
      const deadline = startDeadline(call, init.timeoutMs, Infinity);
      try {
        yield* method.handler(input, call) as AsyncIterable<Plain>;
        if (call.signal.aborted) throw call.signal.reason;
      } finally {
        deadline.clear();
      }
    } catch (error) {
      throw asAppError(error, method, init);
    }
  }

  return {
    async unary(method, input, init) {
      try {
        const call = admit(method, init);
        if (init.timeoutMs === undefined) return (await method.handler(input, call)) as Plain;
        const deadline = startDeadline(call, init.timeoutMs, maxTimeoutMs);
        try {
          return await Promise.race([method.handler(input, call) as Promise<Plain>, deadline.passed]);
        } finally {
          deadline.clear();
        }
      } catch (error) {
        throw asAppError(error, method, init);
      }
    },
    serverStream: stream,
    bidiStream: stream,
  };
}

/**
 * Aborts the call when its time is up, and rejects `passed`: a handler that does not look at its signal is left behind. Throws when
 * there is no time at all.
 */
function startDeadline(call: AdmittedCall, timeoutMs: number | undefined, maxMs: number) {
  let timer: NodeJS.Timeout | undefined;
  const late = (): AppError => new AppError('deadline_exceeded', 'The deadline of the call has passed.');
  if (timeoutMs !== undefined && timeoutMs <= 0) throw late();
  const passed = new Promise<never>((_, reject) => {
    if (timeoutMs === undefined) return;
    timer = setTimeout(
      () => {
        const error = late();
        call.abort(error);
        reject(error);
      },
      Math.min(timeoutMs, maxMs, 2 ** 31 - 1),
    );
  });
  passed.catch(() => undefined);
  return { passed, clear: () => clearTimeout(timer) };
}
