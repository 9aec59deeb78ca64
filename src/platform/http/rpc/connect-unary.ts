import type { FastifyReply, FastifyRequest } from 'fastify';
import { toBinary, toJsonString } from '@bufbuild/protobuf';
import { toConnectError } from '../../rpc/connect-error.js';
import type { Dispatch } from '../../rpc/dispatch.js';
import type { Method, Service } from '../../rpc/methods.js';
import { type Format, readMessage } from '../../rpc/read-message.js';
import { errorHeaders } from '../answer-headers.js';
import { messageTooLarge, readBody } from '../body.js';
import { admissionOf, callLifeOf } from '../call-facts.js';
import { heldOf } from '../in-flight.js';
import { timeLeft } from './deadline.js';
import { sendUnaryError } from './refuse.js';

export interface ConnectUnaryDeps {
  readonly services: readonly Service[];
  readonly dispatch: Dispatch;
  readonly maxMessageBytes: number;
}

/**
 * Unary Connect by POST without compression, for the same reason as grpc-unary.ts. Answers undefined for everything else,
 * which goes to connect-node.
 */
export function createConnectUnary(deps: ConnectUnaryDeps) {
  const methods = new Map<string, Method>();
  for (const method of deps.services.flatMap((service) => service.methods)) {
    if (method.desc.methodKind === 'unary') methods.set(method.path, method);
  }
  return (request: FastifyRequest, reply: FastifyReply): Promise<unknown> | undefined => {
    const { headers, method: verb } = request.raw;
    const format = formatOf(headers['content-type']);
    const encoding = headers['content-encoding'];
    const version = headers['connect-protocol-version'];
    if (verb !== 'POST' || format === undefined) return undefined;
    if (encoding !== undefined && encoding !== 'identity') return undefined;
    if (version !== undefined && version !== '1') return undefined;
    const method = methods.get(request.routeOptions.url ?? '');
    return method && answer(deps, method, format, request, reply);
  };
}

function formatOf(contentType: string | undefined): Format | undefined {
  switch (contentType) {
    case 'application/json':
    case 'application/json; charset=utf-8':
      return 'json';
    case 'application/proto':
      return 'proto';
    case undefined:
    default:
      return undefined;
  }
}

async function answer(
  deps: ConnectUnaryDeps,
  method: Method,
  format: Format,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { maxMessageBytes } = deps;
  try {
    const body = await readBody(request.raw, maxMessageBytes, messageTooLarge(maxMessageBytes));
    const input = method.input.decode(readMessage(method.desc.input, format, body));
    const life = callLifeOf(reply, timeLeft(request.deadline));
    const message = method.output.encode(await deps.dispatch.unary(method, input, admissionOf(request), life));
    void reply.header('content-type', `application/${format}`);
    // Bytes in both formats: to text Fastify would add a charset.
    const bytes = Buffer.from(
      format === 'json' ? toJsonString(method.desc.output, message) : toBinary(method.desc.output, message),
    );
    heldOf(request.raw).answer(bytes.length, method);
    return reply.send(bytes);
  } catch (error) {
    const known = (request.fault = deps.dispatch.fault(error, method, { correlationId: request.id }));
    void reply.headers(errorHeaders(known));
    return sendUnaryError(toConnectError(known, request.id), reply);
  }
}
