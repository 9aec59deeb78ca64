import type { OutgoingHttpHeaders } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ConnectError } from '@connectrpc/connect';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import {
  codeToHttpStatus,
  contentTypeStreamRegExp,
  endStreamFlag,
  endStreamToJson,
  errorToJsonBytes,
} from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerSerialize } from '@connectrpc/connect/protocol-grpc-web';
import { letGo } from '../let-go.js';

/**
 * Answers an RPC with an error before anything of its message has been read, in the words of the protocol that it is asked by:
 * gRPC (trailers only), gRPC-Web, a stream of Connect, or a unary call of Connect.
 */
export function refuseRpc(error: ConnectError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const type = request.headers['content-type'] ?? '';
  if (type.startsWith('application/grpc-web')) {
    const trailer = trailerSerialize(trailersOf(error));
    return reply
      .code(200)
      .header('content-type', type)
      .send(Buffer.from(encodeEnvelope(trailerFlag, trailer)));
  }
  if (type.startsWith('application/grpc')) return sendTrailersOnly(type, error, reply);
  if (contentTypeStreamRegExp.test(type)) {
    const end = new TextEncoder().encode(JSON.stringify(endStreamToJson(error.metadata, error, undefined)));
    return reply
      .code(200)
      .header('content-type', type)
      .send(Buffer.from(encodeEnvelope(endStreamFlag, end)));
  }
  return sendUnaryError(error, reply);
}

/** With the end of the stream in the same frame, by which clients such as grpc-js know that these headers are the trailers. */
function sendTrailersOnly(type: string, error: ConnectError, reply: FastifyReply): FastifyReply {
  const trailers = { 'content-type': type, ...Object.fromEntries(trailersOf(error)) };
  const { stream } = reply.raw as { readonly stream?: ServerHttp2Stream };
  if (stream === undefined) return reply.code(200).headers(trailers).send();
  reply.hijack();
  if (stream.destroyed) return reply;
  stream.respond({ ':status': 200, ...(reply.getHeaders() as OutgoingHttpHeaders), ...trailers }, { endStream: true });
  letGo(stream);
  return reply;
}

/** The answer of Connect to a unary call. */
export function sendUnaryError(error: ConnectError, reply: FastifyReply): FastifyReply {
  return reply
    .code(codeToHttpStatus(error.code))
    .header('content-type', 'application/json')
    .send(Buffer.from(errorToJsonBytes(error, undefined)));
}

/** The error as gRPC's trailers. */
export function trailersOf(error: ConnectError): Headers {
  const trailers = setTrailerStatus(new Headers(), error);
  trailers.set('grpc-message', percentEncoded(error.rawMessage));
  for (const name of ['grpc-message', 'grpc-status-details-bin']) {
    const bound = boundTrailer(name, trailers.get(name) ?? '');
    if (bound === '') trailers.delete(name);
    else trailers.set(name, bound);
  }
  return trailers;
}

/** Most bytes of a trailer: the whole head that many clients take is 8 or 16 KiB. */
const maxTrailerBytes = 4096;

/** What may be sent of a trailer: of a longer message its beginning, of longer details nothing, which would be none when cut. */
export function boundTrailer(name: string, value: string): string {
  if (value.length <= maxTrailerBytes) return value;
  if (name !== 'grpc-message') return name === 'grpc-status-details-bin' ? '' : value;
  return value.slice(0, maxTrailerBytes).replace(/%.?$/, '');
}

/**
 * As the protocol has it: printable ASCII stays. connect-node encodes all that encodeURIComponent does, which some clients, such
 * as grpc-js, show to people as it came.
 */
function percentEncoded(text: string): string {
  const bytes = Buffer.from(text);
  let encoded = '';
  bytes.forEach((byte, index) => {
    // HTTP cuts blanks off the ends of a header.
    const atEnd = index === 0 || index === bytes.length - 1;
    const plain = byte >= (atEnd ? 0x21 : 0x20) && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  });
  return encoded;
}
