import type { IncomingMessage, ServerResponse } from 'node:http';
import { Code, ConnectError } from '@connectrpc/connect';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, hungUp } from '../../../errors.js';
import { acceptedCompression } from '../../rpc/compression.js';
import { toConnectError } from '../../rpc/connect-error.js';
import type { Service } from '../../rpc/methods.js';
import { boundTrailer } from './refuse.js';
import { type Held, heldOf } from '../in-flight.js';

/** Guards what is left to connect-node. */
export function createInbound(services: readonly Service[], maxMessageBytes: number) {
  const kinds = new Map(
    services.flatMap((service) => service.methods).map(({ path, desc }) => [path, desc.methodKind] as const),
  );
  return (request: FastifyRequest, reply: FastifyReply): void => {
    const kind = kinds.get(request.routeOptions.url ?? '');
    if (kind === undefined || request.method !== 'POST') return;
    // Over HTTP/1 what has not been read when it is answered would have to be read before the next request.
    heldOf(request.raw).onFailed(() => (reply.raw.shouldKeepAlive = false));
    boundTrailers(reply.raw);
    guardInbound(request.raw, { maxMessageBytes, correlationId: request.id, many: kind === 'bidi_streaming' });
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
  readonly maxMessageBytes: number;
  readonly correlationId: string;
  /** Whether there may be many messages, each of which is over when the next one is asked for. */
  readonly many: boolean;
}

const prefixBytes = 5;
const compressed = 1;

/**
 * Puts itself between a request and connect-node, which reads it by its async iterator: so that a call whose request does not get whole
 * is answered in its own protocol, and what messages unpack to is counted, of which connect-node tells nobody.
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
  let body: AsyncIterable<Uint8Array> = chunks;
  if (enveloped) body = envelopesOf(chunks, held, packing, options);
  else if (packing !== undefined) {
    body = wholeOf(chunks, held, packing, options);
    // What connect-node is told must fit what it is given.
    delete headers['content-encoding'];
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

/** The one message of unary Connect, unpacked. */
async function* wholeOf(
  chunks: AsyncIterable<Buffer>,
  held: Held,
  packing: Packing,
  options: InboundOptions,
): AsyncIterable<Uint8Array> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > options.maxMessageBytes) throw tooLarge(size, options);
    parts.push(chunk);
  }
  yield await unpack(Buffer.concat(parts), held, packing, options);
}

/** The envelopes of a stream, of which those that are packed come unpacked. What is none is left to connect-node to refuse. */
async function* envelopesOf(
  chunks: AsyncIterable<Buffer>,
  held: Held,
  packing: Packing | undefined,
  options: InboundOptions,
): AsyncIterable<Uint8Array> {
  const prefix = Buffer.alloc(prefixBytes);
  let prefixed = 0;
  /** Of the message under way: what is yet to come of it, and what is kept to be unpacked when it is whole. */
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
        const isPacked = ((prefix[0] ?? 0) & compressed) !== 0 && missing > 0;
        kept = isPacked && packing !== undefined && missing <= options.maxMessageBytes ? [] : undefined;
        if (kept === undefined) yield Buffer.from(prefix);
      }
      const piece = chunk.subarray(at, at + missing);
      at += piece.length;
      missing -= piece.length;
      if (kept !== undefined) kept.push(piece);
      else if (piece.length > 0) yield piece;
      if (missing > 0) continue;
      if (kept !== undefined && packing !== undefined) {
        const message = await unpack(Buffer.concat(kept), held, packing, options);
        kept = undefined;
        yield envelope((prefix[0] ?? 0) & ~compressed, message.length);
        yield message;
      }
      if (options.many) held.passed(prefixBytes + prefix.readUInt32BE(1));
      prefixed = 0;
    }
  }
  // Half a message: connect-node says so when it is given what there is.
  if (prefixed > 0 && prefixed < prefixBytes) yield prefix.subarray(0, prefixed);
  if (kept !== undefined) yield Buffer.from(prefix);
}

function envelope(flags: number, length: number): Buffer {
  const head = Buffer.alloc(prefixBytes);
  head[0] = flags;
  head.writeUInt32BE(length, 1);
  return head;
}

async function unpack(bytes: Buffer, held: Held, packing: Packing, options: InboundOptions): Promise<Uint8Array> {
  const message = await packing.decompress(bytes, options.maxMessageBytes);
  try {
    held.unpacked(message.length);
  } catch (error) {
    throw error instanceof AppError ? toConnectError(error, options.correlationId) : error;
  }
  return message;
}

function tooLarge(size: number, { maxMessageBytes }: InboundOptions): ConnectError {
  return new ConnectError(
    `message size ${size} is larger than configured readMaxBytes ${maxMessageBytes}`,
    Code.ResourceExhausted,
  );
}
