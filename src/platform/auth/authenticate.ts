import { AppError } from '../../errors.js';
import { isLoopback } from '../net.js';
import type { Caller, Credentials } from './principal.js';

/** Tells who a caller is, or rejects with `unauthorized`. `knownOnly`: nobody is to be looked up who is not known already. */
export type Authenticate = (credentials: Credentials, knownOnly?: boolean) => Promise<Caller>;

/** Tells whose a bearer token or a ticket is; undefined when it is nobody's. */
export type Recognise = (text: string, knownOnly: boolean) => Promise<Caller | undefined>;

export interface AuthenticateDeps {
  /** Each is asked in turn. */
  readonly bearer: readonly Recognise[];
  /** Uses the ticket up. */
  readonly ticket: Recognise;
  /** The local human, as long as nothing else is configured. */
  readonly local: () => Caller | undefined;
}

/**
 * A token that is sent is never ignored, wherever it comes from: a caller who believes to be somebody must learn when that is wrong.
 * Without one, whoever connects from this machine is the local human as long as that is open.
 */
export function createAuthenticate({ bearer, ticket, local }: AuthenticateDeps): Authenticate {
  return async (credentials, knownOnly = false) => {
    const { authorization } = credentials;
    if (authorization !== undefined) {
      const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
      if (token === undefined) throw new AppError('unauthorized', 'Authorization: must be a bearer token');
      for (const recognise of bearer) {
        const caller = await recognise(token, knownOnly);
        if (caller !== undefined) return caller;
      }
      throw new AppError('unauthorized', 'The token is not valid.');
    }
    if (credentials.ticket !== undefined) {
      const caller = await ticket(credentials.ticket, knownOnly);
      if (caller === undefined) throw new AppError('unauthorized', 'ticket: not valid, or used before');
      return caller;
    }
    const caller = isHere(credentials) ? local() : undefined;
    if (caller === undefined) {
      throw new AppError('unauthorized', 'Send a token, as in Authorization: Bearer ...');
    }
    return caller;
  };
}

/** A reverse proxy on this machine connects from here, too, for callers who are anywhere. */
function isHere({ remoteAddress, forwarded }: Credentials): boolean {
  return remoteAddress !== undefined && !forwarded && isLoopback(remoteAddress);
}
