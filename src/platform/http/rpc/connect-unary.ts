import type { FastifyReply, FastifyRequest } from 'fastify';
import { fromBinary, fromJsonString, type Message, toBinary, toJsonString } from '@bufbuild/protobuf';
import { AppError, messageOf } from '../../../errors.js';
import { toConnectError } from '../../rpc/connect-error.js';
import type { Dispatch } from '../../rpc/dispatch.js';
import { type CheckEnumNames, enumNamesCheckOf } from '../../rpc/enum-names.js';
import { binaryReadOptions, jsonReadOptions } from '../../rpc/limits.js';
import type { Method, Service } from '../../rpc/methods.js';
import { errorHeaders } from '../answer-headers.js';
import { readBody } from '../body.js';
import { admissionOf, callLifeOf } from '../call-facts.js';
import { heldOf } from '../in-flight.js';
import { timeLeft } from './deadline.js';
import { sendUnaryError } from './refuse.js';

export interface ConnectUnaryDeps {
  readonly services: readonly Service[];
  readonly dispatch: Dispatch;
  readonly maxMessageBytes: number;
}

type Format = 'json' | 'proto';

interface Unary {
  readonly method: Method;
  readonly checkNames: CheckEnumNames | undefined;
}

/**
 * Unary Connect by POST without compression, for the same reason as grpc-unary.ts. Answers undefined for everything else,
 * which goes to connect-node.
 */
export function createConnectUnary(deps: ConnectUnaryDeps) {
  const methods = new Map<string, Unary>();
  for (const method of deps.services.flatMap((service) => service.methods)) {
    if (method.desc.methodKind !== 'unary') continue;
    methods.set(method.path, { method, checkNames: enumNamesCheckOf(method.desc.input) });
  }
  return (request: FastifyRequest, reply: FastifyReply): Promise<unknown> | undefined => {
    const { headers, method: verb } = request.raw;
    const format = formatOf(headers['content-type']);
    const encoding = headers['content-encoding'];
    const version = headers['connect-protocol-version'];
    if (verb !== 'POST' || format === undefined) return undefined;
    if (encoding !== undefined && encoding !== 'identity') return undefined;
    if (version !== undefined && version !== '1') return undefined;
    const unary = methods.get(request.routeOptions.url ?? '');
    return unary && answer(deps, unary, format, request, reply);
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
  unary: Unary,
  format: Format,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const { maxMessageBytes } = deps;
  const { method } = unary;
  try {
    const { deadline } = request;
    if (deadline?.error !== undefined) return sendUnaryError(deadline.error, reply);
    const body = await readBody(request.raw, maxMessageBytes, `A message may have ${maxMessageBytes} bytes.`);
    const input = method.input.decode(readMessage(unary, format, body));
    const life = callLifeOf(reply, timeLeft(deadline));
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

function readMessage({ method, checkNames }: Unary, format: Format, body: Buffer): Message {
  if (format === 'proto') return decoded(() => fromBinary(method.desc.input, body, binaryReadOptions));
  const text = textOf(body);
  const message = decoded(() => fromJsonString(method.desc.input, text, jsonReadOptions));
  checkNames?.(text);
  return message;
}

function decoded(decode: () => Message): Message {
  try {
    return decode();
  } catch (error) {
    throw new AppError('invalid_request', `The message cannot be decoded: ${messageOf(error)}`);
  }
}

/** Without the byte order mark that some clients begin with. */
function textOf(body: Buffer): string {
  const text = body.toString('utf8');
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}
