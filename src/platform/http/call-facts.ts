import type { IncomingHttpHeaders } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Credentials } from '../auth/principal.js';
import { type Admission, type CallFacts, type CallLife, type Keyed, replayedHeader, type Source } from '../rpc/call.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set as soon as the caller has been let in. */
    admission: Admission | undefined;
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

/** What is known of a call that comes as an HTTP request when its head is there. */
export function callFactsOf({ id, raw }: FastifyRequest, source: Source, ticket?: string): CallFacts {
  return {
    source,
    correlationId: id,
    traceparent: traceparentOf(raw.headers),
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

/** Whether an answer whose connection or stream has closed was cut short. */
export function wasCut(reply: FastifyReply): boolean {
  const { stream } = reply.raw as { readonly stream?: ServerHttp2Stream };
  // Node ends the writing side of an HTTP/2 stream that is reset, so that it looks as if everything had been sent.
  return stream?.aborted ?? !reply.raw.writableFinished;
}
