import { type DescMethodUnary, fromJson, type JsonObject, type Message, toJson } from '@bufbuild/protobuf';
import { Code, ConnectError, type Transport } from '@connectrpc/connect';
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from '@connectrpc/connect-node';
import { ErrorInfoSchema } from '../../../gen/muster/v1/errors_pb.js';
import { JobService } from '../../../gen/muster/v1/jobs_pb.js';
import { type ApiKind, failure, type Headers, type MethodName, protoJson, view } from './api.js';

/** The library's default of 100 levels of messages is too few for 128 levels of JSON. */
const deep = { jsonOptions: { recursionLimit: 512 }, binaryOptions: { recursionLimit: 512 } };

/** Makes a transport; the sessions of HTTP/2 come from outside, so that they can be ended. */
type MakeTransport = (baseUrl: string, sessionManager: Http2SessionManager) => Transport;

/** Every message goes out compressed, which the fast paths leave to connect-node. */
const gzip = { sendCompression: compressionGzip, acceptCompression: [compressionGzip], compressMinBytes: 0 };

export const transports = {
  'Connect JSON': (baseUrl) => createConnectTransport({ ...deep, baseUrl, httpVersion: '1.1', useBinaryFormat: false }),
  'Connect JSON, h2c': (baseUrl, sessionManager) =>
    createConnectTransport({ ...deep, baseUrl, httpVersion: '2', useBinaryFormat: false, sessionManager }),
  'Connect JSON by GET': (baseUrl) =>
    createConnectTransport({ ...deep, baseUrl, httpVersion: '1.1', useBinaryFormat: false, useHttpGet: true }),
  'Connect binary': (baseUrl) =>
    createConnectTransport({ ...deep, baseUrl, httpVersion: '1.1', useBinaryFormat: true }),
  'Connect binary by GET, h2c': (baseUrl, sessionManager) =>
    createConnectTransport({
      ...deep,
      baseUrl,
      httpVersion: '2',
      useBinaryFormat: true,
      useHttpGet: true,
      sessionManager,
    }),
  'Connect JSON, gzip': (baseUrl) =>
    createConnectTransport({ ...deep, baseUrl, httpVersion: '1.1', useBinaryFormat: false, ...gzip }),
  'Connect binary, gzip, h2c': (baseUrl, sessionManager) =>
    createConnectTransport({ ...deep, baseUrl, httpVersion: '2', useBinaryFormat: true, sessionManager, ...gzip }),
  gRPC: (baseUrl, sessionManager) => createGrpcTransport({ ...deep, baseUrl, sessionManager }),
  'gRPC, gzip': (baseUrl, sessionManager) => createGrpcTransport({ ...deep, baseUrl, sessionManager, ...gzip }),
  'gRPC JSON': (baseUrl, sessionManager) =>
    createGrpcTransport({ ...deep, baseUrl, sessionManager, useBinaryFormat: false }),
  'gRPC-Web': (baseUrl) => createGrpcWebTransport({ ...deep, baseUrl, httpVersion: '1.1' }),
  'gRPC-Web, gzip': (baseUrl) => createGrpcWebTransport({ ...deep, baseUrl, httpVersion: '1.1', ...gzip }),
  'gRPC-Web, h2c': (baseUrl, sessionManager) =>
    createGrpcWebTransport({ ...deep, baseUrl, httpVersion: '2', sessionManager }),
} as const satisfies Readonly<Record<string, MakeTransport>>;

const { createJob, getJob, listJobs, cancelJob, claimJobs, heartbeatJob, completeJob, failJob } = JobService.method;
const methods: Readonly<Record<MethodName, DescMethodUnary>> = {
  CreateJob: createJob,
  GetJob: getJob,
  ListJobs: listJobs,
  CancelJob: cancelJob,
  ClaimJobs: claimJobs,
  HeartbeatJob: heartbeatJob,
  CompleteJob: completeJob,
  FailJob: failJob,
};

/** This project's generated client, over each of its transports. */
export const connectApis: readonly ApiKind[] = Object.entries<MakeTransport>(transports).map(([name, make]) => ({
  name,
  open: (url) => {
    const sessions = new Http2SessionManager(url);
    const transport = make(url, sessions);
    return {
      async call(method, request, headers: Headers = {}) {
        const desc = methods[method];
        const input = fromJson(desc.input, protoJson(request) as JsonObject, { recursionLimit: 512 });
        try {
          const { message } = await transport.unary(desc, undefined, undefined, { ...headers }, input);
          return {
            ok: view(toJson(desc.output, message as Message, { alwaysEmitImplicit: true, useProtoFieldName: true })),
          };
        } catch (error) {
          const known = ConnectError.from(error);
          const [info] = known.findDetails(ErrorInfoSchema);
          if (info === undefined) throw error;
          const json = toJson(ErrorInfoSchema, info, { alwaysEmitImplicit: true, useProtoFieldName: true });
          return failure(json, wordOf(known.code), known.rawMessage);
        }
      },
      close: () => sessions.abort(),
    };
  },
}));

/** `NotFound`: not_found. */
function wordOf(code: Code): string {
  return (Code[code] ?? '').replace(/(?<=.)[A-Z]/g, '_$&').toLowerCase();
}
