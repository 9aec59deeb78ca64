import type { ClientHttp2Session } from 'node:http2';
import { type DescMethod, toBinary, toJsonString } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import { endStreamFromJson } from '@connectrpc/connect/protocol-connect';
import { findTrailerError } from '@connectrpc/connect/protocol-grpc';
import { trailerParse } from '@connectrpc/connect/protocol-grpc-web';
import { ErrorInfoSchema } from '../../../gen/muster/v1/errors_pb.js';
import type { Route } from '../../../src/platform/http/gateway/routes.js';
import { codecOf, type Plain } from '../../../src/platform/rpc/codec.js';
import { rest } from '../../support/rest.js';
import { openEventStream } from '../../support/sse.js';
import { openWebSocket, UpgradeRefused } from '../../support/websocket.js';
import { exchange, framed, openSession } from '../../support/wire/raw-grpc.js';

/** What became of a call: `ok`, or the word of its error; of a refusal, besides, the HTTP status or the code of the protocol. */
export type Outcome = string;

export interface Asked {
  readonly url: string;
  readonly method: DescMethod;
  /** The REST paths of the method. */
  readonly routes: readonly Route[];
  readonly input: Plain;
  readonly headers: Readonly<Record<string, string>>;
  /** For what is asked over HTTP/2; by default one for each call. */
  readonly session?: ClientHttp2Session;
}

/** Every way to make a call; undefined where a method cannot be called that way. */
export const ways: Readonly<Record<string, (asked: Asked) => Promise<Outcome | undefined>>> = {
  REST: (asked) => overRest(asked, (route) => route.stream === undefined),
  SSE: (asked) => overRest(asked, (route) => route.stream !== undefined && !route.websocket),
  WebSocket: overWebSocket,
  'Connect, fast': (asked) => overConnect(asked, 'application/json'),
  'Connect, general': (asked) => overConnect(asked, 'application/json; charset=utf8'),
  'Connect, stream': overConnectStream,
  gRPC: (asked) => overGrpc(asked, {}),
  'gRPC, general': (asked) => overGrpc(asked, { 'grpc-encoding': 'identity', 'content-type': 'application/grpc+json' }),
  'gRPC-Web': overGrpcWeb,
};

function isUnary({ method }: Asked): boolean {
  return method.methodKind === 'unary';
}

function snake(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** The path of a route with the input's fields in it, and what is left of the input. */
function targetOf(route: Route, input: Plain): { readonly path: string; readonly rest: Plain } {
  const left = Object.fromEntries(Object.entries(input).map(([name, value]) => [snake(name), value]));
  const path = route.template.source.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = left[name];
    delete left[name];
    return encodeURIComponent(String(value));
  });
  return { path, rest: left };
}

function queryOf(fields: Plain): string {
  const query = new URLSearchParams(
    Object.entries(fields).map(([name, value]) => [name, String(value)] as [string, string]),
  );
  return query.size === 0 ? '' : `?${query.toString()}`;
}

async function overRest(
  { url, routes, input, headers }: Asked,
  wanted: (route: Route) => boolean,
): Promise<Outcome | undefined> {
  const route = routes.find(wanted);
  if (route === undefined) return undefined;
  const { path, rest: left } = targetOf(route, input);
  if (route.stream !== undefined) {
    const stream = await openEventStream(url + path + queryOf(left), headers);
    await stream.over;
    return outcomeOf(stream.status, stream.text() === '' ? undefined : JSON.parse(stream.text()));
  }
  const body = route.body === 'none' ? undefined : left;
  const answer = await rest(url, route.method, path + (body === undefined ? queryOf(left) : ''), body, headers);
  if (answer.status === 401 && answer.headers.get('www-authenticate') !== 'Bearer') throw new Error('no challenge');
  return outcomeOf(answer.status, answer.json);
}

function outcomeOf(status: number, json: unknown): Outcome {
  if (status < 400) return 'ok';
  const { error, code } = json as { error: string; code: number };
  if (code !== status) throw new Error(`${code} in a ${status}`);
  return status === 401 || status === 403 ? `${error} ${status}` : error;
}

async function overWebSocket({ url, routes, headers }: Asked): Promise<Outcome | undefined> {
  const route = routes.find(({ websocket }) => websocket);
  if (route === undefined) return undefined;
  const { opened, socket } = openWebSocket(url, route.template.source, { headers });
  try {
    await opened;
    return 'ok';
  } catch (error) {
    if (!(error instanceof UpgradeRefused)) throw error;
    return outcomeOf(error.status, error.json);
  } finally {
    socket.terminate();
  }
}

function sessionOf({ session, url }: Asked): ClientHttp2Session {
  return session ?? openSession(url);
}

function pathOf({ method }: Asked): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function bytesOf({ method, input }: Asked): Uint8Array {
  return toBinary(method.input, codecOf(method.input).encode(input));
}

function jsonOf({ method, input }: Asked): string {
  return toJsonString(method.input, codecOf(method.input).encode(input));
}

async function overConnect(asked: Asked, type: string): Promise<Outcome | undefined> {
  if (!isUnary(asked)) return undefined;
  const headers = { ...asked.headers, 'content-type': type };
  const answer = await rest(asked.url, 'POST', pathOf(asked), jsonOf(asked), headers);
  if (answer.status === 200) return 'ok';
  const { code, details } = answer.json as { code: string; details?: readonly { value: string }[] };
  const word = infoWord(Buffer.from(details?.[0]?.value ?? '', 'base64'));
  return refusal(word, code === 'unauthenticated' || code === 'permission_denied' ? answer.status : undefined);
}

async function overConnectStream(asked: Asked): Promise<Outcome | undefined> {
  if (isUnary(asked)) return undefined;
  // Both ways at a time take HTTP/2.
  const session = sessionOf(asked);
  const head = { ':path': pathOf(asked), 'content-type': 'application/connect+json', ...asked.headers };
  const { body, headers } = await exchange(session, head, [encodeEnvelope(0, Buffer.from(jsonOf(asked)))]);
  if (Number(headers[':status']) !== 200) throw new Error(String(headers[':status']));
  const end = lastEnvelope(body);
  const { error } = endStreamFromJson(end);
  if (error === undefined) return 'ok';
  return word(error);
}

async function overGrpc(asked: Asked, more: Readonly<Record<string, string>>): Promise<Outcome> {
  const head = {
    ':path': pathOf(asked),
    'content-type': 'application/grpc',
    te: 'trailers',
    ...asked.headers,
    ...more,
  };
  const message = head['content-type'].endsWith('json') ? Buffer.from(jsonOf(asked)) : bytesOf(asked);
  const { headers, trailers } = await exchange(sessionOf(asked), head, [framed(message)]);
  if (Number(headers[':status']) !== 200) throw new Error(String(headers[':status']));
  const all = new Headers();
  for (const [name, value] of Object.entries({ ...headers, ...trailers })) {
    if (!name.startsWith(':')) all.set(name, String(value));
  }
  if (all.get('grpc-status') === null) throw new Error('no grpc-status');
  const error = findTrailerError(all);
  return error === undefined ? 'ok' : word(error);
}

async function overGrpcWeb(asked: Asked): Promise<Outcome | undefined> {
  if (asked.method.methodKind === 'bidi_streaming') return undefined;
  const response = await fetch(asked.url + pathOf(asked), {
    method: 'POST',
    headers: { ...asked.headers, 'content-type': 'application/grpc-web+proto' },
    body: framed(bytesOf(asked)),
  });
  if (response.status !== 200) throw new Error(String(response.status));
  const error = findTrailerError(trailerParse(lastEnvelope(Buffer.from(await response.arrayBuffer()))));
  return error === undefined ? 'ok' : word(error);
}

/** The content of the last of the envelopes in a body. */
function lastEnvelope(body: Buffer): Buffer {
  let at = 0;
  for (;;) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (end >= body.length) return body.subarray(at + 5, end);
    at = end;
  }
}

function word(error: ConnectError): Outcome {
  const [info] = error.findDetails(ErrorInfoSchema);
  if (info === undefined) throw new Error(`no ErrorInfo in ${error.message}`);
  return refusal(info.error, info.code === 401 || info.code === 403 ? info.code : undefined);
}

function infoWord(bytes: Buffer): string {
  const [info] = new ConnectError('', undefined, undefined, [
    { type: ErrorInfoSchema.typeName, value: bytes } as never,
  ]).findDetails(ErrorInfoSchema);
  if (info === undefined) throw new Error('no ErrorInfo');
  return info.error;
}

function refusal(name: string, code: number | undefined): Outcome {
  return code === undefined ? name : `${name} ${code}`;
}
