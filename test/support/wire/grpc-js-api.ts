import { BinaryReader } from '@bufbuild/protobuf/wire';
import * as grpc from '@grpc/grpc-js';
import { loadSync, type MethodDefinition } from '@grpc/proto-loader';
import { type ApiKind, failure, type Fields, type Headers, protoJson, view } from './api.js';
import { readInfo } from './error-info.js';

/** Google's gRPC client for Node, which reads the .proto files by itself. */
export const service = loadSync('muster/v1/jobs.proto', {
  includeDirs: ['proto', 'node_modules/google-proto-files'],
  keepCase: true,
  enums: String,
  longs: Number,
  defaults: true,
  oneofs: true,
})['muster.v1.JobService'] as unknown as Readonly<Record<string, MethodDefinition<object, object>>>;

// protobufjs stops at 100 levels of messages, and a level of JSON is three of them.
const maxDepth = 30;

export const grpcJsApis: readonly ApiKind[] = [
  { name: '@grpc/grpc-js', maxDepth, open: (url) => open(url, {}) },
  {
    name: '@grpc/grpc-js, gzip',
    maxDepth,
    open: (url) => open(url, { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip }),
  },
];

export function grpcJsClient(url: string, options: grpc.ChannelOptions = {}): grpc.Client {
  return new grpc.Client(new URL(url).host, grpc.credentials.createInsecure(), options);
}

function open(url: string, options: grpc.ChannelOptions) {
  const client = grpcJsClient(url, options);
  return {
    call(method: string, request: Fields, headers: Headers = {}) {
      const { path, requestSerialize, responseDeserialize } = methodOf(method);
      const metadata = new grpc.Metadata();
      for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
      return new Promise<ReturnType<typeof failure>>((resolve, reject) => {
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          toLoader(protoJson(request)),
          metadata,
          (error, answer) => {
            try {
              resolve(error === null ? { ok: view(fromLoader(answer)) } : failureOf(error));
            } catch (fault) {
              reject(fault as Error);
            }
          },
        );
      });
    },
    close: () => client.close(),
  };
}

export function methodOf(name: string): MethodDefinition<object, object> {
  const method = service[name];
  if (method === undefined) throw new Error(`there is no method ${name}`);
  return method;
}

/** Reads the error as any gRPC program does: from grpc-status-details-bin, a google.rpc.Status. */
export function failureOf(error: grpc.ServiceError) {
  const [bytes] = error.metadata.get('grpc-status-details-bin');
  if (!(bytes instanceof Uint8Array)) throw error;
  const status = readStatus(bytes);
  if (status.code !== error.code) throw new Error(`grpc-status is ${error.code}, the detail says ${status.code}`);
  if (status.type !== 'type.googleapis.com/muster.v1.ErrorInfo') throw new Error(`a detail of type ${status.type}`);
  if (!saysSame(error.details, status.message)) {
    throw new Error(`grpc-message is '${error.details}', not '${status.message}'`);
  }
  return failure(readInfo(status.value), (grpc.status[error.code] ?? '').toLowerCase(), status.message);
}

/**
 * connect-node encodes more of a grpc-message than the protocol asks for, and grpc-js decodes less than that: a colon comes out as
 * %3A. It is the same message all the same.
 */
function saysSame(grpcMessage: string, message: string): boolean {
  return grpcMessage === message || grpcMessage === decodeURI(encodeURIComponent(message));
}

/** google.rpc.Status: code = 1, message = 2, details = 3 (Any: type_url = 1, value = 2). */
function readStatus(bytes: Uint8Array) {
  const status = { code: 0, message: '', type: '', value: new Uint8Array() };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field] = reader.tag();
    if (field === 1) status.code = reader.int32();
    else if (field === 2) status.message = reader.string();
    else {
      const any = new BinaryReader(reader.bytes());
      while (any.pos < any.len) {
        const [part] = any.tag();
        if (part === 1) status.type = any.string();
        else status.value = Uint8Array.from(any.bytes());
      }
    }
  }
  return status;
}

const valueFields = new Set(['payload', 'result', 'progress']);

/** What proto-loader wants for a request: it knows nothing of the JSON form of Value and Timestamp. */
export function toLoader(request: Fields): object {
  return Object.fromEntries(
    Object.entries(request).map(([name, value]) => {
      if (valueFields.has(name)) return [name, toValue(value)];
      if (name.endsWith('_at') && typeof value === 'string') {
        const ms = Date.parse(value);
        return [name, { seconds: Math.floor(ms / 1000), nanos: (ms - Math.floor(ms / 1000) * 1000) * 1e6 }];
      }
      return [name, value];
    }),
  );
}

function toValue(json: unknown): object {
  if (json === null) return { nullValue: 'NULL_VALUE' };
  if (typeof json === 'number') return { numberValue: json };
  if (typeof json === 'string') return { stringValue: json };
  if (typeof json === 'boolean') return { boolValue: json };
  if (Array.isArray(json)) return { listValue: { values: json.map(toValue) } };
  return {
    structValue: { fields: Object.fromEntries(Object.entries(json as object).map(([k, v]) => [k, toValue(v)])) },
  };
}

interface LoaderValue {
  readonly kind?: string;
  readonly structValue?: { readonly fields: Readonly<Record<string, LoaderValue>> };
  readonly listValue?: { readonly values: readonly LoaderValue[] };
  readonly [scalar: string]: unknown;
}

export function fromLoader(answer: unknown): unknown {
  if (Array.isArray(answer)) return answer.map(fromLoader);
  if (typeof answer !== 'object' || answer === null) return answer;
  return Object.fromEntries(
    Object.entries(answer).flatMap(([name, value]): (readonly [string, unknown])[] => {
      // Says which member of a oneof is set; an optional field that is unset is not there at all.
      if (name.startsWith('_')) return [];
      if (value === null) return [[name, value]];
      if (valueFields.has(name)) return [[name, fromValue(value as LoaderValue)]];
      if (name.endsWith('_at')) {
        const { seconds, nanos } = value as { seconds: number; nanos: number };
        return [[name, new Date(seconds * 1000 + nanos / 1e6).toISOString()]];
      }
      return [[name, fromLoader(value)]];
    }),
  );
}

function fromValue(value: LoaderValue): unknown {
  switch (value.kind) {
    case 'structValue':
      return Object.fromEntries(
        Object.entries(value.structValue?.fields ?? {}).map(([name, member]) => [name, fromValue(member)]),
      );
    case 'listValue':
      return (value.listValue?.values ?? []).map(fromValue);
    case 'nullValue':
    case undefined:
      return null;
    default:
      return value[value.kind];
  }
}
