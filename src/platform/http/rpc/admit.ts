import type { FastifyReply, FastifyRequest } from 'fastify';
import { rpcSourceOf, sourceHeader } from '../../rpc/call.js';
import { toConnectError } from '../../rpc/connect-error.js';
import type { Dispatch } from '../../rpc/dispatch.js';
import type { Service } from '../../rpc/methods.js';
import { errorHeaders, quotaHeaders } from '../answer-headers.js';
import { callFactsOf } from '../call-facts.js';
import { refuseRpc } from './refuse.js';

/** Lets the callers of RPC paths in, or answers why not, before anything of a message has been read. */
export function createAdmit(services: readonly Service[], dispatch: Dispatch) {
  const methods = new Map(services.flatMap((service) => service.methods).map((method) => [method.path, method]));
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    const method = methods.get(request.routeOptions.url ?? '');
    if (method === undefined) return undefined;
    const facts = callFactsOf(request, rpcSourceOf(request.headers[sourceHeader]));
    try {
      request.admission = await dispatch.admit(method, facts);
      void reply.headers(quotaHeaders(request.admission.quota));
      return undefined;
    } catch (error) {
      const known = dispatch.fault(error, method, facts);
      void reply.headers(errorHeaders(known));
      return refuseRpc(toConnectError(known, request.id), request, reply);
    }
  };
}
