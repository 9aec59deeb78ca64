import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import { onTestFinished } from 'vitest';

/** A real identity provider, as far as a server that takes its tokens sees of it. */
export interface IdentityProvider {
  readonly issuer: string;
  /** How often its keys have been read. */
  readonly reads: () => number;
  /** A signed token; `claims` replace the usual ones, and leave out what is undefined. */
  token(claims?: Partial<JWTPayload>, options?: { readonly kid?: string }): Promise<string>;
  /** Signs with a new key from now on, and publishes it beside the others. */
  rotate(algorithm: string): Promise<void>;
  close(): Promise<void>;
}

export const audience = 'muster-test';

export async function startIdentityProvider(algorithm = 'ES256'): Promise<IdentityProvider> {
  const keys: JWK[] = [];
  let reads = 0;
  let current: { readonly kid: string; readonly alg: string; readonly key: CryptoKey } | undefined;
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    if (request.url === '/.well-known/openid-configuration') {
      response.end(JSON.stringify({ issuer, jwks_uri: `${issuer}/keys` }));
    } else if (request.url === '/keys') {
      reads += 1;
      response.end(JSON.stringify({ keys }));
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  onTestFinished(close);

  async function rotate(alg: string): Promise<void> {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const kid = `key-${keys.length + 1}`;
    keys.push({ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' });
    current = { kid, alg, key: privateKey };
  }
  await rotate(algorithm);

  return {
    issuer,
    reads: () => reads,
    rotate,
    close,
    async token(claims = {}, { kid } = {}) {
      if (current === undefined) throw new Error('no key');
      const now = Math.floor(Date.now() / 1000);
      const usual = { iss: issuer, aud: audience, sub: 'ada', iat: now, exp: now + 3600, muster_role: 'human' };
      const all = Object.fromEntries(
        Object.entries({ ...usual, ...claims }).filter(([, value]) => value !== undefined),
      );
      return new SignJWT(all).setProtectedHeader({ alg: current.alg, kid: kid ?? current.kid }).sign(current.key);
    },
  };
}
