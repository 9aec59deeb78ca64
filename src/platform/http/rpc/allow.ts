import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Method, Service } from '../../rpc/methods.js';

/** Tells on RPC paths which HTTP methods they take; connect-node answers 405 without saying so. */
export function createAllow(services: readonly Service[]): (request: FastifyRequest, reply: FastifyReply) => void {
  const allowed = new Map(
    services.flatMap((service) => service.methods).map((method) => [method.path, httpMethodsOf(method)]),
  );
  return (request, reply) => {
    const allow = allowed.get(request.routeOptions.url ?? '');
    if (allow?.includes(request.method) === false) void reply.header('allow', allow.join(', '));
  };
}

/** Connect reads by GET what has no side effects. */
function httpMethodsOf({ desc }: Method): readonly string[] {
  const readable = desc.methodKind === 'unary' && desc.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  return readable ? ['GET', 'POST'] : ['POST'];
}
