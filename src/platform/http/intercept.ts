import { constants, type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { hold, type Share } from './in-flight.js';
import { letGo } from './let-go.js';
import type { Overdue, Streaming } from './overdue.js';
import { watchUnsent } from './unsent.js';

/**
 * Answers an HTTP/2 stream without the detour over HTTP/1-like request objects, or leaves it to the request listener by
 * answering false.
 */
export type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  remoteAddress: string | undefined,
) => boolean;

interface Interception {
  readonly remoteAddress: string | undefined;
  readonly share: Share;
  readonly upgrades: {
    readonly onStream: StreamListener;
    readonly streamingOf: (headers: IncomingHttpHeaders) => Streaming;
  };
  readonly overdue: Overdue;
}

/**
 * Puts `onStream` before the session's own listener, which builds the request and response objects. Node registers that
 * one before it announces the session.
 */
export function interceptStreams(
  session: ServerHttp2Session,
  { remoteAddress, share, upgrades: { onStream, streamingOf }, overdue }: Interception,
): void {
  const ordinary = session.listeners('stream') as ((...args: unknown[]) => void)[];
  session.removeAllListeners('stream');
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...more: unknown[]) => {
    const held = share.begin();
    hold(stream, held);
    stream.once('close', () => held.release());
    const direct = onStream(stream, headers, remoteAddress);
    overdue.watchStream(stream, { headers, streaming: streamingOf(headers) });
    if (direct) return;
    watchUnsent(
      stream,
      held,
      () => stream.writableLength,
      () => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
    );
    stream.once('wantTrailers', () => letGo(stream));
    for (const listener of ordinary) listener.call(session, stream, headers, ...more);
  });
}
