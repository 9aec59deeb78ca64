import { isUtf8 } from 'node:buffer';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, invalidField, messageOf } from '../../../errors.js';
import type { Plain } from '../../rpc/codec.js';
import type { Dispatch, Door } from '../../rpc/dispatch.js';
import { quotaHeaders } from '../answer-headers.js';
import { admissionOf, callFactsOf, callLifeOf } from '../call-facts.js';
import { heldOf } from '../in-flight.js';
import { type Bind, createBind } from './bind.js';
import { eventStreamHandle, type EventStreamOptions } from './event-stream.js';
import { fieldWriter, restJson } from './rest-json.js';
import { createRouter } from './router.js';
import type { Route } from './routes.js';
import { parseTemplate, type Template } from './template.js';

/** A path that is no method of a service, such as `/healthz`. */
export interface PlainRoute {
  readonly method: string;
  readonly path: string;
  /** What a caller needs to be let in; `nothing`: anybody may ask. */
  readonly access: { readonly scope: string } | 'nothing';
  handle(request: FastifyRequest, reply: FastifyReply): unknown;
}

export type Handle = (
  request: FastifyRequest,
  reply: FastifyReply,
  segments: readonly string[],
  query: string,
) => unknown;

interface Entry {
  readonly method: string;
  readonly template: Template;
  /** Undefined: open to anybody. */
  readonly door: Door | undefined;
  /** Whether a method answers it, by the dispatch. */
  readonly isCall: boolean;
  readonly transport: 'rest' | 'sse';
  readonly handle: Handle;
}

/** What a request is for, as its head tells. */
interface Target {
  readonly entry: Entry;
  readonly segments: readonly string[];
  readonly query: string;
}

declare module 'fastify' {
  interface FastifyRequest {
    target: Target | undefined;
  }
}

export interface Gateway {
  /** Finds what a request is for and lets its caller in, before its body is read. */
  enter(request: FastifyRequest, reply: FastifyReply): Promise<void>;
  handle(request: FastifyRequest, reply: FastifyReply): unknown;
}

/**
 * Answers every request that is no RPC path: by the route table, with 404, 405 and OPTIONS told from the same table.
 * Throws when two routes clash.
 */
export function createGateway(
  routes: readonly Route[],
  plain: readonly PlainRoute[],
  dispatch: Dispatch,
  streams: EventStreamOptions,
): Gateway {
  const entries: Entry[] = [
    ...routes.map((route) => ({
      method: route.method,
      template: route.template,
      door: route.rpc,
      isCall: true,
      transport: route.stream === undefined ? ('rest' as const) : ('sse' as const),
      handle: handleOf(route, dispatch, streams),
    })),
    ...plain.map(({ method, path, access, handle }) => ({
      method,
      template: parseTemplate(path),
      transport: 'rest' as const,
      isCall: false,
      door: access === 'nothing' ? undefined : { path, scope: access.scope, writes: false },
      handle: (request: FastifyRequest, reply: FastifyReply) => handle(request, reply),
    })),
  ];
  const router = createRouter(entries);

  return {
    async enter(request, reply) {
      const url = originForm(request.raw.url ?? '/');
      const cut = url.indexOf('?');
      const path = cut < 0 ? url : url.slice(0, cut);
      const method = request.raw.method ?? 'GET';
      const reads = method === 'GET' || method === 'HEAD';
      const found = router.find(method === 'HEAD' ? 'GET' : method, path);
      if (found.kind === 'unknown') throw new AppError('not_found', `No such path: ${path}`);
      if (found.kind === 'wrong_method') {
        const allow = allowOf(found.allow);
        void reply.header('allow', allow);
        if (method === 'OPTIONS') return void reply.code(204).send();
        throw new AppError('method_not_allowed', `${path} takes ${allow}`, { details: { allow: allow.split(', ') } });
      }
      const { route: entry, segments } = found;
      const { ticket, query } = ticketOf(cut < 0 || !reads ? '' : url.slice(cut + 1));
      request.target = { entry, segments, query: reads ? query : cut < 0 ? '' : url.slice(cut + 1) };
      if (entry.door !== undefined) {
        request.admission = await dispatch.admit(entry.door, callFactsOf(request, 'Rest', ticket));
        void reply.headers(quotaHeaders(request.admission.quota));
      }
    },
    handle(request, reply) {
      const { target } = request;
      if (target === undefined) throw new Error('a request that has not entered');
      return target.entry.handle(request, reply, target.segments, target.query);
    },
  };
}

/** A reader that cannot set headers, such as EventSource, brings its ticket in the query; the path's own fields are the rest. */
export function ticketOf(query: string): { readonly ticket: string | undefined; readonly query: string } {
  if (!query.includes('ticket=')) return { ticket: undefined, query };
  const pairs = query.split('&');
  const ticket = pairs.find((pair) => pair.startsWith('ticket='));
  return {
    ticket: ticket?.slice('ticket='.length),
    query: pairs.filter((pair) => pair !== ticket).join('&'),
  };
}

/** A target may come with its host, as for a proxy (RFC 9112, 3.2.2). */
function originForm(target: string): string {
  return target.startsWith('/') ? target : target.replace(/^https?:\/\/[^/?#]*/i, '');
}

function handleOf(route: Route, dispatch: Dispatch, streams: EventStreamOptions): Handle {
  if (route.stream === undefined) return rpcHandle(route, dispatch);
  return route.websocket ? upgradeRequired : eventStreamHandle(route, route.stream, streams);
}

/** A request that asks for a WebSocket never comes here. */
function upgradeRequired(_request: FastifyRequest, reply: FastifyReply): never {
  void reply.header('upgrade', 'websocket');
  throw invalidField('Upgrade', 'must be websocket');
}

function allowOf(methods: readonly string[]): string {
  const all = new Set(['OPTIONS', ...methods, ...(methods.includes('GET') ? ['HEAD'] : [])]);
  return [...all].sort().join(', ');
}

const jsonType = 'application/json; charset=utf-8';

function rpcHandle(route: Route, dispatch: Dispatch): Handle {
  const bind: Bind = createBind(route);
  const write = answerWriter(route);
  const locate = locationWriter(route);
  const pageField = route.rpc.desc.output.fields.find((field) => field.name === 'next_cursor');
  const { rpc, status } = route;
  return async (request, reply, segments, query) => {
    const input = bind(segments, query, bodyOf(request));
    const output = await dispatch.unary(rpc, input, admissionOf(request), callLifeOf(reply));
    void reply.code(status).header('content-type', jsonType);
    if (locate !== undefined) void reply.header('location', locate(output));
    const cursor = pageField === undefined ? undefined : output[pageField.localName];
    if (typeof cursor === 'string') void reply.header('link', nextLink(request.raw.url ?? '', cursor));
    const text = write(output);
    heldOf(request.raw).answer(text.length, rpc);
    return reply.send(text);
  };
}

function answerWriter({ answer, rpc }: Route): (output: Plain) => string {
  if (answer === undefined) {
    const json = restJson(rpc.desc.output);
    return (output) => json.write(output);
  }
  const write = fieldWriter(answer);
  return (output) => write(output[answer.localName]);
}

/** The path of what has been created. */
function locationWriter({ location, answer, rpc }: Route): ((output: Plain) => string) | undefined {
  if (location === undefined) return undefined;
  const fields = (answer?.message ?? rpc.desc.output).fields;
  const parts = location.segments.map((segment, index) => {
    if (segment.kind === 'literal') return { text: segment.text, field: undefined };
    const variable = location.variables.find(({ first }) => first === index);
    return { text: '', field: fields.find((candidate) => candidate.name === variable?.field[0])?.localName ?? '' };
  });
  return (output) => {
    const created = (answer === undefined ? output : output[answer.localName]) as Plain;
    let path = '';
    for (const { text, field } of parts) {
      path += field === undefined ? `/${text}` : `/${encodeURIComponent(String(created[field]))}`;
    }
    return path;
  };
}

function nextLink(url: string, cursor: string): string {
  const cut = url.indexOf('?');
  const path = cut < 0 ? url : url.slice(0, cut);
  const pairs = url
    .slice(path.length + 1)
    .split('&')
    .filter((pair) => pair !== '' && !pair.startsWith('cursor='));
  return `<${path}?${[...pairs, `cursor=${encodeURIComponent(cursor)}`].join('&')}>; rel="next"`;
}

/** Of a body that is no JSON by what its head says. */
export function wrongType(type: string): AppError {
  return new AppError('unsupported_media_type', `Content-Type: must be application/json, not ${type || 'empty'}`);
}

/** The request's JSON, or undefined without a body. */
function bodyOf(request: FastifyRequest): unknown {
  const body = request.body as Buffer | undefined;
  if (body === undefined || body === null || body.length === 0) return undefined;
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    throw new AppError('unsupported_media_type', `Content-Encoding: must be identity, not ${encoding}`);
  }
  const type = request.headers['content-type'];
  if (type !== undefined && !/^application\/json\s*(;|$)/i.test(type)) throw wrongType(type);
  if (!isUtf8(body)) throw new AppError('invalid_request', 'The body is not UTF-8.');
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new AppError('invalid_request', `The body is not JSON: ${messageOf(error)}`);
  }
}
