import { AppError } from '../../errors.js';
import { isLoopback } from '../net.js';
import type { Credentials, Principal } from './principal.js';

/** Tells who a caller is, or throws `unauthorized`. */
export type Authenticate = (credentials: Credentials) => Principal;

const localHuman: Principal = { kind: 'human', id: 'local' };

/**
 * While no tokens exist, whoever connects from this machine without one is the local human. A token that is sent anyway
 * is never ignored: it is wrong, and a caller who believes to be somebody else must learn so.
 */
export function createLocalAuthenticator(): Authenticate {
  return ({ authorization, remoteAddress }) => {
    if (authorization !== undefined) {
      throw new AppError('unauthorized', 'This server has no tokens yet; send no Authorization header.');
    }
    if (remoteAddress === undefined || !isLoopback(remoteAddress)) {
      throw new AppError('unauthorized', 'Only callers on the same machine need no token.');
    }
    return localHuman;
  };
}
