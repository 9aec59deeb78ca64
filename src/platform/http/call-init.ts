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
      else reply.raw.once('close', () => !reply.raw.writableFinished && gone());
    },
  };
}
