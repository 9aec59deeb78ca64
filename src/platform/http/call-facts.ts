import type { IncomingHttpHeaders } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, hungUp } from '../../errors.js';
import type { Credentials } from '../auth/principal.js';
import type { Transport } from '../metrics.js';
import {
  type Admission,
  type CallFacts,
  type CallLife,
  type Keyed,
  replayedHeader,
  type Source,
  type Way,
} from '../rpc/call.js';
import type { Dispatch, Door } from '../rpc/dispatch.js';
import { heldOf } from './in-flight.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set as soon as the caller has been let in. */
    admission: Admission | undefined;
    /** Of a call that has been let in: the method. */
    door: Door | undefined;
    /** What it was answered with, where that is an error. */
    fault: AppError | undefined;
  }
}

/** Only proxies send these. */
const forwardHeaders = ['forwarded', 'x-forwarded-for', 'x-real-ip'] as const;

/** What a request's head tells about its caller. */
export function credentialsOf(
  headers: IncomingHttpHeaders,
  remoteAddress: string | undefined,
  ticket?: string,
): Credentials {
  return {
    authorization: headers.authorization,
    ticket,
    remoteAddress,
    forwarded: forwardHeaders.some((name) => headers[name] !== undefined),
  };
}

export function traceparentOf({ traceparent }: IncomingHttpHeaders): string | undefined {
  return typeof traceparent === 'string' ? traceparent : undefined;
}

/** By which way a request came, and what it was found to be for. */
export function routeOf({ target, routeOptions, headers }: FastifyRequest): {
  transport: Transport;
  route: string | undefined;
} {
  if (target !== undefined) return { transport: target.entry.transport, route: target.entry.template.source };
  const route = routeOptions.url;
  if (route === undefined || route === '*') return { transport: 'rest', route: undefined };
  const type = headers['content-type'] ?? '';
  if (type.startsWith('application/grpc-web')) return { transport: 'grpc-web', route };
  return { transport: type.startsWith('application/grpc') ? 'grpc' : 'connect', route };
}

function wayOf(request: FastifyRequest): Way | undefined {
  const { transport, route } = routeOf(request);
  return route === undefined ? undefined : { transport, route, httpMethod: request.target && request.raw.method };
}

/** What is known of a call that comes as an HTTP request when its head is there. */
export function callFactsOf(request: FastifyRequest, source: Source, ticket?: string): CallFacts {
  const { id, raw } = request;
  return {
    source,
    correlationId: id,
    traceparent: traceparentOf(raw.headers),
    way: wayOf(request),
    credentials: credentialsOf(raw.headers, raw.socket.remoteAddress, ticket),
  };
}

export function callLifeOf(reply: FastifyReply, timeoutMs?: number): CallLife {
  return {
    timeoutMs,
    onGone: (gone) => {
      if (reply.raw.destroyed) gone();
      else reply.raw.once('close', () => wasCut(reply) && gone());
    },
    keyed: keyedOf(reply.request.raw.headers, (name) => void reply.header(name, 'true')),
  };
}

/** `tell` sets a header of the answer to `true`. */
export function keyedOf(headers: IncomingHttpHeaders, tell: (header: string) => void): Keyed | undefined {
  const key = headers['idempotency-key'];
  // Sent twice they come as one, joined by a comma.
  return key === undefined ? undefined : { key: String(key), onReplayed: () => tell(replayedHeader) };
}

/** The admission of a request that has been let in; nothing is served without. */
export function admissionOf({ admission }: FastifyRequest): Admission {
  if (admission === undefined) throw new Error('a call that nobody has let in');
  return admission;
}

/** Tells of a call that has been let in and has never begun, when its answer has closed. */
export function tellUnbegun(request: FastifyRequest, reply: FastifyReply, dispatch: Dispatch): void {
  const { admission, door } = request;
  if (admission === undefined || door === undefined) return;
  dispatch.neverBegan(door, admission, () => {
    const unread = (): AppError => new AppError('invalid_request', 'The message cannot be read.');
    return request.fault ?? heldOf(request.raw).failure ?? (wasCut(reply) ? hungUp() : unread());
  });
}

/** Whether an answer whose connection or stream has closed was cut short. */
export function wasCut(reply: FastifyReply): boolean {
  const { stream } = reply.raw as { readonly stream?: ServerHttp2Stream };
  // Node ends the writing side of an HTTP/2 stream that is reset, so that it looks as if everything had been sent.
  return stream?.aborted ?? !reply.raw.writableFinished;
}
