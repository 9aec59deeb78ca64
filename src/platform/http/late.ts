import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { DescMethod } from '@bufbuild/protobuf';
import { AppError } from '../../errors.js';
import { toConnectError } from '../rpc/connect-error.js';
import type { Service } from '../rpc/methods.js';
import { letGo } from './let-go.js';
import type { StreamFacts, Streaming } from './overdue.js';
import { correlationIdOf } from './requests.js';
import { restErrorBody } from './rest-error.js';
import { trailersOf } from './rpc/refuse.js';

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

/** What connect-node serves where it is not answered directly. */
const streamType = /^application\/(?:grpc|connect\+)/;

/**
 * Answers an HTTP/2 stream whose request does not get whole, and ends it. Connect's clients know 408 for what it is. A stream that
 * connect-node reads is reset: it would still try to answer, and complain on stderr that somebody has done so.
 */
export function answerLate(stream: ServerHttp2Stream, { headers, direct }: StreamFacts): void {
  const correlationId = correlationIdOf(headers['x-correlation-id']);
  const error = new AppError('deadline_exceeded', 'The request took too long to arrive.');
  const type = headers['content-type'] ?? '';
  stream.on('error', () => stream.destroy());
  if (!direct && streamType.test(type)) {
    stream.close(constants.NGHTTP2_CANCEL);
    return void stream.destroy();
  }
  if (direct) {
    const trailers = Object.fromEntries(trailersOf(toConnectError(error, correlationId)));
    stream.respond(
      { ':status': 200, 'content-type': type, 'x-correlation-id': correlationId, ...trailers },
      { endStream: true },
    );
  } else {
    const head = { 'content-type': 'application/json; charset=utf-8', 'x-correlation-id': correlationId };
    stream.respond({ ':status': 408, ...head });
    stream.end(restErrorBody(error, correlationId));
  }
  letGo(stream);
}
