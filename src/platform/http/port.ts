import { createServer as createHttp1Server } from 'node:http';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import type { Log } from '../log.js';
import { createConnectionLimit } from './connection-limit.js';
import { CountedAnswer, CountedRequest } from './http1-messages.js';
import { attachHeld, createInFlight, type Share } from './in-flight.js';
import { interceptStreams, type StreamListener } from './intercept.js';
import { faultOfHead, malformedAnswer, plainOnTls, tooManyConnections } from './malformed.js';
import { checkingIntervalMs, createOverdue, type StreamFacts, type Streaming } from './overdue.js';
import { partWith } from './part-with.js';
import { endFloods, keepAsking } from './pings.js';
import { sniff } from './sniff.js';
import { createSecureDoor, type TlsFiles } from './tls.js';

/** One port for HTTP/1.1 and HTTP/2: a connection's first bytes tell which it is, or over TLS what both sides agreed on (ALPN). */
export interface Port {
  readonly server: Server;
  /** Reads the files of TLS anew, where there is TLS. */
  reload(): void;
  /**
   * Takes no more connections, closes idle ones, lets requests under way end, and after `graceMs` cuts what is left.
   * Resolves when every connection is gone.
   */
  close(graceMs: number): Promise<void>;
}

export interface PortOptions {
  readonly log: Log;
  /** Speaks nothing but TLS when given. */
  readonly tls: TlsFiles | undefined;
  /** Longest request head, in bytes. */
  readonly maxHeaderBytes: number;
  readonly maxHeaderCount: number;
  readonly maxConcurrentStreams: number;
  /** How long a caller may take to send a request, and to take its answer; milliseconds. */
  readonly requestTimeoutMs: number;
  /** Most bytes that callers may make the process hold, in each direction. */
  readonly maxInFlightBytes: number;
  /** Most connections from one address. */
  readonly connectionLimit: number | undefined;
}

/** Those who answer what the request listener does not. */
export interface Upgrades {
  readonly onStream: StreamListener;
  /** Takes over an HTTP/1 connection whose client asks for a WebSocket, or answers false. */
  readonly onWebSocket: (request: IncomingMessage, socket: Socket, head: Buffer) => boolean;
  readonly streamingOf: (headers: IncomingHttpHeaders) => Streaming;
  /** Answers a stream whose request is late; it must end the stream. */
  readonly onLate: (stream: ServerHttp2Stream, facts: StreamFacts) => void;
}

interface Connection {
  /** Answers of HTTP/1 requests under way. */
  readonly answers: Set<ServerResponse>;
  readonly share: Share;
  session: ServerHttp2Session | undefined;
  /** Not to be closed as idle: a WebSocket, or a TLS handshake, after which there is another one in its place. */
  taken: boolean;
}

const longestPingIntervalMs = 30_000;
/** After which silence the other side is asked whether it is still there; the kernel does it. */
const tcpKeepAliveMs = 60_000;
/** How many requests a caller of HTTP/1 may send ahead of their answers. Those that come in one packet are all begun at once. */
const maxPipelined = 128;
/**
 * How much a caller may send before it has been read, on one stream and on all of a connection. With HTTP/2's own 64 KiB a
 * worker's report on hundreds of jobs waits for round trips. The second does not bound the sum of the first: Node counts bytes of a
 * stream that nobody reads as read for the connection. That is what is counted for (in-flight.ts).
 */
const streamWindowBytes = 256 * 1024;
const connectionWindowBytes = 1024 * 1024;

/**
 * Not @httptoolkit/httpolyglot, which does the same: it hands HTTP/2 sockets on in a way that puts Node's stream wrapper
 * between session and socket, and the session then knows no peer address, on which the local human depends.
 */
export function createPort(options: PortOptions, listener: RequestListener, upgrades: Upgrades): Port {
  const { log, maxHeaderBytes, maxHeaderCount, requestTimeoutMs } = options;
  const connections = new Map<Socket, Connection>();
  const overdue = createOverdue({ timeoutMs: requestTimeoutMs, onLate: upgrades.onLate, answers });
  const places = createConnectionLimit(options.connectionLimit, (address, limit) =>
    log.warn('connections_refused', { address, limit }),
  );
  const inFlight = createInFlight(options.maxInFlightBytes);
  let closing = false;
  /** The socket whose session is just being made. */
  let current: Socket | undefined;

  /** All of HTTP/1 that have not been taken. */
  function* answers(): Iterable<ServerResponse> {
    for (const connection of connections.values()) yield* connection.answers;
  }

  const http1 = createHttp1Server(
    {
      IncomingMessage: CountedRequest,
      ServerResponse: CountedAnswer,
      maxHeaderSize: maxHeaderBytes,
      keepAliveTimeout: 75_000,
      headersTimeout: requestTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: checkingIntervalMs(requestTimeoutMs),
      // The listener itself refuses a request without Host, in words.
      requireHostHeader: false,
    },
    (request: CountedRequest, response: CountedAnswer) => {
      const connection = connections.get(request.socket);
      if (connection !== undefined) {
        connection.answers.add(response);
        if (connection.answers.size > maxPipelined) return void request.socket.destroy();
        const held = connection.share.begin();
        attachHeld(request, held);
        if (closing) response.shouldKeepAlive = false;
        response.on('close', () => {
          held.release();
          connection.answers.delete(response);
          if (closing && connection.answers.size === 0) request.socket.destroySoon();
        });
      }
      const fault = faultOfHead(request, maxHeaderCount);
      if (fault === undefined) listener(request, response);
      else if (connection?.answers.size === 1) partWith(request.socket, malformedAnswer(fault));
      else request.socket.destroy();
    },
  );
  // Node leaves out what is more without a word; with one more than may be it can be told.
  http1.maxHeadersCount = maxHeaderCount + 1;
  http1.on('clientError', ({ code }: NodeJS.ErrnoException, socket: Socket) => {
    if (code === 'ECONNRESET') socket.destroy();
    else giveUp(code, socket);
  });
  http1.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const fault = faultOfHead(request, maxHeaderCount);
    if (fault !== undefined) return partWith(socket, malformedAnswer(fault));
    if (request.headers.upgrade?.toLowerCase() === 'websocket' && upgrades.onWebSocket(request, socket, head)) {
      const connection = connections.get(socket);
      if (connection !== undefined) connection.taken = true;
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
      maxHeaderListPairs: maxHeaderCount,
      settings: {
        maxConcurrentStreams: options.maxConcurrentStreams,
        maxHeaderListSize: maxHeaderBytes,
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
    endFloods(session);
    if (current !== undefined) keepAsking(session, current, Math.min(requestTimeoutMs, longestPingIntervalMs));
    if (connection !== undefined) {
      interceptStreams(session, { remoteAddress: current?.remoteAddress, share: connection.share, upgrades, overdue });
    }
    if (closing) session.close();
  });

  /** Ends a connection whose caller sends no proper request. */
  function giveUp(code: string | undefined, socket: Socket): void {
    if (socket.writableEnded || socket.destroyed) return;
    const answers = [...(connections.get(socket)?.answers ?? [])];
    // The word must not come in the middle of an answer, nor in the place of one to an earlier request.
    const isInPlace = answers.length <= 1 && answers.every(({ headersSent, req }) => !headersSent && !req.complete);
    if (isInPlace) partWith(socket, malformedAnswer(code));
    else socket.destroy();
  }

  function track(socket: Socket): void {
    const share = inFlight.enter(() => {
      connections.get(socket)?.session?.destroy();
      socket.destroy();
    });
    const answers = new Set<ServerResponse>();
    connections.set(socket, { answers, share, session: undefined, taken: false });
    socket.once('close', () => {
      connections.delete(socket);
      // Node tells of the end of the answer that was being sent, but not to those that were in line behind it.
      for (const answer of [...answers]) if (answer.socket === null) answer.destroy().emit('close');
      share.leave();
    });
  }

  function serve(socket: Socket, protocol: 'http1' | 'http2'): void {
    // HTTP/2 has no use for a connection of which one half is closed, and would never notice that its caller has gone.
    if (protocol === 'http2') socket.allowHalfOpen = false;
    current = socket;
    (protocol === 'http2' ? http2 : http1).emit('connection', socket);
    current = undefined;
  }

  const door =
    options.tls &&
    createSecureDoor({
      files: options.tls,
      log,
      timeoutMs: requestTimeoutMs,
      onSecure(socket, protocol) {
        track(socket);
        if (closing) socket.destroySoon();
        else serve(socket, protocol);
      },
    });

  const server = createServer(
    { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs },
    (socket) => {
      const leave = places.enter(socket.remoteAddress);
      if (leave === undefined) {
        if (door === undefined) partWith(socket, malformedAnswer(tooManyConnections));
        else socket.destroy();
        return;
      }
      socket.once('close', leave);
      track(socket);
      sniff(socket, requestTimeoutMs, (opening) => {
        if (door === undefined) return serve(socket, opening === 'http2' ? 'http2' : 'http1');
        if (opening !== 'tls') return partWith(socket, malformedAnswer(plainOnTls));
        const connection = connections.get(socket);
        if (connection !== undefined) connection.taken = true;
        door.secure(socket);
      });
    },
  );

  return {
    server,
    reload() {
      if (door === undefined)
        log.info('nothing_to_reload', { message: 'There is no TLS, whose files would be read anew.' });
      else door.reload();
    },
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
          overdue.stop();
          // Ends its timer that looks for requests that take too long.
          http1.close();
          resolve();
        });
        for (const [socket, { answers, session, taken }] of connections) {
          if (session !== undefined) session.close();
          else if (answers.size === 0 && !taken) socket.destroySoon();
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
