import type { ServerHttp2Stream } from 'node:http2';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { CallInit, Source } from '../rpc/call.js';

/** What a call that came as an HTTP request tells of itself. */
export function callInitOf(request: FastifyRequest, reply: FastifyReply, source: Source, timeoutMs?: number): CallInit {
  const { raw } = request;
  return {
    source,
    correlationId: request.id,
    credentials: { authorization: raw.headers.authorization, remoteAddress: raw.socket.remoteAddress },
    timeoutMs,
    onGone: (gone) => {
      if (reply.raw.destroyed) gone();
      else reply.raw.once('close', () => wasCut(reply) && gone());
    },
  };
}

/** Whether an answer whose connection or stream has closed was cut short. */
export function wasCut(reply: FastifyReply): boolean {
  const { stream } = reply.raw as { readonly stream?: ServerHttp2Stream };
  // Node ends the writing side of an HTTP/2 stream that is reset, so that it looks as if everything had been sent.
  return stream?.aborted ?? !reply.raw.writableFinished;
}
