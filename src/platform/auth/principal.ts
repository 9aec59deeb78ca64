import type { AppError } from '../../errors.js';

/** What kind of caller it is; which scopes a role has is decided where the roles are composed (app.ts). */
export type Role = 'human' | 'agent' | 'worker' | 'viewer';
export const roles = ['human', 'agent', 'worker', 'viewer'] as const satisfies readonly Role[];

/** Who acts. */
export interface Principal {
  readonly kind: Role;
  readonly id: string;
  /** What it may do beyond its role. */
  readonly capabilities: readonly string[];
  /** The id of the only thing that its capabilities are good for; undefined: all. */
  readonly boundTo?: string | undefined;
  /** From then on it is no longer let in. */
  readonly until?: Date | undefined;
}

/** A principal that has proved who it is. */
export interface Caller {
  readonly principal: Principal;
  /**
   * Runs `ended` once, with the reason, when the caller is no longer let in, such as when its token is revoked. What is open for
   * it then has to end. Answers the function that stops the watching.
   */
  onEnded(ended: (reason: AppError) => void): () => void;
}

/** What a request tells about its caller, whatever transport it came by. */
export interface Credentials {
  /** The Authorization header as sent. */
  readonly authorization: string | undefined;
  /** A one-use ticket of the query, from a browser that cannot set headers. */
  readonly ticket?: string | undefined;
  /** The address of the other end of the connection. */
  readonly remoteAddress: string | undefined;
  /** Whether a header says that somebody passed it on: the caller is then not where the connection comes from. */
  readonly forwarded: boolean;
}
