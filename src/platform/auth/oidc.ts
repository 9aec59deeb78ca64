import { createHash } from 'node:crypto';
import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { AppError, messageOf } from '../../errors.js';
import type { Clock } from '../clock.js';
import type { Log } from '../log.js';
import type { Recognise } from './authenticate.js';
import { type Callers, expired } from './callers.js';
import { type Principal, type Role, roles } from './principal.js';

export interface OidcOptions {
  /** As it stands in the tokens' `iss`. */
  readonly issuer: string;
  /** One of the tokens' `aud`. */
  readonly audience: string;
  /** Where the keys are; by default where the issuer's discovery document says. */
  readonly jwksUrl: string | undefined;
  /** The claim with the caller's role or roles. */
  readonly roleClaim: string;
  /** The claim's values, and the role that each stands for; a value that is not named here stands for nothing. */
  readonly roleOf: ReadonlyMap<string, Role>;
}

export interface OidcDeps {
  readonly callers: Callers;
  readonly clock: Clock;
  readonly log: Log;
  /** How long after one reading of the keys the next may come, in milliseconds: tokens of unknown keys ask for it. */
  readonly cooldownMs?: number;
}

/** Signatures by a key pair; never `none`, and no shared secret. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const fetchMs = 5000;
/** By how much the clocks of the two may differ. */
const toleranceSec = 5;

/**
 * Tells whose a JWT of an OpenID Connect provider is (RFC 7519, RFC 9068): by issuer, audience, signature and time. Rejects with
 * `unauthorized` when it is wrong, `forbidden` when it names no role, `unavailable` when the provider's keys cannot be had.
 */
export function createOidc(options: OidcOptions, deps: OidcDeps): Recognise {
  const { callers, clock, log, cooldownMs = 10_000 } = deps;
  const { issuer, audience, roleClaim, roleOf } = options;
  let keys: Promise<JWTVerifyGetKey> | undefined;

  /** Found when they are first needed; a failure is not kept. */
  function keySet(): Promise<JWTVerifyGetKey> {
    return (keys ??= findKeys().catch((error: unknown) => {
      keys = undefined;
      throw error;
    }));
  }

  async function findKeys(): Promise<JWTVerifyGetKey> {
    const url = options.jwksUrl ?? (await discover(issuer));
    return createRemoteJWKSet(new URL(url), { timeoutDuration: fetchMs, cooldownDuration: cooldownMs });
  }

  async function verify(token: string): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(token, await keySet(), {
        issuer,
        audience,
        algorithms,
        requiredClaims: ['sub', 'exp'],
        clockTolerance: toleranceSec,
        currentDate: clock.now(),
      });
      return payload;
    } catch (error) {
      throw refusalOf(error, log);
    }
  }

  function principalOf(payload: JWTPayload): Principal {
    const { sub = '', exp = 0 } = payload;
    if (!/^[\x20-\x7e]{1,255}$/.test(sub)) throw new AppError('unauthorized', 'The token has no usable sub.');
    const claim = payload[roleClaim];
    const values: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
    const named = new Set(values.map((value) => (typeof value === 'string' ? roleOf.get(value) : undefined)));
    // Of several the one that may do most.
    const kind = roles.find((role) => named.has(role));
    if (kind === undefined) throw new AppError('forbidden', `The token's ${roleClaim} names no role of this server.`);
    return { kind, id: `oidc:${sub}`, capabilities: [], until: new Date((exp + toleranceSec) * 1000) };
  }

  return async (token, knownOnly) => {
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return undefined;
    const key = `jwt ${createHash('sha256').update(token).digest('base64')}`;
    return callers.get(key) ?? (knownOnly ? undefined : callers.keep(key, principalOf(await verify(token))));
  };
}

/** Where the issuer says that its keys are (OpenID Connect Discovery 1.0, 4). */
async function discover(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const answer = await fetch(url, { signal: AbortSignal.timeout(fetchMs) });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
  const { issuer: named, jwks_uri: keys } = (await answer.json()) as { issuer?: unknown; jwks_uri?: unknown };
  if (named !== issuer) throw new Error(`${url} is of another issuer, ${String(named)}`);
  if (typeof keys !== 'string' || !URL.canParse(keys)) throw new Error(`${url} names no jwks_uri`);
  return keys;
}

/** What jose and fetch throw: a fault of the token's, or a provider that does not answer. */
function refusalOf(error: unknown, log: Log): AppError {
  if (error instanceof errors.JWTExpired) return expired();
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new AppError('unauthorized', `The token's ${error.claim} is not right for this server.`);
  }
  const isOfTheToken =
    error instanceof errors.JOSEError &&
    !(error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) &&
    error.code !== 'ERR_JOSE_GENERIC';
  if (isOfTheToken) return new AppError('unauthorized', 'The token is not valid.', { cause: error });
  log.warn('oidc_unreachable', { message: messageOf(error) });
  return new AppError('unavailable', 'The keys of the identity provider cannot be had.', { cause: error });
}
