import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { type DescMessage, fromBinary, type JsonValue, type MessageShape, toJson } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { onTestFinished } from 'vitest';
import { ErrorInfoSchema } from '../../../gen/muster/v1/errors_pb.js';

/** An HTTP/2 exchange as it went over the wire. */
export interface RawStream {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The code of RST_STREAM; 0 when the stream ended well. */
  readonly reset: number;
}

/** A session for hand-made requests, closed when the test has finished. */
export function openSession(url: string): ClientHttp2Session {
  const session = connect(url);
  session.on('error', () => undefined);
  onTestFinished(() => session.destroy());
  return session;
}

/** Sends the pieces one after the other as DATA frames and reads everything that comes. */
export function exchange(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
  pieces: readonly Uint8Array[] = [],
): Promise<RawStream> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ...headers });
    let received: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on('response', (head) => (received = head));
    stream.on('trailers', (tail) => (trailers = tail));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    // A server that has answered may refuse to read on; the answer counts.
    stream.on('error', (error) => (Object.keys(received).length === 0 ? reject(error) : undefined));
    stream.once('close', () =>
      resolve({
        headers: received,
        trailers,
        body: Buffer.concat(chunks),
        reset: stream.rstCode ?? constants.NGHTTP2_NO_ERROR,
      }),
    );
    for (const piece of pieces) stream.write(piece);
    stream.end();
  });
}

/** A message with the five bytes that gRPC puts before each. */
export function framed(message: Uint8Array, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flags;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** What a gRPC answer means, in a form that can be compared: nothing of how it was framed. */
export interface Meaning {
  readonly http: number;
  readonly type: string | undefined;
  readonly correlationId: string | undefined;
  readonly status: string;
  readonly message: string;
  readonly info: JsonValue | undefined;
  readonly answer: JsonValue | undefined;
}

export function meaningOf<D extends DescMessage>(output: D, { headers, trailers, body }: RawStream): Meaning {
  const all = new Headers();
  for (const [name, value] of Object.entries({ ...headers, ...trailers })) {
    if (!name.startsWith(':')) all.set(name, String(value));
  }
  const error = findTrailerError(all);
  const [info] = error?.findDetails(ErrorInfoSchema) ?? [];
  const message: MessageShape<D> | undefined = body.length > 0 ? fromBinary(output, body.subarray(5)) : undefined;
  return {
    http: Number(headers[':status']),
    type: headers['content-type'],
    correlationId: String(headers['x-correlation-id']),
    status: all.get('grpc-status') ?? 'none',
    message: error instanceof ConnectError ? error.rawMessage : '',
    info: info && toJson(ErrorInfoSchema, info),
    answer: message && toJson(output, message),
  };
}
