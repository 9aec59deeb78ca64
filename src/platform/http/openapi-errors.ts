import { STATUS_CODES } from 'node:http';
import { type ErrorKind, errorKinds } from '../../errors.js';
import { errorCodes } from '../rpc/error-codes.js';
import type { Route } from './gateway/routes.js';
import type { Header, Ref, Response, Schema } from './openapi-types.js';

const errorRef: Schema = { $ref: '#/components/schemas/Error' };
const correlation = { 'X-Correlation-Id': { $ref: '#/components/headers/CorrelationId' } };

/** The body of every error; rest-error.ts writes it. */
export const errorSchema: Schema = {
  type: 'object',
  description: 'What every refusal and failure looks like.',
  properties: {
    error: { type: 'string', enum: errorKinds, description: 'What went wrong, as a word that programs can act on.' },
    code: { type: 'integer', description: 'The HTTP status.' },
    message: { type: 'string', description: 'A short description for people.' },
    details: { type: 'object', description: 'Facts for programs, such as `field`, the name of the bad field.' },
    correlation_id: { type: 'string', description: "Finds the request in the server's log." },
  },
  required: ['error', 'code', 'correlation_id'],
};

/** The components `Error400`, `Error401` and so on, each with its words, and `Error` for any of them. */
export function errorResponses(): Record<string, Response> {
  const byStatus = new Map<number, ErrorKind[]>();
  for (const kind of errorKinds) {
    const { status } = errorCodes[kind];
    byStatus.set(status, [...(byStatus.get(status) ?? []), kind]);
  }
  const sorted = [...byStatus].sort(([a], [b]) => a - b);
  const responses = Object.fromEntries(sorted.map(([status, kinds]) => [nameOf(status), response(status, kinds)]));
  return { Error: { ...answer('Any other failure.', errorRef), headers: correlation }, ...responses };
}

/**
 * The errors that a route can answer, as references. What a method's own rules refuse is told by its comment alone, so
 * these are the statuses that a path, a body and a caller can bring about; `default` stands for what is left, such as
 * the deadline of a proxy.
 */
export function errorsOf(route: Route): Record<string, Ref> {
  const takesBody = route.body !== 'none';
  const names = route.template.variables.length > 0;
  const changes = route.method !== 'GET';
  const statuses = [400, 401, 403, ...(names ? [404] : []), ...(changes ? [409] : [])];
  if (takesBody) statuses.push(413, 415);
  statuses.push(429, 500, 503);
  const refs = statuses.map((status) => [String(status), { $ref: `#/components/responses/${nameOf(status)}` }]);
  return { ...Object.fromEntries(refs), default: { $ref: '#/components/responses/Error' } };
}

function nameOf(status: number): string {
  return `Error${status}`;
}

function response(status: number, kinds: readonly ErrorKind[]): Response {
  const words = kinds.map((kind) => `\`${kind}\``).join(', ');
  const { properties, required, headers } = extras(status);
  const schema: Schema = {
    allOf: [errorRef],
    properties: { error: { type: 'string', enum: kinds }, code: { type: 'integer', const: status }, ...properties },
    ...(required && { required }),
  };
  return {
    ...answer(`${STATUS_CODES[status] ?? 'The caller hung up'}: ${words}.`, schema),
    headers: { ...correlation, ...headers },
  };
}

function answer(description: string, schema: Schema): Response {
  return { description, content: { 'application/json': { schema } } };
}

interface Extras {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly headers?: Readonly<Record<string, Header>>;
}

/** What an error of a status has besides what every error has. */
function extras(status: number): Extras {
  if (status === 405) {
    return { headers: { Allow: header('The methods that the path takes, separated by commas.', { type: 'string' }) } };
  }
  if (status !== 429) return {};
  const integer: Schema = { type: 'integer', minimum: 0 };
  return {
    properties: {
      limit: { ...integer, description: 'How many requests are allowed in the window.' },
      remaining: { ...integer, description: 'How many of them are left.' },
      reset_sec: { ...integer, description: 'Seconds until there are new ones.' },
      scope: { type: 'string', description: 'What the limit counts.' },
    },
    required: ['limit', 'remaining', 'reset_sec', 'scope'],
    headers: {
      'Retry-After': header('Seconds after which to try again.', integer),
      'RateLimit-Limit': header('As `limit` in the body.', integer),
      'RateLimit-Remaining': header('As `remaining` in the body.', integer),
      'RateLimit-Reset': header('As `reset_sec` in the body.', integer),
    },
  };
}

function header(description: string, schema: Schema): Header {
  return { description, schema };
}
