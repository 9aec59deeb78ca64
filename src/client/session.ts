import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { Http2SessionManager } from '@connectrpc/connect-node';

/** What connect-node wants to send its requests through. */
export interface Session extends Pick<Http2SessionManager, 'authority' | 'request' | 'notifyResponseByteRead'> {
  close(): void;
}

/** A dead connection is noticed after the two together; well before a lease of ordinary length ends. */
const pingIntervalMs = 15_000;
const pingTimeoutMs = 10_000;
/**
 * How much the server may send before we have read it, on one stream and on all of them. HTTP/2's own 64 KiB are a fraction of a
 * message with hundreds of jobs, which then waits for several round trips.
 */
const streamWindowBytes = 1024 * 1024;
const connectionWindowBytes = 4 * 1024 * 1024;

/**
 * One HTTP/2 connection, opened when needed and opened anew when lost.
 *
 * connect-node's manager stops listening to a connection at its first error. A second one, as HTTP/1 servers and others
 * that speak another protocol cause, would end the process; every call on the connection has failed by then anyway.
 */
export function createSession(url: string): Session {
  const manager = new Http2SessionManager(
    url,
    { pingIntervalMs, pingTimeoutMs },
    { settings: { initialWindowSize: streamWindowBytes, enablePush: false } },
  );
  const guarded = new WeakSet<ClientHttp2Session>();

  function guard({ session }: ClientHttp2Stream): void {
    if (session === undefined || guarded.has(session as ClientHttp2Session)) return;
    guarded.add(session as ClientHttp2Session);
    session.on('error', () => undefined);
    (session as ClientHttp2Session).setLocalWindowSize(connectionWindowBytes);
  }
  return {
    authority: manager.authority,
    async request(...args) {
      const stream = await manager.request(...args);
      guard(stream);
      return stream;
    },
    notifyResponseByteRead: (stream) => manager.notifyResponseByteRead(stream),
    close: () => manager.abort(),
  };
}
