import { AppError } from '../../errors.js';
import { isLoopbackHost } from '../net.js';

/**
 * Refuses requests that were meant for another host or sent by a foreign web page. A browser on this machine can be
 * made to send requests here under a foreign name (DNS rebinding); the Host it sends gives that away.
 */
export type CheckHost = (host: string | undefined, origin: string | undefined) => AppError | undefined;

/** `allowed`: host names, without port, besides the loopback ones. */
export function createHostCheck(allowed: readonly string[]): CheckHost {
  const known = new Map<string, boolean>();
  const isAllowed = (authority: string): boolean => {
    let verdict = known.get(authority);
    if (verdict === undefined) {
      const host = hostOf(authority);
      verdict = host !== undefined && (isLoopbackHost(host) || host.endsWith('.localhost') || allowed.includes(host));
      // Bounded, since callers choose what they send.
      if (known.size < 100) known.set(authority, verdict);
    }
    return verdict;
  };
  return (host, origin) => {
    if (host === undefined || !isAllowed(host)) {
      if (host === undefined || hostOf(host) === undefined) {
        return new AppError('invalid_request', 'Host: missing or malformed', { details: { field: 'Host' } });
      }
      return new AppError('forbidden', `Host: this server is not '${host}'; MUSTER_ALLOWED_HOSTS can name it`);
    }
    if (origin === undefined) return undefined;
    const page = /^https?:\/\/(.+)$/.exec(origin)?.[1];
    if (page === undefined || !isAllowed(page)) {
      return new AppError('forbidden', 'Origin: pages of other hosts may not call this server');
    }
    return undefined;
  };
}

/** The host of `host[:port]` in lower case, IPv6 without brackets; undefined when malformed. */
function hostOf(authority: string): string | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?$/.exec(authority);
  return (parts?.[1] ?? parts?.[2])?.toLowerCase();
}
