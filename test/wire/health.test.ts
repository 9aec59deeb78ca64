import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus as Status } from '../../gen/grpc/health/v1/health_pb.js';
import { bearer, makeToken } from '../access/support/tokens.js';
import { startTestApp } from '../support/app.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { soon } from '../support/until.js';

const app = sharedTestApp();

function clientOf(url: string) {
  const sessionManager = new Http2SessionManager(url);
  onTestFinished(() => sessionManager.abort());
  return createClient(Health, createGrpcTransport({ baseUrl: url, sessionManager }));
}

describe('grpc.health.v1', () => {
  test.each([
    '',
    'muster.v1.JobService',
    'muster.v1.EventService',
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
  ])("says that '%s' is served", async (service) => {
    expect((await clientOf(app.current.url).check({ service })).status).toBe(Status.SERVING);
  });

  test('does not know a service whose name is longer than a header may be', async () => {
    const failure = await clientOf(app.current.url)
      .check({ service: 'x'.repeat(200_000) })
      .catch((error: unknown) => ConnectError.from(error));
    expect(failure).toMatchObject({ code: Code.NotFound });
  });

  test('does not know a service that there is not', async () => {
    const client = clientOf(app.current.url);
    const failure = await client
      .check({ service: 'muster.v1.Nothing' })
      .catch((error: unknown) => ConnectError.from(error));
    expect(failure).toMatchObject({ code: Code.NotFound });
    const watched = client.watch({ service: 'muster.v1.Nothing' })[Symbol.asyncIterator]();
    expect((await watched.next()).value).toMatchObject({ status: Status.SERVICE_UNKNOWN });
    await watched.return?.();
  });

  test('tells at once when the server can serve no more, and when it stops', async () => {
    const own = await startTestApp();
    const watched = clientOf(own.url).watch({})[Symbol.asyncIterator]();
    expect((await watched.next()).value).toMatchObject({ status: Status.SERVING });
    const next = watched.next();
    void own.app.stop();
    expect((await soon('the change', next)).value).toMatchObject({ status: Status.NOT_SERVING });
    const end = await watched.next().catch((error: unknown) => ConnectError.from(error));
    expect(end).toMatchObject({ code: Code.Unavailable });
  });

  test('takes a token, which /readyz does not', async () => {
    const own = await startTestApp();
    const human = await makeToken(own, { role: 'human' });
    const worker = bearer(await makeToken(own, { role: 'worker' }, human));
    const client = clientOf(own.url);
    const refused = await client.check({}).catch((error: unknown) => ConnectError.from(error));
    expect(refused).toMatchObject({ code: Code.Unauthenticated });
    expect((await client.check({}, { headers: worker })).status).toBe(Status.SERVING);
    expect((await rest(own.url, 'GET', '/readyz')).status).toBe(200);
  });
});
