import { readFileSync } from 'node:fs';
import { getOption, hasOption } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, test } from 'vitest';
import { scope } from '../../gen/muster/v1/options_pb.js';
import { type Route, routesOf } from '../../src/platform/http/gateway/routes.js';
import type { OpenApi } from '../../src/platform/http/openapi-types.js';
import { declaredServices, declaredStubs } from '../support/declared-services.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';

/** How many paths of the catalog are still to come. This number may only shrink. */
const planned = 12;

interface Row {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly state: 'served' | 'planned';
}

/** A path that is promised to users: `rest-catalog.tsv` has all of them, `state` telling which are there. */
const catalog: readonly Row[] = readFileSync(new URL('rest-catalog.tsv', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n')
  .slice(1)
  .map((line) => {
    const [method = '', path = '', status = '', , , state = ''] = line.split('\t');
    if (state !== 'served' && state !== 'planned') throw new Error(`rest-catalog.tsv: '${line}' has no state`);
    return { method, path, status: Number(status), state };
  });
const served = catalog.filter(({ state }) => state === 'served');

const app = sharedTestApp();
let routes: readonly Route[] = [];
let document: OpenApi;

beforeAll(async () => {
  routes = routesOf(await declaredStubs());
  document = (await rest(app.current.url, 'GET', '/openapi.json')).json as OpenApi;
});

describe('documented path = route = OpenAPI entry', () => {
  test('the proto files declare what the catalog says is served, and nothing else', () => {
    const declared = routes.map(({ method, template, status }) => `${method} ${template.source} ${status}`);
    expect(sorted(declared)).toEqual(sorted(served.map(({ method, path, status }) => `${method} ${path} ${status}`)));
  });

  test('the OpenAPI document of the running server has the same, and nothing else', () => {
    const entries = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item)
        // Answered without a method of a service; no part of the catalog.
        .filter(([, operation]) => !operation.tags.includes('Server'))
        .map(([method, operation]) => `${method.toUpperCase()} ${path} ${Object.keys(operation.responses)[0]}`),
    );
    expect(sorted(entries)).toEqual(sorted(served.map(({ method, path, status }) => `${method} ${path} ${status}`)));
  });

  test.each(catalog)('$method $path is $state', async ({ method, path, state }) => {
    const answer = await rest(app.current.url, 'OPTIONS', path.replace(/\{\w+\}/g, 'x'));
    const allowed = answer.headers.get('allow')?.split(', ') ?? [];
    expect(allowed.includes(method)).toBe(state === 'served');
  });

  test('what is still to come becomes less', () => {
    expect(catalog.filter(({ state }) => state === 'planned')).toHaveLength(planned);
  });
});

test('every RPC of every service declares the scope that it needs, and the document tells it', async () => {
  const methods = (await declaredServices()).flatMap((each) => each.methods);
  expect(methods.length).toBeGreaterThan(0);
  const undeclared = methods.filter(
    (method) => !hasOption(method, scope) || !/^[a-z_-]+\.[a-z_-]+$/.test(getOption(method, scope)),
  );
  expect(undeclared.map(String)).toEqual([]);

  const told = Object.values(document.paths).flatMap((item) =>
    Object.values(item).map((operation) => [operation['x-muster-rpc'], operation['x-muster-scope']]),
  );
  for (const { rpc } of routes) expect(told).toContainEqual([rpc.path, rpc.scope]);
});

function sorted(texts: readonly string[]): readonly string[] {
  return [...texts].sort();
}
