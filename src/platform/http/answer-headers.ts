import type { AppError } from '../../errors.js';
import type { Quota } from '../limits/rate-limit.js';

export type AnswerHeaders = Readonly<Record<string, string>>;

/** What is left to the caller, in the three fields of the IETF's drafts up to draft-ietf-httpapi-ratelimit-headers-06. */
export function quotaHeaders(quota: Quota | undefined): AnswerHeaders {
  if (quota === undefined) return {};
  return {
    'ratelimit-limit': String(quota.limit),
    'ratelimit-remaining': String(quota.remaining),
    'ratelimit-reset': String(quota.resetSec),
  };
}

/** What an error says in headers besides its body, in every protocol. */
export function errorHeaders({ kind, details }: AppError): AnswerHeaders {
  if (kind === 'unauthorized') return { 'www-authenticate': 'Bearer' };
  const { retry_after_sec: retryAfterSec } = details ?? {};
  if (kind === 'unavailable' && typeof retryAfterSec === 'number') return { 'retry-after': String(retryAfterSec) };
  if (kind !== 'rate_limited' || details === undefined) return {};
  const { limit, remaining, reset_sec: resetSec } = details as { limit: number; remaining: number; reset_sec: number };
  return { ...quotaHeaders({ limit, remaining, resetSec }), 'retry-after': String(resetSec) };
}
