import { STATUS_CODES } from 'node:http';
import type { Service } from '../rpc/methods.js';
import { type Route, routesOf } from './gateway/routes.js';
import { errorResponses, errorsOf, errorSchema } from './openapi-errors.js';
import { parametersOf } from './openapi-parameters.js';
import { createSchemas, type Schemas } from './openapi-schema.js';
import { commentOf, summaryOf } from './openapi-text.js';
import type { Components, OpenApi, Operation, PathItem, Response, Schema } from './openapi-types.js';

export interface OpenApiOptions {
  readonly services: readonly Service[];
  readonly version: string;
}

const about = `One HTTP port for REST, Connect, gRPC and gRPC-Web. This document is made from the server's own route table.

- What is unset is \`null\` in an answer; every documented field is printed. A request may leave fields out; a field or query parameter that does not exist is refused and named.
- Times are RFC 3339, answered in UTC with milliseconds.
- Lists come in pages. The \`Link\` header of a page that is not the last leads to the next one.
- Requests that change something take an \`Idempotency-Key\`: repeated under the same one they are carried out once, and answered alike.
- Every answer carries \`X-Correlation-Id\`, which finds the request in the server's log.`;

/** The OpenAPI document of everything that these services answer over REST. Throws when two messages claim one name. */
export function createOpenApi({ services, version }: OpenApiOptions): OpenApi {
  const routes = routesOf(services);
  const schemas = createSchemas(routes);
  const paths: Record<string, Record<string, Operation>> = {};
  const seen = new Map<Route['rpc'], number>();
  for (const route of routes) {
    const nth = (seen.get(route.rpc) ?? 0) + 1;
    seen.set(route.rpc, nth);
    const item = (paths[pathOf(route.template.source)] ??= {});
    item[route.method.toLowerCase()] = operationOf(route, nth, schemas);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Muster', version, description: about },
    servers: [{ url: '/' }],
    tags: [
      ...services.map(({ desc }) => ({ name: desc.name, description: commentOf(desc.typeName) ?? '' })),
      { name: 'Server', description: 'How the server itself is doing.' },
    ],
    paths: { ...paths, ...serverPaths },
    components: components(schemas),
  };
}

/** OpenAPI has no word for what a variable's segments look like: `{path=**}` becomes `{path}`. */
function pathOf(template: string): string {
  return template.replace(/\{([^}=]+)=[^}]*\}/g, '{$1}');
}

function operationOf(route: Route, nth: number, schemas: Schemas): Operation {
  const { desc, scope, path } = route.rpc;
  const { summary, rest } = summaryOf(commentOf(`${desc.parent.typeName}.${desc.name}`) ?? desc.name);
  const body = schemas.body(route);
  return {
    // A method's further paths need ids of their own.
    operationId: `${desc.parent.name}_${desc.name}${nth === 1 ? '' : `_${nth}`}`,
    tags: [desc.parent.name],
    summary,
    ...(rest !== undefined && { description: rest }),
    ...(desc.deprecated && { deprecated: true }),
    'x-muster-scope': scope,
    'x-muster-rpc': path,
    parameters: [
      ...(route.websocket ? [] : parametersOf(route, schemas)),
      ...(route.stream === undefined || route.websocket ? [] : [{ $ref: '#/components/parameters/LastEventId' }]),
      ...(takesKey(route) ? [{ $ref: '#/components/parameters/IdempotencyKey' }] : []),
      { $ref: '#/components/parameters/CorrelationId' },
    ],
    ...(body !== undefined && { requestBody: content(body) }),
    responses: { [route.status]: success(route, schemas), ...errorsOf(route) },
  };
}

function success(route: Route, schemas: Schemas): Response {
  const paged = route.rpc.desc.output.fields.some((field) => field.name === 'next_cursor');
  return {
    description: STATUS_CODES[route.status] ?? 'Success',
    headers: {
      ...(route.location !== undefined && { Location: { $ref: '#/components/headers/Location' } }),
      ...(paged && { Link: { $ref: '#/components/headers/Link' } }),
      ...(takesKey(route) && { 'Idempotency-Replayed': { $ref: '#/components/headers/IdempotencyReplayed' } }),
      'X-Correlation-Id': { $ref: '#/components/headers/CorrelationId' },
    },
    ...bodyOf(route, schemas),
  };
}

function takesKey({ method, rpc }: Route): boolean {
  return rpc.writes && method !== 'GET';
}

function bodyOf(route: Route, schemas: Schemas): Pick<Response, 'content'> {
  // What goes over a WebSocket is told by the comment: OpenAPI has no words for it.
  if (route.websocket) return {};
  return route.stream === undefined ? content(schemas.answer(route)) : eventStream(schemas.answer(route));
}

/** Server-sent events whose data are the items of the list. */
function eventStream(list: Schema) {
  const schema = { type: 'string', contentMediaType: 'application/json', contentSchema: list.items };
  return { content: { 'text/event-stream': { schema } } };
}

function content(schema: Schema) {
  return { content: { 'application/json': { schema } } };
}

function components(schemas: Schemas): Components {
  if ('Error' in schemas.components) throw new Error('OpenAPI: Error is the name of the error body');
  const sorted = Object.entries({ ...schemas.components, Error: errorSchema }).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    schemas: Object.fromEntries(sorted),
    responses: errorResponses(),
    parameters: {
      LastEventId: {
        name: 'Last-Event-ID',
        in: 'header',
        description:
          'The id of the last event that was seen, as EventSource sends it when it comes back; it wins over the query.',
        schema: { type: 'string', pattern: '^\\d{1,15}$' },
      },
      IdempotencyKey: {
        name: 'Idempotency-Key',
        in: 'header',
        description:
          'Makes it safe to send the request again: the same request under the same key is carried out once, and answered alike for 24 hours; another request under it is `conflict`. Best a random UUID.',
        schema: { type: 'string', pattern: '^[\\x20-\\x7e]{1,255}$' },
      },
      CorrelationId: {
        name: 'X-Correlation-Id',
        in: 'header',
        description:
          'Names the request in the log and comes back with the answer: up to 128 letters, digits or `_ . : -`. Made by the server when left out.',
        schema: { type: 'string' },
      },
    },
    headers: {
      CorrelationId: {
        description: "Finds the request in the server's log: what the caller sent, or a new one.",
        schema: { type: 'string' },
      },
      Location: { description: 'Where the new resource is.', schema: { type: 'string', format: 'uri-reference' } },
      IdempotencyReplayed: {
        description:
          '`true` on an answer that an earlier request under the same Idempotency-Key was given; else not sent.',
        schema: { type: 'string', const: 'true' },
      },
      Link: {
        description: 'The next page: `<path?query>; rel="next"`. Not sent with the last page.',
        schema: { type: 'string' },
      },
    },
  };
}

/** health.ts and metrics-route.ts answer these; they are no methods of a service. */
const serverPaths: Readonly<Record<string, PathItem>> = {
  '/healthz': {
    get: {
      operationId: 'Server_Health',
      tags: ['Server'],
      summary: 'Tells that the process answers',
      responses: { '200': health('The process answers.', ['ok']) },
    },
  },
  '/readyz': {
    get: {
      operationId: 'Server_Readiness',
      tags: ['Server'],
      summary: 'Tells whether the server can serve, which takes its database',
      responses: {
        '200': health('It can.', ['ready']),
        '503': health('It cannot, for the reason given.', ['not_ready'], { reason: { type: 'string' } }),
      },
    },
  },
  '/metrics': {
    get: {
      operationId: 'Server_Metrics',
      tags: ['Server'],
      summary: 'Tells what the server counts and measures, for Prometheus; takes the scope metrics.read',
      responses: {
        '200': {
          description: 'In the text format 0.0.4 of Prometheus.',
          headers: { 'X-Correlation-Id': { $ref: '#/components/headers/CorrelationId' } },
          content: { 'text/plain': { schema: { type: 'string' } } },
        },
      },
    },
  },
};

function health(description: string, words: readonly string[], more: Readonly<Record<string, Schema>> = {}): Response {
  const properties = { status: { type: 'string', enum: words }, ...more };
  return {
    description,
    headers: { 'X-Correlation-Id': { $ref: '#/components/headers/CorrelationId' } },
    ...content({ type: 'object', properties, required: Object.keys(properties) }),
  };
}
