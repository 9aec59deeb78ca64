import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { AppError, invalidField, messageOf } from '../../errors.js';
import type { Log } from '../log.js';
import type { Admission, CallFacts, CallLife } from '../rpc/call.js';
import type { Plain } from '../rpc/codec.js';
import type { Dispatch } from '../rpc/dispatch.js';
import { credentialsOf, traceparentOf } from './call-facts.js';
import { refuseQuery } from './gateway/bind.js';
import { cutOff } from './gateway/event-stream.js';
import { ticketOf } from './gateway/gateway.js';
import { restJson } from './gateway/rest-json.js';
import type { Route, StreamRoute } from './gateway/routes.js';
import type { CheckHost } from './hosts.js';
import { lastAnswer } from './malformed.js';
import { partWith } from './part-with.js';
import { correlationIdOf, type LogRequest } from './requests.js';
import { restErrorBody, restStatus } from './rest-error.js';

/**
 * Server streams over WebSocket, as JSON messages. The client says once what it wants, in the words of the stream's query:
 *
 *   client  {"type": "subscribe", "after": 41, "filter": {"type": ["JobDone"]}}
 *   server  {"type": "subscribed", "after": 41}
 *           {"type": "event", "event": {...}}        for each item
 *           {"type": "place", "after": 1041}         where all up to there has been read, and fits or not
 *           {"type": "error", "error": ..., ...}     the body of a REST error, and the end
 *
 * `after` is the field that Last-Event-ID sets over server-sent events, `filter` has all the others. The query has none of them: a
 * ticket is all that it may bring.
 */
export interface WebSockets {
  /** Whether there is one at this target. */
  serves(url: string | undefined): boolean;
  /** Takes over a connection that asks for a WebSocket; one that is refused gets an HTTP answer. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends those that have not asked for anything; a stream that is under way ends with the server's own reason. */
  close(): void;
}

export interface WebSocketOptions {
  readonly routes: readonly Route[];
  readonly dispatch: Dispatch;
  readonly checkHost: CheckHost;
  readonly log: Log;
  readonly logRequest: LogRequest;
  /** How long a reader may take nothing while there is something to tell, in milliseconds. */
  readonly stallMs: number;
  /** How long a client may take to subscribe, in milliseconds. */
  readonly subscribeMs: number;
}

const maxPayload = 64 * 1024;
/** How long a reader whose stream has ended may still take what is on its way. */
const farewellMs = 500;
/** Between two pings; a connection that has answered none of them by the next one is dead. */
const pingMs = 15_000;
/** Close codes of RFC 6455, 7.4.1, and the registry's 1013. */
const codes = { done: 1000, goingAway: 1001, badMessage: 1008, broken: 1011, tooSlow: 1013 } as const;

export function createWebSockets(options: WebSocketOptions): WebSockets {
  const { dispatch, checkHost, log, logRequest, stallMs, subscribeMs } = options;
  const server = new WebSocketServer({
    noServer: true,
    maxPayload,
    perMessageDeflate: false,
    clientTracking: false,
    // See keepAlive.
    autoPong: false,
  });
  /** Those that have not subscribed yet. */
  const idle = new Set<WebSocket>();
  let closing = false;
  const served = new Map(
    options.routes.flatMap((route) =>
      route.stream === undefined || !route.websocket
        ? []
        : [[route.template.source, createServe(route, route.stream)] as const],
    ),
  );

  /** Lets the caller in, or rejects with what it is refused with. */
  async function admit(request: IncomingMessage, path: string, query: string, facts: CallFacts): Promise<Admission> {
    const foreign = checkHost(request.headers.host, request.headers.origin);
    if (foreign !== undefined) throw foreign;
    if (closing) throw new AppError('unavailable', 'The server is stopping.');
    const serve = served.get(path);
    if (serve === undefined) throw new AppError('not_found', `No WebSocket at ${path}`);
    const admission = await dispatch.admit(serve.rpc, facts);
    try {
      refuseQuery(query, 'what is wanted is told by the message');
    } catch (error) {
      dispatch.neverBegan(serve.rpc, admission, () => dispatch.fault(error, serve.rpc, facts));
      throw error;
    }
    return admission;
  }

  function createServe(route: Route, stream: StreamRoute) {
    const { rpc } = route;
    const request = restJson(rpc.desc.input);
    const textOf = createItemText(stream);
    const after = stream.lastEventId.name;
    const placeText = (type: 'subscribed' | 'place', message: Plain): string =>
      JSON.stringify({ type, [after]: message[stream.readUpTo.localName] });

    function textsOf(message: Plain): readonly string[] {
      const items = message[stream.items.localName] as readonly Plain[];
      return items.length === 0 ? [placeText('place', message)] : items.map(textOf);
    }

    /** What the stream is asked for by the client's message. */
    function inputOf(data: RawData): Plain {
      const message = parse(data);
      const { type, filter = {}, [after]: from, ...others } = message;
      if (type !== 'subscribe') throw invalidField('type', 'must be subscribe');
      const unknown = Object.keys(others)[0];
      if (unknown !== undefined) throw invalidField(unknown, 'no such field');
      if (typeof filter !== 'object' || filter === null || Array.isArray(filter)) {
        throw invalidField('filter', 'must be an object');
      }
      return request.read({ ...filter, ...(from === undefined ? {} : { [after]: from }) }, '');
    }

    async function serve(socket: WebSocket, data: RawData, admission: Admission, life: CallLife): Promise<void> {
      let messages: AsyncIterator<Plain> | undefined;
      try {
        messages = dispatch.serverStream(rpc, inputOf(data), admission, life)[Symbol.asyncIterator]();
        const first = await messages.next();
        if (first.done !== true) socket.send(placeText('subscribed', first.value));
        for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
          if (!(await sendAll(socket, textsOf(next.value), stallMs))) {
            // It has left, which is no fault.
            if (socket.readyState !== WebSocket.OPEN) return;
            log.info('reader_cut_off', { corr_id: admission.correlationId, path: rpc.path });
            throw cutOff(stream, next.value);
          }
        }
        socket.close(codes.done);
      } catch (error) {
        end(socket, dispatch.fault(error, rpc, admission), admission.correlationId);
      } finally {
        await messages?.return?.();
      }
    }
    return { rpc, serve };
  }

  function begin(socket: WebSocket, path: string, admission: Admission): void {
    const serve = served.get(path)?.serve;
    if (serve === undefined) return socket.terminate();
    const onGone = (gone: () => void): void => {
      if (socket.readyState === WebSocket.CLOSED) gone();
      else socket.once('close', gone);
    };
    idle.add(socket);
    const unwatch = admission.onEnded((reason) => {
      if (idle.delete(socket)) end(socket, reason, admission.correlationId);
      // A reader that does not read would hold up the end of its stream.
      else setTimeout(() => socket.terminate(), farewellMs).unref();
    });
    const late = setTimeout(() => {
      if (!idle.delete(socket)) return;
      const error = new AppError('deadline_exceeded', 'subscribe took too long to come');
      end(socket, error, admission.correlationId);
    }, subscribeMs);
    socket.once('close', () => {
      clearTimeout(late);
      idle.delete(socket);
      unwatch();
    });
    socket.on('message', (data) => {
      if (idle.delete(socket)) void serve(socket, data, admission, { onGone });
      else end(socket, new AppError('invalid_request', 'subscribe comes once'), admission.correlationId);
    });
    // What is wrong with the frames is told to the client by ws itself.
    socket.on('error', () => undefined);
    keepAlive(socket);
  }

  return {
    serves: (url) => served.has(pathOf(url)),
    upgrade(request, socket, head) {
      const correlationId = correlationIdOf(request.headers['x-correlation-id']);
      const path = pathOf(request.url);
      const ended = logRequest(request.method ?? '', path, correlationId);
      let status = 101;
      socket.once('close', () => ended(status, 'websocket', path));
      // Nobody else listens while it is being let in.
      const ignore = (): void => undefined;
      socket.on('error', ignore);
      const { ticket, query } = ticketOf((request.url ?? '').slice(path.length + 1));
      const credentials = credentialsOf(request.headers, (socket as Socket).remoteAddress, ticket);
      const traceparent = traceparentOf(request.headers);
      const way = { transport: 'websocket', route: path, httpMethod: request.method } as const;
      const facts: CallFacts = { source: 'Rest', correlationId, traceparent, way, credentials };
      admit(request, path, query, facts).then(
        (admission) => {
          socket.off('error', ignore);
          if (!socket.destroyed) {
            server.handleUpgrade(request, socket, head, (upgraded) => begin(upgraded, path, admission));
          }
        },
        (error: unknown) => {
          const refused = dispatch.fault(error, { path }, facts);
          status = restStatus(refused);
          partWith(socket, lastAnswer(`${status} ${refused.kind}`, refused, correlationId));
        },
      );
    },
    close() {
      closing = true;
      for (const socket of idle) socket.close(codes.goingAway);
    },
  };
}

function pathOf(url = '/'): string {
  const cut = url.indexOf('?');
  return cut < 0 ? url : url.slice(0, cut);
}

function end(socket: WebSocket, error: AppError, correlationId: string): void {
  if (socket.readyState !== WebSocket.OPEN) return socket.terminate();
  socket.send(JSON.stringify({ type: 'error', ...(JSON.parse(restErrorBody(error, correlationId)) as object) }));
  socket.close(closeCode(error));
  // ws gives the other side 30 s to answer; one that reads nothing would not.
  if (socket.bufferedAmount > maxPayload) setTimeout(() => socket.terminate(), farewellMs).unref();
}

function closeCode({ kind }: AppError): number {
  if (kind === 'internal_error') return codes.broken;
  return kind === 'unavailable' ? codes.tooSlow : codes.badMessage;
}

function parse(data: RawData): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse((data as Buffer).toString());
  } catch (error) {
    throw new AppError('invalid_request', `The message is not JSON: ${messageOf(error)}`);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new AppError('invalid_request', 'The message must be an object.');
  }
  return json as Record<string, unknown>;
}

/** Sends them in one go; false when the other side takes nothing for too long, or is gone. */
function sendAll(socket: WebSocket, texts: readonly string[], stallMs: number): Promise<boolean> | boolean {
  const last = texts.length - 1;
  let sent: ((error?: Error) => void) | undefined;
  const done = new Promise<boolean>((resolve) => {
    sent = (error) => resolve(error === undefined || error === null);
  });
  texts.forEach((text, index) => socket.send(text, index === last ? sent : undefined));
  if (socket.bufferedAmount === 0) return true;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), stallMs);
  });
  return Promise.race([done, late]).finally(() => clearTimeout(timer));
}

/** All who are sent the same item are sent the same text. */
function createItemText({ items }: StreamRoute): (item: Plain) => string {
  const json = restJson(items.message);
  const texts = new WeakMap<Plain, string>();
  return (item) => {
    let text = texts.get(item);
    if (text === undefined) texts.set(item, (text = `{"type":"event","event":${json.write(item)}}`));
    return text;
  };
}

function keepAlive(socket: WebSocket): void {
  let answered = true;
  // One that pings and does not read would fill the memory with answers.
  socket.on('ping', (data) => socket.bufferedAmount < maxPayload && socket.pong(data));
  socket.on('pong', () => (answered = true));
  const timer = setInterval(() => {
    if (!answered) return socket.terminate();
    answered = false;
    socket.ping();
  }, pingMs);
  socket.once('close', () => clearInterval(timer));
}
