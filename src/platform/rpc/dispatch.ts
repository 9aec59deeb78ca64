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
  /** Throws what a call would be refused with, before there is one. */
  admit(method: Method, init: CallInit): void;
  bidiStream(method: Method, inputs: AsyncIterable<Plain>, init: CallInit): AsyncIterable<Plain>;
  /**
   * Anything thrown as an AppError; what is not one already is a fault of ours, told to the log and to nobody else. For what goes
   * wrong around a call, such as an answer that cannot be encoded.
   */
  fault(error: unknown, method: Method, init: Pick<CallInit, 'correlationId'>): AppError;
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

  function fault(error: unknown, method: Method, init: Pick<CallInit, 'correlationId'>): AppError {
    if (error instanceof AppError) return error;
    log.error('internal_error', { corr_id: init.correlationId, method: method.path, error });
    return new AppError('internal_error', 'Something went wrong on our side; the log has it by the correlation id.', {
      cause: error,
    });
  }

  async function* stream(method: Method, input: unknown, init: CallInit): AsyncIterable<Plain> {
    try {
      const call = admit(method, init);
      if (init.timeoutMs === undefined) yield* method.handler(input, call) as AsyncIterable<Plain>;
      else yield* untilDeadline(method.handler(input, call) as AsyncIterable<Plain>, call, init.timeoutMs);
      if (call.signal.aborted) throw call.signal.reason;
    } catch (error) {
      throw fault(error, method, init);
    }
  }

  return {
    async unary(method, input, init) {
      try {
        const call = admit(method, init);
        const { timeoutMs } = init;
        if (timeoutMs === undefined) return (await method.handler(input, call)) as Plain;
        const deadline = startDeadline(call, Math.min(timeoutMs, maxTimeoutMs));
        try {
          return await deadline.orLate(() => method.handler(input, call) as Promise<Plain>);
        } finally {
          deadline.clear();
        }
      } catch (error) {
        throw fault(error, method, init);
      }
    },
    serverStream: stream,
    bidiStream: stream,
    admit: (method, init) => void admit(method, init),
    fault,
  };
}

/** Ends with `deadline_exceeded` when the time is up, even while the handler waits for a caller who says nothing. */
async function* untilDeadline(
  answers: AsyncIterable<Plain>,
  call: AdmittedCall,
  timeoutMs: number,
): AsyncIterable<Plain> {
  const deadline = startDeadline(call, timeoutMs);
  const iterator = answers[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await deadline.orLate(() => iterator.next());
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    deadline.clear();
    // Not waited for: a handler ends when it looks at its signal, and its caller has been answered.
    iterator.return?.().catch(() => undefined);
  }
}

/**
 * Aborts the call when its time is up. `orLate` rejects at that moment, whatever becomes of what it runs: a handler that does not
 * look at its signal is left behind. Throws when there is no time at all.
 */
function startDeadline(call: AdmittedCall, timeoutMs: number) {
  const late = (): AppError => new AppError('deadline_exceeded', 'The deadline of the call has passed.');
  if (timeoutMs <= 0) throw late();
  let passed: AppError | undefined;
  // A callback, and no promise to race with: that would remember every message of a long stream.
  let onPassed: ((error: AppError) => void) | undefined;
  const timer = setTimeout(
    () => {
      passed = late();
      call.abort(passed);
      onPassed?.(passed);
    },
    Math.min(timeoutMs, 2 ** 31 - 1),
  );
  return {
    clear: () => clearTimeout(timer),
    orLate: <T>(run: () => Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        if (passed !== undefined) return reject(passed);
        onPassed = reject;
        run().then(resolve, reject);
      }),
  };
}
