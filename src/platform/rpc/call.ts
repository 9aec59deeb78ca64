import { type AppError, hungUp } from '../../errors.js';
import type { Credentials, Principal } from '../auth/principal.js';
import type { Keep } from '../idempotency/keep.js';
import type { Quota } from '../limits/rate-limit.js';
import type { Transport } from '../metrics.js';

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

/** How a call came. */
export interface Way {
  readonly transport: Transport;
  /** A template or a method's path. */
  readonly route: string;
  /** Of a call by a REST path; undefined for RPC, which has one for all. */
  readonly httpMethod: string | undefined;
}

/** What a transport knows of a call when its headers are there. */
export interface CallFacts {
  readonly source: Source;
  readonly correlationId: string;
  /** Of the trace that the call is a part of (W3C Trace Context), as its caller says. */
  readonly traceparent?: string | undefined;
  readonly way?: Way | undefined;
  readonly credentials: Credentials;
}

/** A call that has been let in, before its message has been read. */
export interface Admission {
  readonly source: Source;
  readonly correlationId: string;
  readonly traceparent?: string | undefined;
  readonly way?: Way | undefined;
  /** Where it comes from. */
  readonly address: string | undefined;
  readonly principal: Principal;
  /** What is left to the caller, where calls are limited. */
  readonly quota: Quota | undefined;
  /** Until its call begins. Told by the dispatch to itself: to look it up elsewhere would cost every call a microsecond. */
  waiting: boolean;
  /** As a Caller's. */
  onEnded(ended: (reason: AppError) => void): () => void;
}

/** What a transport knows of a call when its message is there. */
export interface CallLife {
  /** Milliseconds left, as the caller asked for. */
  readonly timeoutMs?: number | undefined;
  /** Runs `gone` when the caller has hung up; asked for only when somebody looks at the call's signal. */
  readonly onGone: (gone: () => void) => void;
  /** Of a call that came with an Idempotency-Key. */
  readonly keyed?: Keyed | undefined;
}

/** What a transport does for a call with an Idempotency-Key. */
export interface Keyed {
  /** As sent. */
  readonly key: string;
  /** Runs before the answer is sent, when it is that of an earlier call: the header `replayedHeader` says so. */
  readonly onReplayed: () => void;
}

/** `true` on an answer that an earlier call under the same Idempotency-Key has been given already. */
export const replayedHeader = 'idempotency-replayed';

/** What a handler knows of the call it answers. */
export interface Call {
  readonly source: Source;
  readonly correlationId: string;
  readonly principal: Principal;
  /** Aborts when the caller has hung up or is no longer let in, or the deadline has passed. */
  readonly signal: AbortSignal;
  /** For a write under an Idempotency-Key: keeps the method's answer in the transaction that decides the call (`keeping`). */
  readonly keep: Keep<object> | undefined;
}

/** A call under way. The signal is made when first asked for, since most calls never look at it. */
export class RunningCall implements Call {
  keep: Keep<object> | undefined;
  readonly #admission: Admission;
  readonly #life: CallLife;
  #controller: AbortController | undefined;
  #aborted: AppError | undefined;
  #unwatch: (() => void) | undefined;

  constructor(admission: Admission, life: CallLife) {
    this.#admission = admission;
    this.#life = life;
  }

  get source(): Source {
    return this.#admission.source;
  }

  get correlationId(): string {
    return this.#admission.correlationId;
  }

  get principal(): Principal {
    return this.#admission.principal;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = (this.#controller = new AbortController());
      if (this.#aborted !== undefined) controller.abort(this.#aborted);
      else {
        this.#life.onGone(() => controller.abort(hungUp()));
        this.#unwatch = this.#admission.onEnded((reason) => this.abort(reason));
      }
    }
    return this.#controller.signal;
  }

  abort(reason: AppError): void {
    this.#aborted = reason;
    this.#controller?.abort(reason);
  }

  /** To be called when the call is over. */
  close(): void {
    this.#unwatch?.();
  }
}
