import { createServer as createHttp1Server } from 'node:http';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import { letGo } from './let-go.js';
import { sniff } from './sniff.js';

/**
 * Answers an HTTP/2 stream without the detour over HTTP/1-like request objects, or leaves it to the request listener by
 * answering false.
 */
export type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  remoteAddress: string | undefined,
) => boolean;

/** One plain port for HTTP/1.1 and HTTP/2 with prior knowledge (h2c): a connection's first bytes tell which it is. */
export interface Port {
  readonly server: Server;
  /**
   * Takes no more connections, closes idle ones, lets requests under way end, and after `graceMs` cuts what is left.
   * Resolves when every connection is gone.
   */
  close(graceMs: number): Promise<void>;
}

export interface PortOptions {
  /** Longest request head, in bytes. */
  readonly maxHeaderBytes: number;
  readonly maxConcurrentStreams: number;
  /** How long an HTTP/1 caller may take to send a request's head, in milliseconds; default 60 s. */
  readonly headTimeoutMs?: number;
  /** Answers a request that is no HTTP; it must end the socket. */
  readonly onMalformed: (error: NodeJS.ErrnoException, socket: Socket) => void;
}

/** Those who answer what the request listener does not. */
export interface Upgrades {
  readonly onStream: StreamListener;
  /** Takes over an HTTP/1 connection whose client asks for a WebSocket, or answers false. */
  readonly onWebSocket: (request: IncomingMessage, socket: Socket, head: Buffer) => boolean;
}

interface Connection {
  /** HTTP/1 requests under way. */
  requests: number;
  session: ServerHttp2Session | undefined;
}

const firstByteTimeoutMs = 60_000;
/**
 * How much a caller may send before it has been read, on one stream and on all of a connection. With HTTP/2's own 64 KiB a
 * worker's report on hundreds of jobs waits for round trips; more would be a caller's to fill.
 */
const streamWindowBytes = 256 * 1024;
const connectionWindowBytes = 1024 * 1024;

/**
 * Not @httptoolkit/httpolyglot, which does the same: it hands HTTP/2 sockets on in a way that puts Node's stream wrapper
 * between session and socket, and the session then knows no peer address, on which the local human depends.
 */
export function createPort(options: PortOptions, listener: RequestListener, { onStream, onWebSocket }: Upgrades): Port {
  const { headTimeoutMs = 60_000 } = options;
  const connections = new Map<Socket, Connection>();
  let closing = false;
  /** The socket whose session is just being made. */
  let current: Socket | undefined;

  const http1 = createHttp1Server(
    {
      maxHeaderSize: options.maxHeaderBytes,
      keepAliveTimeout: 75_000,
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: Math.min(headTimeoutMs, 30_000),
      // The listener itself refuses a request without Host, in words.
      requireHostHeader: false,
    },
    (request: IncomingMessage, response: ServerResponse) => {
      const connection = connections.get(request.socket);
      if (connection !== undefined) {
        connection.requests += 1;
        if (closing) response.shouldKeepAlive = false;
        response.once('close', () => {
          connection.requests -= 1;
          if (closing && connection.requests === 0) request.socket.destroySoon();
        });
      }
      listener(request, response);
    },
  );
  http1.on('clientError', options.onMalformed);
  http1.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === 'websocket' && onWebSocket(request, socket, head)) {
      const connection = connections.get(socket);
      // Until it ends by itself.
      if (connection !== undefined) connection.requests += 1;
      return;
    }
    // Anything else, such as h2c, may be ignored (RFC 9110, 7.8), which Node has no word for: the request begins anew without it.
    socket.unshift(Buffer.concat([headWithoutUpgrade(request), head]));
    http1.emit('connection', socket);
  });
  // It gets its connections from below and never listens by itself, but only then looks for requests that take too long.
  http1.emit('listening');

  const http2 = createHttp2Server(
    {
      settings: {
        maxConcurrentStreams: options.maxConcurrentStreams,
        maxHeaderListSize: options.maxHeaderBytes,
        initialWindowSize: streamWindowBytes,
      },
    },
    listener as never,
  );
  http2.on('session', (session) => {
    const connection = current && connections.get(current);
    if (connection !== undefined) connection.session = session;
    session.on('error', () => session.destroy());
    session.setLocalWindowSize(connectionWindowBytes);
    interceptStreams(session, onStream, current?.remoteAddress);
    if (closing) session.close();
  });

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    connections.set(socket, { requests: 0, session: undefined });
    socket.once('close', () => connections.delete(socket));
    sniff(socket, firstByteTimeoutMs, (protocol) => {
      // HTTP/2 has no use for a connection of which one half is closed, and would never notice that its caller has gone.
      if (protocol === 'http2') socket.allowHalfOpen = false;
      current = socket;
      (protocol === 'http2' ? http2 : http1).emit('connection', socket);
      current = undefined;
    });
  });

  return {
    server,
    close(graceMs) {
      closing = true;
      return new Promise((resolve) => {
        const cut = setTimeout(() => {
          for (const [socket, { session }] of connections) {
            session?.destroy();
            socket.destroy();
          }
        }, graceMs);
        server.close(() => {
          clearTimeout(cut);
          // Ends its timer that looks for requests that take too long.
          http1.close();
          resolve();
        });
        for (const [socket, { requests, session }] of connections) {
          if (session !== undefined) session.close();
          else if (requests === 0) socket.destroySoon();
        }
      });
    },
  };
}

/** A request's head as it came, but for what asks for another protocol. */
function headWithoutUpgrade({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  let head = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (!/^(?:connection|upgrade|http2-settings)$/i.test(name)) head += `${name}: ${rawHeaders[index + 1]}\r\n`;
  }
  return Buffer.from(`${head}\r\n`, 'latin1');
}

/**
 * Puts `onStream` before the session's own listener, which builds the request and response objects. Node registers that
 * one before it announces the session.
 */
function interceptStreams(
  session: ServerHttp2Session,
  onStream: StreamListener,
  remoteAddress: string | undefined,
): void {
  const ordinary = session.listeners('stream') as ((...args: unknown[]) => void)[];
  session.removeAllListeners('stream');
  session.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...more: unknown[]) => {
    if (onStream(stream, headers, remoteAddress)) return;
    stream.once('wantTrailers', () => letGo(stream));
    for (const listener of ordinary) listener.call(session, stream, headers, ...more);
  });
}
