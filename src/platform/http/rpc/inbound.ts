import type { IncomingMessage, ServerResponse } from 'node:http';
import { Code, ConnectError } from '@connectrpc/connect';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, hungUp } from '../../../errors.js';
import { acceptedCompression } from '../../rpc/compression.js';
import { callersFault, toConnectError, withInfo } from '../../rpc/connect-error.js';
import type { Method, Service } from '../../rpc/methods.js';
import { readMessage } from '../../rpc/read-message.js';
import { bodyTooLarge, messageTooLarge } from '../body.js';
import { boundTrailer } from './refuse.js';
import { type Held, heldOf } from '../in-flight.js';

/** Guards what is left to connect-node. */
export function createInbound(services: readonly Service[], maxMessageBytes: number) {
  const methods = new Map(services.flatMap((service) => service.methods).map((method) => [method.path, method]));
  return (request: FastifyRequest, reply: FastifyReply): void => {
    const method = methods.get(request.routeOptions.url ?? '');
    if (method === undefined || request.method !== 'POST') return;
    // Over HTTP/1 what has not been read when it is answered would have to be read before the next request.
    heldOf(request.raw).onFailed(() => (reply.raw.shouldKeepAlive = false));
    boundTrailers(reply.raw);
    guardInbound(request.raw, { method, maxMessageBytes, correlationId: request.id });
  };
}

/** connect-node repeats what it cannot read of a header. */
function boundTrailers(response: ServerResponse): void {
  const { addTrailers } = response;
  response.addTrailers = (trailers) => {
    const bound = Object.entries(trailers).map(([name, value]) => {
      return [name, typeof value === 'string' ? boundTrailer(name, value) : value] as const;
    });
    addTrailers.call(response, Object.fromEntries(bound.filter(([, value]) => value !== '')));
  };
}

interface InboundOptions {
  readonly method: Method;
  readonly maxMessageBytes: number;
  readonly correlationId: string;
}

const prefixBytes = 5;
const compressed = 1;

/**
 * Puts itself between a request and connect-node, which reads it by its async iterator: so that a call whose request does not get whole
 * is answered in its own protocol, what messages unpack to is counted, of which connect-node tells nobody, and one that cannot be read
 * is refused with the documented facts. Of many messages those that read them see to that.
 */
function guardInbound(raw: IncomingMessage, options: InboundOptions): void {
  const held = heldOf(raw);
  const { headers } = raw;
  const chunks = chunksOf(raw, held, options);
  const type = headers['content-type'] ?? '';
  const enveloped = /^application\/(?:grpc|connect\+)/.test(type);
  const packing = packingOf(
    headers[
      !enveloped
        ? 'content-encoding'
        : type.startsWith('application/grpc')
          ? 'grpc-encoding'
          : 'connect-content-encoding'
    ],
  );
  const handling: Handling = { held, packing, check: createCheck(type, options) };
  let body: AsyncIterable<Uint8Array>;
  if (enveloped) body = envelopesOf(chunks, handling, options);
  else {
    body = wholeOf(chunks, Number(headers['content-length'] ?? 0), handling, options);
    // What connect-node is told must fit what it is given.
    if (packing !== undefined) delete headers['content-encoding'];
    delete headers['content-length'];
  }
  Object.defineProperty(raw, Symbol.asyncIterator, { value: () => body[Symbol.asyncIterator]() });
}

type Packing = (typeof acceptedCompression)[number];

function packingOf(name: string | string[] | undefined): Packing | undefined {
  return acceptedCompression.find((each) => each.name === name);
}

async function* chunksOf(
  raw: IncomingMessage,
  held: Held,
  { correlationId }: InboundOptions,
): AsyncGenerator<Buffer, void, undefined> {
  let queue: Buffer[] = [];
  const end: { how: 'none' | 'whole' | AppError } = { how: 'none' };
  let unread = false;
  let wake: (() => void) | undefined;
  const finish = (how: 'whole' | AppError): void => {
    if (end.how === 'none') end.how = how;
    wake?.();
  };
  raw.on('data', (chunk: Buffer) => {
    if (unread) return;
    queue.push(chunk);
    raw.pause();
    wake?.();
  });
  raw.once('end', () => finish('whole'));
  raw.once('error', () => finish(hungUp()));
  raw.once('close', () => finish(hungUp()));
  held.onFailed(finish);
  try {
    for (;;) {
      if (typeof end.how === 'object') throw toConnectError(end.how, correlationId);
      const chunk = queue.shift();
      if (chunk !== undefined) yield chunk;
      else if (end.how === 'whole') return;
      else {
        raw.resume();
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    unread = true;
    queue = [];
    raw.resume();
  }
}

/** What is done with a message, besides being handed on. */
interface Handling {
  readonly held: Held;
  readonly packing: Packing | undefined;
  /** Throws for one that cannot be read; undefined where there may be many, each of which is over when the next one is asked for. */
  readonly check: ((message: Uint8Array) => void) | undefined;
}

/** Reads the message of a call that has one. It is read anew by connect-node, which says less of one that it cannot read. */
function createCheck(type: string, { method, correlationId }: InboundOptions): Handling['check'] {
  const { methodKind, input } = method.desc;
  if (methodKind === 'bidi_streaming') return undefined;
  const format = /json/i.test(type) ? 'json' : 'proto';
  return (message) => {
    try {
      readMessage(input, format, message);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      throw format === 'proto' && type.startsWith('application/grpc')
        ? withInfo(new ConnectError(error.message, Code.Internal), error, correlationId)
        : toConnectError(error, correlationId);
    }
  };
}

/** The one message of unary Connect, unpacked. */
async function* wholeOf(
  chunks: AsyncIterable<Buffer>,
  announced: number,
  { held, packing, check }: Handling,
  options: InboundOptions,
): AsyncIterable<Uint8Array> {
  const { maxMessageBytes, correlationId } = options;
  const tooLong = () => toConnectError(bodyTooLarge(maxMessageBytes, messageTooLarge(maxMessageBytes)), correlationId);
  if (announced > maxMessageBytes) throw tooLong();
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > maxMessageBytes) throw tooLong();
    parts.push(chunk);
  }
  const message = await unpack(Buffer.concat(parts), held, packing, options);
  check?.(message);
  yield message;
}

/** The envelopes of a call, of which those that are packed come unpacked. What is none is left to connect-node to refuse. */
async function* envelopesOf(
  chunks: AsyncIterable<Buffer>,
  { held, packing, check }: Handling,
  options: InboundOptions,
): AsyncIterable<Uint8Array> {
  const prefix = Buffer.alloc(prefixBytes);
  let prefixed = 0;
  /** Of the message under way: what is yet to come of it, and what is kept to be unpacked or checked when it is whole. */
  let missing = 0;
  let kept: Buffer[] | undefined;
  for await (const chunk of chunks) {
    let at = 0;
    while (at < chunk.length) {
      if (prefixed < prefixBytes) {
        const taken = chunk.copy(prefix, prefixed, at);
        at += taken;
        prefixed += taken;
        if (prefixed < prefixBytes) break;
        missing = prefix.readUInt32BE(1);
        if (check !== undefined && missing > options.maxMessageBytes) throw tooLarge(missing, options);
        const [flags = 0] = prefix;
        const isPacked = (flags & compressed) !== 0 && missing > 0;
        const isTaken = isPacked ? packing !== undefined : flags === 0 && check !== undefined;
        kept = isTaken && missing <= options.maxMessageBytes ? [] : undefined;
        if (kept === undefined) yield Buffer.from(prefix);
      }
      const piece = chunk.subarray(at, at + missing);
      at += piece.length;
      missing -= piece.length;
      if (kept !== undefined) kept.push(piece);
      else if (piece.length > 0) yield piece;
      if (missing > 0) continue;
      if (kept !== undefined) {
        const [flags = 0] = prefix;
        const isPacked = (flags & compressed) !== 0;
        const message = await unpack(Buffer.concat(kept), held, isPacked ? packing : undefined, options);
        kept = undefined;
        check?.(message);
        yield envelope(flags & ~compressed, message.length);
        yield message;
      }
      if (check === undefined) held.passed(prefixBytes + prefix.readUInt32BE(1));
      prefixed = 0;
    }
  }
  // Half a message: connect-node says so when it is given what there is.
  if (prefixed > 0 && prefixed < prefixBytes) yield prefix.subarray(0, prefixed);
  if (kept !== undefined) yield Buffer.concat([prefix, ...kept]);
}

function envelope(flags: number, length: number): Buffer {
  const head = Buffer.alloc(prefixBytes);
  head[0] = flags;
  head.writeUInt32BE(length, 1);
  return head;
}

async function unpack(
  bytes: Buffer,
  held: Held,
  packing: Packing | undefined,
  { maxMessageBytes, correlationId }: InboundOptions,
): Promise<Uint8Array> {
  if (packing === undefined) return bytes;
  try {
    const message = await packing.decompress(bytes, maxMessageBytes);
    held.unpacked(message.length);
    return message;
  } catch (error) {
    if (error instanceof AppError) throw toConnectError(error, correlationId);
    throw error instanceof ConnectError ? withInfo(error, callersFault(error), correlationId) : error;
  }
}

function tooLarge(size: number, { maxMessageBytes, correlationId }: InboundOptions): ConnectError {
  const text = `message size ${size} is larger than configured readMaxBytes ${maxMessageBytes}`;
  const details = { bytes: size, max_bytes: maxMessageBytes };
  return toConnectError(new AppError('too_large', text, { details }), correlationId);
}
