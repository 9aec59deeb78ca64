import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { DescMethod } from '@bufbuild/protobuf';
import { AppError } from '../../errors.js';
import type { Service } from '../rpc/methods.js';
import { heldOf } from './in-flight.js';
import { letGo } from './let-go.js';
import type { StreamFacts, Streaming } from './overdue.js';
import { correlationIdOf } from './requests.js';
import { restErrorBody } from './rest-error.js';

/** Tells what may last of a call. */
export function createStreamingOf(services: readonly Service[]): (headers: IncomingHttpHeaders) => Streaming {
  const byPath = new Map(
    services.flatMap(({ methods }) => methods).map(({ path, desc }) => [path, streamingOf(desc.methodKind)]),
  );
  return (headers) => byPath.get(headers[':path'] ?? '') ?? 'none';
}

function streamingOf(kind: DescMethod['methodKind']): Streaming {
  if (kind === 'unary') return 'none';
  return kind === 'server_streaming' ? 'answer' : 'both';
}

/** What has a word of its own for it: every gRPC, and streams of Connect. */
const streamType = /^application\/(?:grpc|connect\+)/;

/**
 * Answers an HTTP/2 stream whose request does not get whole. Connect's clients know 408 for what it is; where the protocol has a better
 * word, whoever reads the request says it.
 */
export function answerLate(stream: ServerHttp2Stream, { headers }: StreamFacts): void {
  const correlationId = correlationIdOf(headers['x-correlation-id']);
  const error = new AppError('deadline_exceeded', 'The request took too long to arrive.');
  if (streamType.test(headers['content-type'] ?? '')) return heldOf(stream).fail(error);
  stream.on('error', () => stream.destroy());
  const head = { 'content-type': 'application/json; charset=utf-8', 'x-correlation-id': correlationId };
  stream.respond({ ':status': 408, ...head });
  stream.end(restErrorBody(error, correlationId));
  letGo(stream);
}
