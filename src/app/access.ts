import { AppError } from '../errors.js';
import type { Tokens } from '../modules/tokens/index.js';
import { type Authenticate, createAuthenticate, type Recognise } from '../platform/auth/authenticate.js';
import type { Clock } from '../platform/clock.js';
import type { Log } from '../platform/log.js';
import { isLoopbackHost } from '../platform/net.js';
import type { ServerConfig } from '../settings.js';

export function checkOidc({ oidcIssuer, oidcAudience }: ServerConfig): void {
  if (oidcIssuer !== undefined && oidcAudience === undefined) {
    throw new AppError('invalid_request', 'MUSTER_OIDC_AUDIENCE: is needed with MUSTER_OIDC_ISSUER');
  }
  if (oidcIssuer === undefined && oidcAudience !== undefined) {
    throw new AppError('invalid_request', 'MUSTER_OIDC_ISSUER: is needed with MUSTER_OIDC_AUDIENCE');
  }
}

/** Whether others can reach the server, and have nothing but tokens to show who they are. */
export function needsToken({ host, oidcIssuer }: ServerConfig): boolean {
  return !isLoopbackHost(host) && oidcIssuer === undefined;
}

export function noToken({ host }: ServerConfig): AppError {
  const command = 'muster token create --direct --role human --name ...';
  return new AppError(
    'invalid_request',
    `MUSTER_HOST: '${host}' is open to others, and there is no token; make one with '${command}', or use 127.0.0.1`,
  );
}

export function authenticateBy(
  { recogniser }: Tokens,
  { config, clock, log }: { readonly config: ServerConfig; readonly clock: Clock; readonly log: Log },
): Authenticate {
  const { oidcIssuer: issuer, oidcAudience: audience, oidcJwksUrl, oidcRoleClaim, oidcRoles } = config;
  const bearer = [recogniser.bearer];
  if (issuer !== undefined && audience !== undefined) {
    const options = { issuer, audience, jwksUrl: oidcJwksUrl, roleClaim: oidcRoleClaim, roleOf: oidcRoles };
    bearer.push(
      lazily(async () =>
        (await import('../platform/auth/oidc.js')).createOidc(options, { callers: recogniser.callers, clock, log }),
      ),
    );
  }
  return createAuthenticate({ bearer, ticket: recogniser.ticket, local: recogniser.local });
}

/** Code that most servers never need is loaded when it is first asked for, and again when that did not work. */
function lazily(load: () => Promise<Recognise>): Recognise {
  let loading: Promise<Recognise> | undefined;
  const forget = (error: unknown): never => {
    loading = undefined;
    throw error;
  };
  return async (text, knownOnly) => (await (loading ??= load().catch(forget)))(text, knownOnly);
}
