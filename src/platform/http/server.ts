import type { IncomingMessage, RequestListener } from 'node:http';
import type { ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { createContextValues } from '@connectrpc/connect';
import { fastifyConnectPlugin } from '@connectrpc/connect-fastify';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { AppError } from '../../errors.js';
import type { Log } from '../log.js';
import type { Metrics } from '../metrics.js';
import { admissionKey, registerServices } from '../rpc/connect-routes.js';
import { acceptedCompression } from '../rpc/compression.js';
import type { Dispatch } from '../rpc/dispatch.js';
import { binaryReadOptions, jsonReadOptions } from '../rpc/limits.js';
import type { Service } from '../rpc/methods.js';
import { createGateway, type PlainRoute, wrongType } from './gateway/gateway.js';
import { routesOf } from './gateway/routes.js';
import { errorHeaders } from './answer-headers.js';
import { announcedBytes, readBody } from './body.js';
import { routeOf, tellUnbegun, wasCut } from './call-facts.js';
import { createHostCheck } from './hosts.js';
import { heldOf } from './in-flight.js';
import { answerLate, createStreamingOf } from './late.js';
import { createPort, type Port } from './port.js';
import { correlationIdOf, createRequestLog } from './requests.js';
import { restErrorBody, restStatus } from './rest-error.js';
import type { TlsFiles } from './tls.js';
import { createWebSockets } from './websocket.js';
import { createAdmit } from './rpc/admit.js';
import { createAllow } from './rpc/allow.js';
import { createConnectUnary } from './rpc/connect-unary.js';
import { createGrpcUnary } from './rpc/grpc-unary.js';
import { createInbound } from './rpc/inbound.js';

export interface HttpServer {
  /** Binds the port; 0 takes a free one. Answers the base URL. Throws `conflict` when the port is taken. */
  listen(host: string, port: number): Promise<string>;
  /** Reads the certificate anew, where there is one. The log tells what came of it. */
  reload(): void;
  /** Lets requests under way end for `graceMs`, then cuts them. Never hangs. */
  close(graceMs: number): Promise<void>;
}

export interface HttpServerOptions {
  readonly services: readonly Service[];
  readonly plainRoutes: readonly PlainRoute[];
  readonly dispatch: Dispatch;
  readonly log: Log;
  readonly metrics?: Pick<Metrics, 'request'> | undefined;
  /** Host names, besides the loopback ones, that requests may be addressed to. */
  readonly allowedHosts: readonly string[];
  readonly maxBodyBytes: number;
  readonly maxMessageBytes: number;
  /** Most bytes that callers may make the process hold, in each direction. */
  readonly maxInFlightBytes: number;
  readonly maxTimeoutMs: number;
  /** How long a reader of server-sent events may take nothing while there is something to tell. */
  readonly stallMs: number;
  /** How long a caller may take to send a request, and to take its answer; milliseconds. */
  readonly requestTimeoutMs: number;
  /** Most connections from one address; undefined for any number. */
  readonly connectionLimit: number | undefined;
  /** Speaks TLS when given, and nothing else. */
  readonly tls: TlsFiles | undefined;
}

const maxHeaderBytes = 32 * 1024;
const maxHeaderCount = 128;
const maxConcurrentStreams = 1000;

/** REST, Connect, gRPC and gRPC-Web on one port. Throws when two routes clash. */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { services, dispatch, log, maxMessageBytes, maxTimeoutMs } = options;
  checkPaths(services);
  const logRequest = createRequestLog(log, options.metrics);
  const checkHost = createHostCheck(options.allowedHosts);
  const grpcUnary = createGrpcUnary({ services, dispatch, checkHost, logRequest, maxMessageBytes, maxTimeoutMs });

  const routes = routesOf(services);
  const webSockets = createWebSockets({
    routes,
    dispatch,
    checkHost,
    log,
    logRequest,
    stallMs: options.stallMs,
    subscribeMs: options.requestTimeoutMs,
  });

  let port: Port | undefined;
  const app = fastify({
    logger: false,
    bodyLimit: options.maxBodyBytes,
    genReqId: (raw: IncomingMessage) => correlationIdOf(raw.headers['x-correlation-id']),
    requestIdHeader: false,
    exposeHeadRoutes: false,
    // A path that cannot be decoded comes past all hooks.
    frameworkErrors: (error, request, reply) => {
      const foreign = begin(request, reply);
      sendError(foreign ?? error, request, reply);
    },
    serverFactory: (handler) => {
      const { tls, requestTimeoutMs, connectionLimit, maxInFlightBytes } = options;
      const limits = { maxHeaderBytes, maxHeaderCount, maxConcurrentStreams, maxInFlightBytes };
      port = createPort({ log, tls, requestTimeoutMs, connectionLimit, ...limits }, handler as RequestListener, {
        onStream: grpcUnary,
        streamingOf: createStreamingOf(services),
        onLate: answerLate,
        onWebSocket(request, socket, head) {
          if (!webSockets.serves(request.url)) return false;
          webSockets.upgrade(request, socket, head);
          return true;
        },
      });
      // Typed as an http.Server by Fastify, which uses no more of it than net.Server has.
      return port.server as never;
    },
  });

  /** What every request begins with. Answers why it is refused, if it is. */
  function begin(request: FastifyRequest, reply: FastifyReply): AppError | undefined {
    const { raw } = request;
    void reply.header('x-correlation-id', request.id);
    const ended = logRequest(raw.method ?? '', pathOf(raw.url), request.id);
    reply.raw.once('close', () => {
      const { transport, route } = routeOf(request);
      ended(wasCut(reply) ? 'aborted' : reply.raw.statusCode, transport, route);
      tellUnbegun(request, reply, dispatch);
    });
    const host = raw.headers[':authority'] ?? raw.headers.host;
    return checkHost(host as string | undefined, raw.headers.origin);
  }

  /** Fastify's own faults carry an HTTP status, ours are AppErrors already; the rest is a fault of ours. */
  function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    const known = error instanceof AppError ? error : fromFastify(error as FastifyFault, request);
    if (known.kind === 'internal_error' && known !== error) {
      log.error('internal_error', { corr_id: request.id, path: pathOf(request.raw.url), error });
    }
    request.fault = known;
    void reply.headers(errorHeaders(known));
    void reply
      .code(restStatus(known))
      .header('content-type', 'application/json; charset=utf-8')
      .send(restErrorBody(known, request.id));
  }

  app.addHook('onRequest', (request, reply, done) => done(begin(request, reply)));
  app.setErrorHandler(sendError);

  app.decorateRequest('admission', undefined);
  app.decorateRequest('door', undefined);
  app.decorateRequest('target', undefined);
  app.decorateRequest('deadline', undefined);
  app.decorateRequest('fault', undefined);

  await app.register(async (rpc) => {
    const connectUnary = createConnectUnary({ services, dispatch, maxMessageBytes });
    const inbound = createInbound(services, maxMessageBytes);
    const allow = createAllow(services);
    const admit = createAdmit(services, dispatch, { maxMessageBytes, maxTimeoutMs });
    rpc.addHook('onRequest', admit);
    rpc.addHook('preHandler', async (request, reply) => {
      allow(request, reply);
      const answer = connectUnary(request, reply);
      if (answer === undefined) inbound(request, reply);
      return answer;
    });
    await rpc.register(fastifyConnectPlugin, {
      routes: (router) => registerServices(router, services, dispatch),
      contextValues: ({ admission }) => createContextValues().set(admissionKey, admission),
      readMaxBytes: maxMessageBytes,
      acceptCompression: [...acceptedCompression],
      maxTimeoutMs,
      binaryOptions: binaryReadOptions,
      jsonOptions: jsonReadOptions,
    });
  });

  await app.register(async (rest) => {
    // Bodies stay bytes here: the gateway decides what it takes and says what is wrong with the rest.
    rest.removeAllContentTypeParsers();
    const read = (request: FastifyRequest): Promise<Buffer> =>
      readBody(request.raw, options.maxBodyBytes, 'Request body is too large');
    // The first is among the others, but only those with a name are found without taking the header apart.
    rest.addContentTypeParser(['application/json', '*'], read);
    const gateway = createGateway(routes, options.plainRoutes, dispatch, {
      dispatch,
      log,
      stallMs: options.stallMs,
    });
    rest.addHook('onRequest', async (request, reply) => {
      const { headers, stream } = request.raw as IncomingMessage & { readonly stream?: ServerHttp2Stream };
      // Over HTTP/2 a body needs neither a length nor a type, and without them Fastify takes it for none.
      if (stream?.endAfterHeaders === false) headers['transfer-encoding'] ??= 'chunked';
      await gateway.enter(request, reply);
      const { target } = request;
      if (target?.entry.isCall) request.door = target.entry.door;
      heldOf(request.raw).announce(announcedBytes(headers, options.maxBodyBytes));
    });
    rest.all('*', (request, reply) => gateway.handle(request, reply));
    rest.setNotFoundHandler((request, reply) => gateway.handle(request, reply));
  });
  await app.ready();

  return {
    listen: async (host, number) =>
      `${options.tls === undefined ? 'http' : 'https'}://${await listen(port, host, number)}`,
    reload: () => port?.reload(),
    close: async (graceMs) => {
      webSockets.close();
      await port?.close(graceMs);
      await closeApp(app);
    },
  };
}

function checkPaths(services: readonly Service[]): void {
  const seen = new Set<string>();
  for (const { path } of services.flatMap(({ methods }) => methods)) {
    if (seen.has(path)) throw new Error(`routes clash: ${path} and ${path}`);
    seen.add(path);
  }
}

function pathOf(url: string | undefined): string {
  const cut = url?.indexOf('?') ?? -1;
  return cut < 0 ? (url ?? '') : (url ?? '').slice(0, cut);
}

interface FastifyFault {
  readonly statusCode?: number;
  readonly message: string;
}

function fromFastify(error: FastifyFault, { headers, target }: FastifyRequest): AppError {
  const { 'content-type': type = '' } = headers;
  switch (error.statusCode) {
    case 400:
      return new AppError('invalid_request', error.message);
    case 413:
      return new AppError('too_large', error.message);
    case 415:
      // What is not even the form of a type does not come as far as those who would tell it from theirs.
      return target === undefined
        ? new AppError('unsupported_media_type', `Content-Type: must be of Connect or gRPC, not ${type || 'empty'}`)
        : wrongType(type);
    case undefined:
    default:
      return new AppError('internal_error', 'Something went wrong on our side.', { cause: error });
  }
}

/** Answers the host and port. */
function listen(port: Port | undefined, host: string, number: number): Promise<string> {
  const server = port?.server;
  if (server === undefined) throw new Error('the server has no port');
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const taken = error.code === 'EADDRINUSE';
      reject(
        taken ? new AppError('conflict', `${host}:${number} is in use by another program.`, { cause: error }) : error,
      );
    };
    server.once('error', failed);
    server.listen(number, host, () => {
      server.off('error', failed);
      const { port: bound } = server.address() as AddressInfo;
      resolve(`${host.includes(':') ? `[${host}]` : host}:${bound}`);
    });
  });
}

async function closeApp(app: FastifyInstance): Promise<void> {
  await app.close().catch((error: NodeJS.ErrnoException) => {
    // The port is closed already.
    if (error.code !== 'ERR_SERVER_NOT_RUNNING') throw error;
  });
}
