import { AppError } from '../../errors.js';
import type { Credentials, Principal } from '../auth/principal.js';

/** By which way in a call came; the ledger calls it the source. */
export type Source = 'Rest' | 'Rpc' | 'Cli';

/** By it an RPC call may say which program makes it. The ledger's source follows from it, and nothing else. */
export const sourceHeader = 'x-muster-source';

/** The value by which the command line says that it is calling. */
export const cliSource = 'cli';

/** The source of an RPC call, by what its header says. */
export function rpcSourceOf(header: unknown): Source {
  return header === cliSource ? 'Cli' : 'Rpc';
}

/** What a transport knows of a call before it is let in. */
export interface CallInit {
  readonly source: Source;
  readonly correlationId: string;
  readonly credentials: Credentials;
  /** Milliseconds left, as the caller asked for. */
  readonly timeoutMs?: number | undefined;
  /** Runs `gone` when the caller has hung up; asked for only when somebody looks at the call's signal. */
  readonly onGone: (gone: () => void) => void;
}

/** What a handler knows of the call it answers. */
export interface Call {
  readonly source: Source;
  readonly correlationId: string;
  readonly principal: Principal;
  /** Aborts when the caller has hung up or the deadline has passed. */
  readonly signal: AbortSignal;
}

/** A call that has been let in. The signal is made when first asked for, since most calls never look at it. */
export class AdmittedCall implements Call {
  readonly #init: CallInit;
  readonly principal: Principal;
  #controller: AbortController | undefined;
  #aborted: AppError | undefined;

  constructor(init: CallInit, principal: Principal) {
    this.#init = init;
    this.principal = principal;
  }

  get source(): Source {
    return this.#init.source;
  }

  get correlationId(): string {
    return this.#init.correlationId;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = (this.#controller = new AbortController());
      if (this.#aborted !== undefined) controller.abort(this.#aborted);
      else this.#init.onGone(() => controller.abort(new AppError('canceled', 'The caller has hung up.')));
    }
    return this.#controller.signal;
  }

  abort(reason: AppError): void {
    this.#aborted = reason;
    this.#controller?.abort(reason);
  }
}
