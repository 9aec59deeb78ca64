import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { routesOf } from '../../src/platform/http/gateway/routes.js';
import { bearer, makeToken } from '../access/support/tokens.js';
import { ways } from '../access/support/ways.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { useBuiltServer } from '../support/built-server.js';
import { createTestDatabase } from '../support/database.js';
import { declaredServices, declaredStubs } from '../support/declared-services.js';
import { rest } from '../support/rest.js';
import { soon, until } from '../support/until.js';
import { type Collector, startCollector, startDeafCollector } from './support/collector.js';

const startServer = useBuiltServer();

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const parentId = '00f067aa0ba902b7';
const traceparent = `00-${traceId}-${parentId}-01`;

afterEach(() => vi.unstubAllEnvs());

async function startTraced(url: string, env: Readonly<Record<string, string>> = {}): Promise<TestApp> {
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', url);
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  return startTestApp({ logLevel: 'warn' });
}

/** Calls a method in every way that it can be called. Answers the names of the ways. */
async function callAll(app: TestApp, name: string, input: object): Promise<readonly string[]> {
  const method = (await declaredServices()).flatMap(({ methods }) => methods).find((each) => each.name === name);
  if (method === undefined) throw new Error(`there is no ${name}`);
  const path = `/${method.parent.typeName}/${name}`;
  const routes = routesOf(await declaredStubs()).filter(({ rpc }) => rpc.path === path);
  const called: string[] = [];
  for (const [way, call] of Object.entries(ways)) {
    const outcome = await call({ url: app.url, method, routes, input: { ...input }, headers: { traceparent } });
    if (outcome !== undefined) called.push(way);
  }
  return called;
}

/** What was traced when the server has stopped, which sends all there is. */
async function tracedBy(app: TestApp, collector: Collector) {
  await app.stop();
  return collector.spans;
}

describe('traces', () => {
  test('have a span for a call in every way, below the one of its caller', async () => {
    const collector = await startCollector();
    const app = await startTraced(collector.url);
    const called = await callAll(app, 'GetJob', { id: 'none' });
    const spans = await tracedBy(app, collector);
    expect(called.length).toBeGreaterThan(5);
    expect(spans).toHaveLength(called.length);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(called.length);
    for (const span of spans) {
      expect(span).toMatchObject({ traceId, parentSpanId: parentId, kind: 2, status: 0, service: 'muster' });
      expect(span.attributes).toMatchObject({
        'rpc.service': 'muster.v1.JobService',
        'rpc.method': 'GetJob',
        'error.type': 'not_found',
      });
    }
    const [overRest] = spans.filter(({ attributes }) => attributes['muster.transport'] === 'rest');
    expect(overRest?.name).toBe('GET /v1/jobs/{id}');
    expect(overRest?.attributes).toMatchObject({
      'http.request.method': 'GET',
      'http.route': '/v1/jobs/{id}',
      'http.response.status_code': 404,
    });
    const systems = spans.map(({ attributes: { 'rpc.system': system, 'muster.transport': transport } }) =>
      [transport, system].join(' '),
    );
    expect([...new Set(systems)].sort()).toEqual(['connect connect_rpc', 'grpc grpc', 'grpc-web grpc', 'rest ']);
    const grpc = spans.filter(({ attributes }) => attributes['rpc.system'] === 'grpc');
    expect(grpc.map(({ attributes }) => attributes['rpc.grpc.status_code'])).toEqual(grpc.map(() => 5));
    expect(grpc.map(({ name }) => name)).toEqual(grpc.map(() => 'muster.v1.JobService/GetJob'));
  });

  test('have a span for a stream, when it has ended', async () => {
    const collector = await startCollector();
    const app = await startTraced(collector.url);
    const called = await callAll(app, 'SubscribeEvents', { after: 999_999_999 });
    const spans = await tracedBy(app, collector);
    // An upgrade that never asks for anything is no call.
    expect(spans).toHaveLength(called.length - 1);
    expect(spans.map(({ attributes }) => attributes['muster.transport'])).toContain('sse');
  });

  test('tell who was refused, and what was our own fault', async () => {
    const collector = await startCollector();
    const app = await startTraced(collector.url);
    const human = bearer(await makeToken(app, { role: 'human' }));
    await rest(app.url, 'GET', '/v1/jobs', undefined, { traceparent });
    await app.database.query('ALTER TABLE jobs RENAME TO jobs_away');
    await rest(app.url, 'GET', '/v1/jobs', undefined, { ...human, traceparent });
    const spans = (await tracedBy(app, collector)).filter((span) => span.traceId === traceId);
    expect(spans.map(({ status, attributes }) => [attributes['error.type'], status])).toEqual([
      ['unauthorized', 0],
      ['internal_error', 2],
    ]);
  });

  test.each([undefined, 'nonsense', `00-${'0'.repeat(32)}-${parentId}-01`])('begin anew at %j', async (header) => {
    const collector = await startCollector();
    const app = await startTraced(collector.url);
    await rest(app.url, 'GET', '/v1/jobs', undefined, header === undefined ? {} : { traceparent: header });
    const [span] = await tracedBy(app, collector);
    expect(span?.traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/);
    expect(span?.parentSpanId).toBeUndefined();
  });

  test('leave out what the caller does not sample', async () => {
    const collector = await startCollector();
    const app = await startTraced(collector.url);
    await rest(app.url, 'GET', '/v1/jobs', undefined, { traceparent: traceparent.replace(/01$/, '00') });
    await rest(app.url, 'GET', '/v1/jobs/none');
    expect((await tracedBy(app, collector)).map(({ name }) => name)).toEqual(['GET /v1/jobs/{id}']);
  });

  test('are sent under the name and with the headers that the variables say', async () => {
    const collector = await startCollector();
    const more = { OTEL_SERVICE_NAME: 'muster-test', OTEL_EXPORTER_OTLP_HEADERS: 'x-team=a,x-key=b' };
    const app = await startTraced(collector.url, more);
    await rest(app.url, 'GET', '/v1/jobs');
    expect((await tracedBy(app, collector)).map(({ service }) => service)).toEqual(['muster-test']);
    expect(collector.headers[0]).toMatchObject({ 'x-team': 'a', 'x-key': 'b' });
  });

  test('hold up neither a call nor the stop when the collector says nothing, and the log tells of it', async () => {
    const deaf = await startDeafCollector();
    const app = await startTraced(deaf.url);
    // More than a batch, so that an export is under way while calls are made.
    for (let n = 0; n < 520; n++) expect((await rest(app.url, 'GET', '/v1/jobs/none')).status).toBe(404);
    await until('it has been told', () => deaf.requests() > 0);
    expect((await rest(app.url, 'GET', '/v1/jobs')).status).toBe(200);
    await soon('the stop', app.stop());
    expect(app.logged.map(({ event }) => event)).toContain('traces_not_exported');
  });

  test('hold up nothing when there is no collector', async () => {
    const app = await startTraced('http://127.0.0.1:1');
    expect((await rest(app.url, 'GET', '/v1/jobs')).status).toBe(200);
    await soon('the stop', app.stop());
    expect(app.logged.map(({ event }) => event)).toContain('traces_not_exported');
  });

  test('let the process end, and are sent before, or given up', async () => {
    const collector = await startCollector();
    const deaf = await startDeafCollector();
    for (const { url } of [collector, deaf]) {
      const database = await createTestDatabase();
      onTestFinished(() => database.drop());
      const server = startServer({ databaseUrl: database.url, env: { OTEL_EXPORTER_OTLP_ENDPOINT: url } });
      await rest(await server.ready(), 'GET', '/v1/jobs');
      server.kill('SIGTERM');
      expect(await soon('the end', server.exit)).toEqual({ code: 0, signal: null });
    }
    expect(collector.spans.map(({ name }) => name)).toEqual(['GET /v1/jobs']);
    expect(deaf.requests()).toBeGreaterThan(0);
  });

  test.each(['localhost:4318', 'ftp://localhost', 'nonsense'])('cannot be sent to %j', async (url) => {
    await expect(startTraced(url)).rejects.toThrow('OTEL_EXPORTER_OTLP_ENDPOINT');
  });
});
