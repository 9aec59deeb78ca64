import { type ClientHttp2Session, constants, type IncomingHttpHeaders } from 'node:http2';

/** What came on a stream, with its trailers among the headers. */
export interface HalfOpen {
  readonly headers: IncomingHttpHeaders;
  /** Headers, trailers and body as text: an error is in one of them. */
  readonly said: string;
  /** The code of RST_STREAM; 0 when the stream ended well. */
  readonly reset: number;
}

/** Sends a head and this much of a body, and leaves the rest away. Answers what comes until the server ends the stream. */
export function openHalf(
  session: ClientHttp2Session,
  head: Readonly<Record<string, string>>,
  start: Uint8Array = Buffer.alloc(0),
): Promise<HalfOpen> {
  const stream = session.request({ ':method': 'POST', ...head });
  if (start.length > 0) stream.write(start);
  return new Promise((resolve) => {
    let headers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on('response', (received) => (headers = received));
    stream.on('trailers', (trailers) => (headers = { ...headers, ...trailers }));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => undefined);
    stream.once('close', () =>
      resolve({
        headers,
        said: `${JSON.stringify(headers)} ${Buffer.concat(chunks).toString('latin1')}`,
        reset: stream.rstCode ?? constants.NGHTTP2_NO_ERROR,
      }),
    );
  });
}
