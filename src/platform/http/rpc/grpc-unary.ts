import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { AppError, messageOf, hungUp } from '../../../errors.js';
import { toConnectError, withInfo } from '../../rpc/connect-error.js';
import { type Admission, type CallFacts, type CallLife, rpcSourceOf, sourceHeader } from '../../rpc/call.js';
import type { Dispatch } from '../../rpc/dispatch.js';
import type { Method, Service } from '../../rpc/methods.js';
import { readMessage } from '../../rpc/read-message.js';
import { type AnswerHeaders, errorHeaders, quotaHeaders } from '../answer-headers.js';
import { credentialsOf, keyedOf, traceparentOf } from '../call-facts.js';
import { announcedBytes } from '../body.js';
import type { CheckHost } from '../hosts.js';
import { type Held, heldOf } from '../in-flight.js';
import { letGo } from '../let-go.js';
import type { StreamListener } from '../intercept.js';
import { correlationIdOf, type LogRequest } from '../requests.js';
import { deadlineOf, enforceWhileReading, timeLeft } from './deadline.js';
import { trailersOf } from './refuse.js';

export interface GrpcUnaryDeps {
  readonly services: readonly Service[];
  readonly dispatch: Dispatch;
  readonly checkHost: CheckHost;
  readonly logRequest: LogRequest;
  readonly maxMessageBytes: number;
  readonly maxTimeoutMs: number;
}

const prefixBytes = 5;

/**
 * Unary gRPC without compression, straight on the HTTP/2 stream. The general handler of connect-node passes every call
 * through web streams, header objects and a chain of async generators, which takes four fifths of a small call's time
 * (docs/benchmarks.md). Whatever is not plain unary gRPC (streams, compression, gRPC-Web, Connect) is left to it.
 */
export function createGrpcUnary(deps: GrpcUnaryDeps): StreamListener {
  const methods = new Map<string, Method>();
  for (const method of deps.services.flatMap((service) => service.methods)) {
    if (method.desc.methodKind === 'unary') methods.set(method.path, method);
  }
  return (stream, headers, remoteAddress) => {
    const type = headers['content-type'];
    if (type !== 'application/grpc' && type !== 'application/grpc+proto') return false;
    const encoding = headers['grpc-encoding'];
    if (encoding !== undefined && encoding !== 'identity') return false;
    const method = methods.get(headers[':path'] ?? '');
    if (method === undefined || headers[':method'] !== 'POST') return false;
    serve(deps, method, stream, headers, remoteAddress);
    return true;
  };
}

function serve(
  deps: GrpcUnaryDeps,
  method: Method,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  remoteAddress: string | undefined,
): void {
  const correlationId = correlationIdOf(headers['x-correlation-id']);
  const held = heldOf(stream);
  const deadline = deadlineOf(headers, deps.maxTimeoutMs);
  const end = deps.logRequest('POST', method.path, correlationId);
  let isOver = false;
  const ended = (status: number | string): void => {
    if (isOver) return;
    isOver = true;
    end(status, 'grpc', method.path);
  };
  let answerHeaders: OutgoingHttpHeaders = {
    ':status': 200,
    'content-type': headers['content-type'],
    'x-correlation-id': correlationId,
  };

  const fail = (error: ConnectError, more: AnswerHeaders = {}): void => {
    ended(error.code);
    if (stream.destroyed || stream.headersSent) return;
    stream.respond({ ...answerHeaders, ...more, ...Object.fromEntries(trailersOf(error)) }, { endStream: true });
    letGo(stream);
  };
  const refuse = (error: AppError): void => fail(toConnectError(error, correlationId), errorHeaders(error));

  const succeed = (message: Uint8Array): void => {
    ended(stream.aborted ? 'aborted' : 0);
    if (stream.destroyed) return;
    stream.respond(answerHeaders, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(frame(message));
  };

  const run = async (admission: Admission, body: Buffer): Promise<void> => {
    try {
      const life: CallLife = {
        timeoutMs: timeLeft(deadline),
        onGone: (gone) => {
          if (stream.aborted) gone();
          else stream.once('aborted', gone);
        },
        keyed: keyedOf(headers, (name) => (answerHeaders[name] = 'true')),
      };
      const input = method.input.decode(read(method, body, deps.maxMessageBytes));
      const output = await deps.dispatch.unary(method, input, admission, life);
      const bytes = toBinary(method.desc.output, method.output.encode(output));
      held.answer(bytes.length, method);
      succeed(bytes);
    } catch (error) {
      const unread = error instanceof ConnectError ? new AppError('invalid_request', error.rawMessage) : undefined;
      const known = unread ?? deps.dispatch.fault(error, method, { correlationId });
      deps.dispatch.neverBegan(method, admission, () => known);
      if (error instanceof ConnectError) fail(withInfo(error, known, correlationId));
      else refuse(known);
    }
  };

  stream.on('error', () => stream.destroy());
  const foreign = deps.checkHost(headers[':authority'] ?? headers.host, headerText(headers['origin']) ?? undefined);
  if (foreign !== undefined) return refuse(foreign);
  const facts: CallFacts = {
    source: rpcSourceOf(headers[sourceHeader]),
    correlationId,
    traceparent: traceparentOf(headers),
    way: { transport: 'grpc', route: method.path, httpMethod: undefined },
    credentials: credentialsOf(headers, remoteAddress),
  };
  deps.dispatch.admit(method, facts).then(
    (admission) => {
      if (stream.destroyed) return ended('aborted');
      if (admission.quota !== undefined) answerHeaders = { ...answerHeaders, ...quotaHeaders(admission.quota) };
      if (deadline.error !== undefined) {
        const { error } = deadline;
        deps.dispatch.neverBegan(method, admission, () => error);
        return refuse(error);
      }
      try {
        held.announce(announcedBytes(headers, prefixBytes + deps.maxMessageBytes));
      } catch (error) {
        const known = deps.dispatch.fault(error, method, facts);
        deps.dispatch.neverBegan(method, admission, () => known);
        return refuse(known);
      }
      const clear = enforceWhileReading(deadline, held);
      stream.once('close', () => {
        clear();
        deps.dispatch.neverBegan(method, admission, hungUp);
        ended('aborted');
      });
      collect(stream, held, deps.maxMessageBytes, {
        whole(body) {
          clear();
          void run(admission, body);
        },
        failed(error) {
          deps.dispatch.neverBegan(method, admission, () => error);
          refuse(error);
        },
      });
    },
    (error: unknown) => refuse(deps.dispatch.fault(error, method, facts)),
  );
}

interface Collector {
  readonly whole: (body: Buffer) => void;
  readonly failed: (error: AppError) => void;
}

/** Gives the body on when it is whole, or so far when it is longer than one message may be. */
function collect(stream: ServerHttp2Stream, held: Held, maxBytes: number, { whole, failed }: Collector): void {
  let chunks: Buffer[] = [];
  let size = 0;
  let given = false;
  held.onFailed((error) => {
    if (given) return;
    given = true;
    chunks = [];
    failed(error);
  });
  const give = (): void => {
    if (given) return;
    given = true;
    const [first] = chunks;
    whole(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks, size));
    chunks = [];
  };
  stream.on('data', (chunk: Buffer) => {
    if (given) return;
    size += chunk.length;
    chunks.push(chunk);
    if (size > prefixBytes + maxBytes) give();
  });
  const end = (): void => {
    if (!stream.aborted) give();
  };
  // One without a body may have ended while its caller was let in.
  if (stream.readableEnded) end();
  else stream.once('end', end);
}

/** Faults below the message get the codes that gRPC's own list of status codes names, in the words of connect-node. */
function read(method: Method, body: Buffer, maxBytes: number) {
  if (body.length === 0) {
    throw new ConnectError('protocol error: missing input message for unary method', Code.Unimplemented);
  }
  if (body.length < prefixBytes) throw incomplete();
  const length = body.readUInt32BE(1);
  if (length > maxBytes) {
    throw new AppError('too_large', `message size ${length} is larger than configured readMaxBytes ${maxBytes}`, {
      details: { bytes: length, max_bytes: maxBytes },
    });
  }
  if (body.length < prefixBytes + length) throw incomplete();
  if (body[0] !== 0) {
    throw new ConnectError('received compressed envelope, but do not know how to decompress', Code.Internal);
  }
  if (body.length > prefixBytes + length) {
    throw new ConnectError('protocol error: received extra input message for unary method', Code.Unimplemented);
  }
  try {
    return readMessage(method.desc.input, 'proto', body.subarray(prefixBytes));
  } catch (error) {
    throw new ConnectError(messageOf(error), Code.Internal);
  }
}

function incomplete(): AppError {
  return new AppError('invalid_request', 'protocol error: incomplete envelope');
}

function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
  return framed;
}

function headerText(header: string | readonly string[] | undefined): string | null {
  return typeof header === 'string' ? header : null;
}
