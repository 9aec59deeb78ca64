import {
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { create, type DescMessage, type DescMethodUnary, isMessage, type MessageShape } from '@bufbuild/protobuf';
import { appendHeaders, Code, ConnectError, type Transport, type UnaryResponse } from '@connectrpc/connect';
import { createClientMethodSerializers, getAbortSignalReason } from '@connectrpc/connect/protocol';
import {
  contentTypeUnaryProto,
  errorFromJsonBytes,
  headerTimeout,
  requestHeader,
  trailerDemux,
  validateResponseWithCompression,
} from '@connectrpc/connect/protocol-connect';
import { codeOf } from '../errors.js';
import { binaryReadOptions, jsonReadOptions } from '../platform/rpc/limits.js';
import { causesOf } from './error-facts.js';
import type { Session } from './session.js';

export interface UnaryOptions {
  /** Without a slash at its end. */
  readonly url: string;
  readonly session: Session;
  /** Sent with every call, in place of its own of the same name. */
  readonly headers: Readonly<Record<string, string>>;
}

interface Answer {
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly body: Buffer;
}

/**
 * Unary calls over the Connect protocol, as connect-node's transport makes them, at a third of what they cost there (docs/benchmarks.md):
 * that one passes through streams, iterators, and web headers built twice, where a message goes there and one comes back. What
 * an answer means that is no plain success is still the library's to say.
 *
 * Source of the protocol: https://connectrpc.com/docs/protocol
 */
export function createUnary({ url, session, headers }: UnaryOptions): Transport['unary'] {
  const base = new URL(url).pathname.replace(/\/$/, '');
  const fixed: OutgoingHttpHeaders = Object.fromEntries(requestHeader('unary', true, undefined, headers, true));

  return async (method, signal, timeoutMs, header, input) => {
    const { serialize, parse } = createClientMethodSerializers(method, true, jsonReadOptions, binaryReadOptions);
    const message = serialize(isMessage(input, method.input) ? input : create(method.input, input));
    const path = `${base}/${method.parent.typeName}/${method.name}`;
    const deadline = timeoutMs !== undefined && timeoutMs > 0 ? timeoutMs : undefined;
    const sent = {
      ...(header !== undefined && Object.fromEntries(new Headers(header))),
      ...fixed,
      ...(deadline !== undefined && { [headerTimeout]: String(deadline) }),
    };
    const { headers: told, body } = await exchange(session, path, sent, message, signal, deadline);
    if (!isPlain(told)) checkAnswer(told, body);
    return responseOf(method, told, parse(body));
  };
}

/** Sends a message and gives what is answered. Rejects with a ConnectError when there is no whole answer. */
function exchange(
  session: Session,
  path: string,
  headers: OutgoingHttpHeaders,
  message: Uint8Array,
  signal: AbortSignal | undefined,
  deadline: number | undefined,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let stream: ClientHttp2Stream | undefined;
    let isOver = false;
    const giveUp = (reason: unknown): void => {
      fail(ConnectError.from(reason, Code.Canceled));
      stream?.close(constants.NGHTTP2_CANCEL);
    };
    const hungUp = (): void => giveUp(signal === undefined ? undefined : getAbortSignalReason(signal));
    const timer =
      deadline === undefined
        ? undefined
        : setTimeout(() => giveUp(new ConnectError('the operation timed out', Code.DeadlineExceeded)), deadline);

    function end(): boolean {
      if (isOver) return false;
      isOver = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', hungUp);
      return true;
    }
    function fail(error: ConnectError): void {
      if (end()) reject(error);
    }

    function send(opened: ClientHttp2Stream): void {
      stream = opened;
      let told: Answer['headers'] = {};
      const parts: Buffer[] = [];
      opened.on('error', (error) => fail(lost(error)));
      opened.on('response', (answered) => (told = answered));
      opened.on('data', (part: Buffer) => {
        parts.push(part);
        session.notifyResponseByteRead(opened);
      });
      opened.on('end', () => {
        const body = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
        // A stream that was cut off ends, too.
        if (isWhole(opened, told, body) && end()) resolve({ headers: told, body });
      });
      opened.on('close', () => fail(cutOff(opened)));
      if (isOver) opened.close(constants.NGHTTP2_CANCEL);
      else opened.end(message);
    }

    if (signal?.aborted === true) return hungUp();
    signal?.addEventListener('abort', hungUp);
    session.request('POST', path, headers, {}).then(send, (error: unknown) => fail(lost(error)));
  });
}

function isWhole(stream: ClientHttp2Stream, headers: Answer['headers'], body: Buffer): boolean {
  if (stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR) return false;
  const length = headers['content-length'];
  return length === undefined || Number(length) === body.length;
}

/** What is known of a connection that failed; the errors of Node's that tell more are its cause. */
function lost(error: unknown): ConnectError {
  const isUnreached = [...causesOf(error)].some((cause) => unreached.has(codeOf(cause) ?? ''));
  const known = ConnectError.from(error, isUnreached ? Code.Unavailable : Code.Aborted);
  if (known !== error) known.cause = error;
  return known;
}

const unreached = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT']);

/** `errorFactsOf` knows it by its text, which is the library's. */
function cutOff({ rstCode }: ClientHttp2Stream): ConnectError {
  const code = rstCode === constants.NGHTTP2_REFUSED_STREAM ? Code.Unavailable : Code.Aborted;
  return new ConnectError(`http/2 stream closed with error code 0x${rstCode.toString(16)}`, code);
}

/** Headers are made of those that came when somebody asks for them. */
function responseOf<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  told: Answer['headers'],
  message: MessageShape<O>,
): UnaryResponse<I, O> {
  let demuxed: [header: Headers, trailer: Headers] | undefined;
  const parts = (): [header: Headers, trailer: Headers] => (demuxed ??= trailerDemux(webHeaders(told)));
  return {
    stream: false,
    service: method.parent,
    method,
    message,
    get header() {
      return parts()[0];
    },
    get trailer() {
      return parts()[1];
    },
  };
}

function isPlain(told: Answer['headers']): boolean {
  return (
    told[':status'] === 200 && told['content-type'] === contentTypeUnaryProto && told['content-encoding'] === undefined
  );
}

/** Throws the error that an answer stands for. */
function checkAnswer(told: Answer['headers'], body: Buffer): void {
  const header = webHeaders(told);
  const { isUnaryError, unaryError } = validateResponseWithCompression('unary', [], true, told[':status'] ?? 0, header);
  if (!isUnaryError) return;
  throw errorFromJsonBytes(body, appendHeaders(...trailerDemux(header)), unaryError);
}

function webHeaders(headers: IncomingHttpHeaders): Headers {
  const web = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [String(value)]) web.append(name, one);
  }
  return web;
}
