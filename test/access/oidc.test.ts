import { exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import { createCallers } from '../../src/platform/auth/callers.js';
import { createOidc } from '../../src/platform/auth/oidc.js';
import { createLog } from '../../src/platform/log.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { rest, type RestAnswer } from '../support/rest.js';
import { audience, type IdentityProvider, startIdentityProvider } from './support/identity-provider.js';
import { bearer, makeToken } from './support/tokens.js';

function serve({ issuer }: IdentityProvider, flags: Record<string, string> = {}): Promise<TestApp> {
  return startTestApp({ flags: { 'oidc-issuer': issuer, 'oidc-audience': audience, ...flags } });
}

function get(app: TestApp, token: string, path = '/v1/jobs'): Promise<RestAnswer> {
  return rest(app.url, 'GET', path, undefined, { authorization: `Bearer ${token}` });
}

describe('a JWT of the identity provider', () => {
  test.each(['RS256', 'PS512', 'ES256', 'EdDSA'])('is a caller of its role, signed by %s', async (algorithm) => {
    const provider = await startIdentityProvider(algorithm);
    const app = await serve(provider);
    const human = { authorization: `Bearer ${await provider.token()}` };
    expect((await rest(app.url, 'POST', '/v1/jobs', { kind: 'k' }, human)).status).toBe(201);
    const [queued] = (await rest(app.url, 'GET', '/api/events?type=JobQueued', undefined, human)).json as {
      actor: unknown;
    }[];
    expect(queued?.actor).toEqual({ kind: 'human', id: 'oidc:ada' });
    const viewer = await provider.token({ muster_role: 'viewer' });
    expect((await get(app, viewer)).status).toBe(200);
    expect(await rest(app.url, 'POST', '/v1/jobs', { kind: 'k' }, { authorization: `Bearer ${viewer}` })).toMatchObject(
      {
        status: 403,
        json: { details: { scope: 'jobs.submit' } },
      },
    );
    // Its keys are read once, whatever comes.
    expect(provider.reads()).toBe(1);
  });

  test('names its role by any claim and word, the strongest of several', async () => {
    const provider = await startIdentityProvider();
    const app = await serve(provider, { 'oidc-role-claim': 'groups', 'oidc-roles': 'Ops Team=human,ci=worker' });
    const submit = async (groups: unknown) => {
      const authorization = `Bearer ${await provider.token({ groups, sub: JSON.stringify(groups) })}`;
      return (await rest(app.url, 'POST', '/v1/jobs', { kind: 'k' }, { authorization })).status;
    };
    expect(await submit(['all', 'ci', 'Ops Team'])).toBe(201);
    expect(await submit('ci')).toBe(403);
    for (const groups of [undefined, [], 'human', ['all'], { 'Ops Team': true }, 1]) {
      const answer = await get(app, await provider.token({ groups }));
      expect(answer).toMatchObject({ status: 403, json: { error: 'forbidden' } });
      expect(answer.text).toContain('groups');
    }
  });

  const now = Math.floor(Date.now() / 1000);
  test.each<[name: string, claims: Record<string, unknown>]>([
    ['for somebody else', { aud: 'other' }],
    ['for nobody', { aud: undefined }],
    ['of another issuer', { iss: 'http://127.0.0.1:1' }],
    ['that has expired', { exp: now - 60 }],
    ['that never expires', { exp: undefined }],
    ['that is not good yet', { nbf: now + 600 }],
    ['of nobody', { sub: undefined }],
    ['of somebody with an odd name', { sub: 'a\nb' }],
  ])('%s is refused', async (_name, claims) => {
    const provider = await startIdentityProvider();
    const app = await serve(provider);
    expect(await get(app, await provider.token(claims))).toMatchObject({
      status: 401,
      json: { error: 'unauthorized' },
    });
  });

  test('that somebody else has signed, or nobody, or with a shared secret, is refused', async () => {
    const provider = await startIdentityProvider();
    const app = await serve(provider);
    const claims = { iss: provider.issuer, aud: audience, sub: 'eve', exp: now + 600, muster_role: 'human' };
    const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
    const forged = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'key-1' }).sign(privateKey);
    const secret = new TextEncoder().encode(await exportSPKI(publicKey));
    const shared = await new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'key-1' }).sign(secret);
    const [head, body] = (await provider.token()).split('.');
    for (const token of [forged, shared, new UnsecuredJWT(claims).encode(), `${head}.${body}.AAAA`, 'a.b.c']) {
      expect((await get(app, token)).status).toBe(401);
    }
  });

  test('of a new key is taken, since the keys are read again, but not for every token of an unknown key', async () => {
    const provider = await startIdentityProvider();
    const app = await serve(provider);
    expect((await get(app, await provider.token())).status).toBe(200);
    await provider.rotate('RS256');
    for (let time = 0; time < 3; time++) expect((await get(app, await provider.token())).status).toBe(401);
    expect(provider.reads()).toBe(1);

    const { issuer } = provider;
    const options = {
      issuer,
      audience,
      jwksUrl: undefined,
      roleClaim: 'muster_role',
      roleOf: new Map([['human', 'human']] as const),
    };
    const clock = { now: () => new Date() };
    const recognise = createOidc(options, {
      callers: createCallers(clock),
      clock,
      log: createLog('silent'),
      cooldownMs: 0,
    });
    expect((await recognise(await provider.token(), false))?.principal).toMatchObject({
      kind: 'human',
      id: 'oidc:ada',
    });
    await provider.rotate('ES384');
    expect((await recognise(await provider.token(), false))?.principal).toMatchObject({
      kind: 'human',
      id: 'oidc:ada',
    });
  });

  test('cannot be judged while the provider is away, and is no fault of the caller', async () => {
    const provider = await startIdentityProvider();
    const app = await serve(provider);
    const token = await provider.token();
    await provider.close();
    expect(await get(app, token)).toMatchObject({ status: 503, json: { error: 'unavailable' } });
  });

  test('can be taken beside tokens of the server, and nobody is let in without either', async () => {
    const provider = await startIdentityProvider();
    const app = await serve(provider, { 'oidc-jwks-url': `${provider.issuer}/keys` });
    expect((await rest(app.url, 'GET', '/v1/jobs')).status).toBe(401);
    const asAda = { id: '', secret: await provider.token() };
    const own = await makeToken(app, { role: 'human' }, asAda);
    expect((await get(app, own.secret)).status).toBe(200);
    const listed = (await rest(app.url, 'GET', '/api/tokens', undefined, bearer(own))).json as { created_by: string }[];
    expect(listed[0]?.created_by).toBe('oidc:ada');
  });

  test('makes tickets, too', async () => {
    const provider = await startIdentityProvider();
    const app = await serve(provider);
    const authorization = `Bearer ${await provider.token()}`;
    const { ticket } = (await rest(app.url, 'POST', '/api/tickets', {}, { authorization })).json as { ticket: string };
    expect((await rest(app.url, 'GET', `/v1/jobs?ticket=${ticket}`)).status).toBe(200);
  });
});

test('a JWT is nobody where no provider is configured', async () => {
  const provider = await startIdentityProvider();
  const app = await startTestApp();
  expect((await get(app, await provider.token())).status).toBe(401);
});

test.each([
  [{ 'oidc-issuer': 'https://id.example.com' }, 'MUSTER_OIDC_AUDIENCE'],
  [{ 'oidc-audience': 'muster' }, 'MUSTER_OIDC_ISSUER'],
])('a half of the settings stops the start: %o', async (flags, named) => {
  await expect(startTestApp({ flags })).rejects.toThrow(named);
});
