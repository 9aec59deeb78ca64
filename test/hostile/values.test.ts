import { beforeAll, describe, expect, test } from 'vitest';
import { type Route, routesOf } from '../../src/platform/http/gateway/routes.js';
import { declaredServices, declaredStubs } from '../support/declared-services.js';
import { rest, type RestAnswer } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { spoiledBodies, spoiledRequests } from './support/values.js';

const app = sharedTestApp({ logLevel: 'error' });
const unary = (await declaredServices()).flatMap((service) =>
  service.methods.filter(({ methodKind }) => methodKind === 'unary'),
);
const routes = routesOf(await declaredStubs()).filter(
  ({ rpc, websocket }) => rpc.desc.methodKind === 'unary' && !websocket,
);

let job: { readonly id: string };
beforeAll(async () => {
  job = (await rest(app.current.url, 'POST', '/v1/jobs', { kind: 'kept' })).json as { id: string };
});

/** Whatever the answer is, it is the caller's fault or nobody's, and said in the documented shape. */
function expectClear(answer: RestAnswer, what: unknown): void {
  expect(answer.status, JSON.stringify(what).slice(0, 300)).toBeLessThan(500);
  if (answer.status < 400) return;
  expect(answer.json, JSON.stringify(what).slice(0, 300)).toMatchObject({
    error: expect.any(String) as string,
    code: answer.status,
    message: expect.any(String) as string,
    correlation_id: answer.headers.get('x-correlation-id'),
  });
}

async function expectUnharmed(): Promise<void> {
  expect(app.current.logged.splice(0)).toEqual([]);
  expect((await rest(app.current.url, 'GET', `/v1/jobs/${job.id}`)).json).toMatchObject({
    id: job.id,
    status: 'queued',
  });
  expect({}).not.toHaveProperty('polluted');
}

describe.each(routes.map((route) => [`${route.method} ${route.template.source}`, route] as const))(
  '%s',
  (_name, route) => {
    test('every field with what it might choke on', async () => {
      for (const { field, text, illTyped } of spoiledRequests(route.rpc.desc.input)) {
        const sent = layOut(route, JSON.parse(text) as Record<string, unknown>, text);
        if (sent === undefined) continue;
        const answer = await rest(app.current.url, route.method, sent.path, sent.body);
        expectClear(answer, { field, text });
        if (illTyped && sent.inBody.has(field.split(/[.[]/)[0] ?? '')) {
          expect(answer.json, `${field} in ${text}`).toMatchObject({
            error: 'invalid_request',
            details: { field: expect.stringContaining(field.split('[')[0] ?? '') as string },
          });
        }
      }
      await expectUnharmed();
    });

    if (route.body === 'whole') {
      test('bodies that are wrong as a whole', async () => {
        const path = pathWith(route, {});
        for (const body of spoiledBodies) {
          const answer = await rest(app.current.url, route.method, path, body);
          expectClear(answer, body);
          expect({ body, json: answer.json }).toMatchObject({
            json: { error: 'invalid_request', details: { field: Object.keys(JSON.parse(body) as object)[0] } },
          });
        }
        await expectUnharmed();
      });
    }
  },
);

describe.each(unary.map((method) => [`${method.parent.typeName}/${method.name}`, method] as const))(
  'Connect %s',
  (name, method) => {
    test('every field with what it might choke on', async () => {
      for (const { field, text } of spoiledRequests(method.input)) {
        const answer = await rest(app.current.url, 'POST', `/${name}`, text);
        expect(answer.status, `${field} in ${text.slice(0, 200)}: ${answer.text}`).toBeLessThan(500);
        if (answer.status >= 400)
          expect(answer.json).toMatchObject({
            code: expect.any(String) as string,
            message: expect.any(String) as string,
          });
      }
      await expectUnharmed();
    });

    // Connect's JSON leaves out what it does not know.
    test('bodies that are wrong as a whole', async () => {
      for (const body of spoiledBodies) {
        const answer = await rest(app.current.url, 'POST', `/${name}`, body);
        expect(answer.status, `${body}: ${answer.text}`).toBeLessThan(500);
      }
      await expectUnharmed();
    });
  },
);

/** The request as the route takes it: some in the path, some in the query, the rest in the body. */
function layOut(route: Route, request: Record<string, unknown>, text: string) {
  const path = pathWith(route, request);
  const inPath = new Set(route.template.variables.map(({ field }) => field[0] ?? ''));
  const others = Object.entries(request).filter(([name]) => !inPath.has(name));
  if (route.body === 'none') {
    const pairs = others.flatMap(([name, value]) =>
      (Array.isArray(value) ? value : [value]).map((each) => `${encoded(name)}=${encoded(asText(each))}`),
    );
    return {
      path: pairs.length === 0 ? path : `${path}?${pairs.join('&')}`.slice(0, 8000),
      body: undefined,
      inBody: new Set<string>(),
    };
  }
  // Parsed and printed again, some would not be what they were.
  const body = inPath.size === 0 ? text : JSON.stringify(Object.fromEntries(others));
  return {
    path,
    body,
    inBody: new Set(inPath.size === 0 || !/1e400|__proto__|-0/.test(text) ? others.map(([name]) => name) : []),
  };
}

function pathWith(route: Route, request: Record<string, unknown>): string {
  const segments = route.template.segments.map((segment, index) => {
    const variable = route.template.variables.find(({ first }) => first === index);
    if (segment.kind === 'literal' || variable === undefined) return segment.kind === 'literal' ? segment.text : 'a';
    const value = asText(request[variable.field[0] ?? ''] ?? job.id);
    return value === '' ? '%20' : encoded(value.slice(0, 2000));
  });
  return `/${segments.join('/')}`;
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Half a surrogate pair has no UTF-8; what a careless client sends instead is decoded as malformed. */
function encoded(text: string): string {
  try {
    return encodeURIComponent(text);
  } catch {
    return '%ed%a0%80';
  }
}
