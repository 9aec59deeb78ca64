import { AppError, invalidField } from '../../errors.js';
import type { Authenticate } from '../auth/authenticate.js';
import type { Policy } from '../auth/policy.js';
import { localHuman } from '../auth/local.js';
import type { Caller, Credentials, Principal } from '../auth/principal.js';
import type { Idempotency } from '../idempotency/idempotency.js';
import { keyHeader } from '../idempotency/request.js';
import { addressSubject, type Quota, type RateLimiter, type Subject } from '../limits/rate-limit.js';
import type { Log } from '../log.js';
import { type Admission, type CallFacts, type CallLife, type Keyed, RunningCall } from './call.js';
import type { Plain } from './codec.js';
import type { Method } from './methods.js';

/** What can be asked for: a method, or a path that is none. */
export interface Door {
  readonly path: string;
  /** What a caller needs to be let in. */
  readonly scope: string;
  /** Whether it may change something. */
  readonly writes: boolean;
}

/**
 * The one door to every method. REST, Connect, gRPC and gRPC-Web all come through here, so that who may do what, how long
 * it may take and how a fault is reported is decided once. Everything it throws is an AppError.
 */
export interface Dispatch {
  /**
   * Lets a caller in, or rejects with what it is refused with. To be asked as soon as the headers are there, so that nothing of
   * a stranger's message is read.
   */
  admit(door: Door, facts: CallFacts): Promise<Admission>;
  unary(method: Method, input: Plain, admission: Admission, life: CallLife): Promise<Plain>;
  serverStream(method: Method, input: Plain, admission: Admission, life: CallLife): AsyncIterable<Plain>;
  bidiStream(method: Method, inputs: AsyncIterable<Plain>, admission: Admission, life: CallLife): AsyncIterable<Plain>;
  /**
   * Tells who counts calls of one that has been let in and was over before it began, such as by a message that cannot be read. Nothing
   * for one that has begun, of which `why` is not asked.
   */
  neverBegan(door: Door, admission: Admission, why: () => AppError): void;
  /**
   * Anything thrown as an AppError; what is not one already is a fault of ours, told to the log and to nobody else. For what goes
   * wrong around a call, such as an answer that cannot be encoded.
   */
  fault(error: unknown, door: Pick<Door, 'path'>, call: Pick<CallFacts, 'correlationId'>): AppError;
}

/** A caller who was not let in, or was not allowed what it asked for. */
export interface Refusal {
  readonly door: Door;
  readonly call: Pick<CallFacts, 'source' | 'correlationId'>;
  /** Where it called from. */
  readonly address: string | undefined;
  readonly error: AppError;
  /** Undefined when nobody knows who it is. */
  readonly principal: Principal | undefined;
}

/** `error` is undefined when the call has ended well. */
export type ObserveCall = (
  door: Door,
  call: Pick<CallFacts, 'source' | 'correlationId' | 'traceparent' | 'way'>,
  kind: 'unary' | 'stream',
) => (error: AppError | undefined) => void;

export interface DispatchDeps {
  readonly authenticate: Authenticate;
  readonly policy: Pick<Policy, 'authorize'>;
  readonly log: Log;
  /** No call may ask for more time than this; milliseconds. */
  readonly maxTimeoutMs: number;
  /** Where calls are limited. */
  readonly limiter?: RateLimiter | undefined;
  /** Told of every call when it begins, and of every one that is refused; what it gives is called when the call has ended. */
  readonly observe?: ObserveCall | undefined;
  /** Told of everybody who is refused. */
  readonly onRefused?: ((refusal: Refusal) => void) | undefined;
  /** Carries out writes that come with an Idempotency-Key; without it all keys are ignored. */
  readonly idempotency?: Pick<Idempotency, 'answer'> | undefined;
}

export function createDispatch(deps: DispatchDeps): Dispatch {
  const { authenticate, policy, log, maxTimeoutMs, limiter, observe, onRefused, idempotency } = deps;

  const recognise =
    limiter === undefined ? authenticate : (credentials: Credentials) => recogniseLimited(credentials, limiter);

  async function admit(door: Door, facts: CallFacts): Promise<Admission> {
    let caller: Caller | undefined;
    let quota: Quota | undefined;
    try {
      caller = await recognise(facts.credentials);
      if (limiter !== undefined) quota = await limiter.count(subjectOf(caller, facts.credentials), door.writes);
      policy.authorize(caller.principal, door.scope);
    } catch (error) {
      const known = fault(error, door, facts);
      observe?.(door, facts, 'unary')(known);
      if (known.kind === 'unauthorized' || known.kind === 'forbidden') {
        const address = facts.credentials.remoteAddress;
        refuse({ door, call: facts, address, error: known, principal: caller?.principal });
      }
      throw known;
    }
    const { principal, onEnded } = caller;
    const { source, correlationId, traceparent, way, credentials } = facts;
    const address = credentials.remoteAddress;
    return { source, correlationId, traceparent, way, address, principal, quota, waiting: true, onEnded };
  }

  /** Strangers are counted by their address; one that has been told so too often is not looked up any more. */
  async function recogniseLimited(credentials: Credentials, limiter: RateLimiter): Promise<Caller> {
    const address = addressSubject(credentials.remoteAddress);
    try {
      return await authenticate(credentials, limiter.isExhausted(address));
    } catch (error) {
      if (error instanceof AppError && error.kind === 'unauthorized') await limiter.countStranger(address);
      throw error;
    }
  }

  function refuse(refusal: Refusal): void {
    const { door, call, address, error, principal } = refusal;
    log.warn('call_refused', {
      corr_id: call.correlationId,
      method: door.path,
      principal: principal?.id,
      address,
      reason: error.kind,
      message: error.message,
    });
    onRefused?.(refusal);
  }

  function fault(error: unknown, door: Pick<Door, 'path'>, call: Pick<CallFacts, 'correlationId'>): AppError {
    if (error instanceof AppError) return error;
    log.error('internal_error', { corr_id: call.correlationId, method: door.path, error });
    return new AppError('internal_error', 'Something went wrong on our side; the log has it by the correlation id.', {
      cause: error,
    });
  }

  /** What a call that had been let in has failed with. A rule refuses as a lacking scope does, and is told to the same. */
  function failed(error: unknown, method: Method, admission: Admission): AppError {
    const known = fault(error, method, admission);
    const { address, principal } = admission;
    if (known.kind === 'forbidden') refuse({ door: method, call: admission, address, error: known, principal });
    return known;
  }

  /** A read can be repeated without harm, so a key says nothing to it. */
  function answer(method: Method, input: Plain, call: RunningCall, { keyed }: CallLife): Promise<Plain> {
    return keyed === undefined || idempotency === undefined || !method.writes
      ? (method.handler(input, call) as Promise<Plain>)
      : answerUnderKey(method, input, call, keyed, idempotency);
  }

  async function* stream(method: Method, input: unknown, admission: Admission, life: CallLife): AsyncIterable<Plain> {
    const call = new RunningCall(admission, life);
    const { timeoutMs } = life;
    admission.waiting = false;
    const ended = observe?.(method, admission, 'stream');
    let failure: AppError | undefined;
    try {
      // Made now, so that the call ends with its caller's token, even if its handler looks at the signal late.
      const { signal } = call;
      if (timeoutMs === undefined) yield* method.handler(input, call) as AsyncIterable<Plain>;
      else yield* untilDeadline(method.handler(input, call) as AsyncIterable<Plain>, call, timeoutMs);
      if (signal.aborted) throw signal.reason;
    } catch (error) {
      throw (failure = failed(error, method, admission));
    } finally {
      call.close();
      ended?.(failure);
    }
  }

  return {
    admit,
    async unary(method, input, admission, life) {
      const call = new RunningCall(admission, life);
      admission.waiting = false;
      const ended = observe?.(method, admission, 'unary');
      let failure: AppError | undefined;
      try {
        const { timeoutMs } = life;
        if (timeoutMs === undefined) return await answer(method, input, call, life);
        const deadline = startDeadline(call, Math.min(timeoutMs, maxTimeoutMs));
        try {
          return await deadline.orLate(() => answer(method, input, call, life));
        } finally {
          deadline.clear();
        }
      } catch (error) {
        throw (failure = failed(error, method, admission));
      } finally {
        call.close();
        ended?.(failure);
      }
    },
    serverStream: stream,
    bidiStream(method, inputs, admission, life) {
      // It would promise what no stream can hold: its reports are many, and some are answered while others are sent.
      if (life.keyed !== undefined) throw invalidField(keyHeader, 'is not for streams');
      return stream(method, inputs, admission, life);
    },
    neverBegan(door, admission, why) {
      if (!admission.waiting) return;
      admission.waiting = false;
      observe?.(door, admission, 'unary')(why());
    },
    fault,
  };
}

/** Everybody on the server's own machine who needs no token is the same principal, so it is their addresses that count. */
function subjectOf({ principal }: Caller, { remoteAddress }: Credentials): Subject {
  return principal.id === localHuman.id ? addressSubject(remoteAddress) : { scope: 'principal', id: principal.id };
}

async function answerUnderKey(
  method: Method,
  input: Plain,
  call: RunningCall,
  { key, onReplayed }: Keyed,
  idempotency: Pick<Idempotency, 'answer'>,
): Promise<Plain> {
  const request = { key, principal: call.principal, method: method.path, input };
  const { answer, replayed } = await idempotency.answer(request, call.signal, async (keep) => {
    call.keep = keep;
    return (await method.handler(input, call)) as Plain;
  });
  if (replayed) onReplayed();
  return answer as Plain;
}

/** Ends with `deadline_exceeded` when the time is up, even while the handler waits for a caller who says nothing. */
async function* untilDeadline(
  answers: AsyncIterable<Plain>,
  call: RunningCall,
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
function startDeadline(call: RunningCall, timeoutMs: number) {
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
