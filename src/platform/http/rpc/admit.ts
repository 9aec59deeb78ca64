import type { FastifyReply, FastifyRequest } from 'fastify';
import { rpcSourceOf, sourceHeader } from '../../rpc/call.js';
import { toConnectError } from '../../rpc/connect-error.js';
import type { Dispatch } from '../../rpc/dispatch.js';
import type { Service } from '../../rpc/methods.js';
import { errorHeaders, quotaHeaders } from '../answer-headers.js';
import { announcedBytes } from '../body.js';
import { callFactsOf } from '../call-facts.js';
import { heldOf } from '../in-flight.js';
import { type Deadline, deadlineOf, enforceWhileReading } from './deadline.js';
import { refuseRpc } from './refuse.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Of an RPC call. */
    deadline: Deadline | undefined;
  }
}

export interface AdmitOptions {
  readonly maxMessageBytes: number;
  readonly maxTimeoutMs: number;
}

/** Lets the callers of RPC paths in, or answers why not, before anything of a message has been read. */
export function createAdmit(
  services: readonly Service[],
  dispatch: Dispatch,
  { maxMessageBytes, maxTimeoutMs }: AdmitOptions,
) {
  const methods = new Map(services.flatMap((service) => service.methods).map((method) => [method.path, method]));
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    const method = methods.get(request.routeOptions.url ?? '');
    if (method === undefined) return undefined;
    const { headers } = request.raw;
    const deadline = deadlineOf(headers, maxTimeoutMs);
    const facts = callFactsOf(request, rpcSourceOf(request.headers[sourceHeader]));
    try {
      request.admission = await dispatch.admit(method, facts);
      void reply.headers(quotaHeaders(request.admission.quota));
      request.door = method;
      const held = heldOf(request.raw);
      held.announce(isPackedQuery(request.raw.url) ? maxMessageBytes : announcedBytes(headers, maxMessageBytes));
      if (deadline.error !== undefined) throw deadline.error;
      request.deadline = deadline;
      reply.raw.once('close', enforceWhileReading(deadline, held));
      return undefined;
    } catch (error) {
      const known = (request.fault = dispatch.fault(error, method, facts));
      void reply.headers(errorHeaders(known));
      return refuseRpc(toConnectError(known, request.id), request, reply);
    }
  };
}

/** A message that is read by GET may come packed as well; it is unpacked where nobody can count what comes of it. */
function isPackedQuery(url = ''): boolean {
  return /[?&]compression=(?!identity(?:&|$))[^&]/.test(url);
}
