import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { AppError, hungUp } from '../../errors.js';
import { heldOf } from './in-flight.js';

/** How many bytes the head says will come; 0 when it does not say, and when it is more than may be, which its reader tells. */
export function announcedBytes(headers: IncomingHttpHeaders, maxBytes: number): number {
  const length = Number(headers['content-length'] ?? 0);
  return length > 0 && length <= maxBytes ? length : 0;
}

/**
 * Reads a body whole. Rejects with `too_large`, in these words and with the limit, as soon as there is more of it than `maxBytes`, with `canceled` when its
 * caller hangs up, and with what ends its reading (Held).
 */
export function readBody(raw: IncomingMessage, maxBytes: number, tooLarge: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (Number(raw.headers['content-length']) > maxBytes) throw bodyTooLarge(maxBytes, tooLarge);
    let chunks: Buffer[] = [];
    let size = 0;
    const fail = (error: Error): void => {
      chunks = [];
      size = Infinity;
      reject(error);
    };
    heldOf(raw).onFailed(fail);
    raw.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else fail(bodyTooLarge(maxBytes, tooLarge));
    });
    let isWhole = false;
    raw.on('end', () => {
      isWhole = true;
      resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
    });
    raw.on('error', fail);
    raw.on('close', () => isWhole || fail(hungUp()));
  });
}

export function bodyTooLarge(maxBytes: number, message: string): AppError {
  return new AppError('too_large', message, { details: { max_bytes: maxBytes } });
}

/** What is said of one message that is a body. */
export function messageTooLarge(maxBytes: number): string {
  return `A message may have ${maxBytes} bytes.`;
}
