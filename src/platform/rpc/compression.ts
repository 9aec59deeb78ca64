import { Code, ConnectError } from '@connectrpc/connect';
import type { Compression } from '@connectrpc/connect/protocol';
import { compressionBrotli, compressionGzip } from '@connectrpc/connect-node';

/** As many as zlib works at; the others would only hold what they have unpacked so far. */
const maxAtOnce = 4;

let running = 0;
const waiting: (() => void)[] = [];

/**
 * How messages may be packed. What cannot be unpacked is its sender's fault, also where connect-node takes it for one of ours. Few are
 * unpacked at a time: each may take as much as the largest message before anybody knows how long it is.
 */
export const acceptedCompression: readonly Compression[] = [compressionGzip, compressionBrotli].map((compression) => ({
  ...compression,
  decompress: (bytes, readMaxBytes) =>
    inTurn(() => compression.decompress(bytes, readMaxBytes)).catch((error: unknown) => {
      const known = ConnectError.from(error);
      if (known.code === Code.ResourceExhausted) throw known;
      throw new ConnectError('The message cannot be unpacked.', Code.InvalidArgument, undefined, undefined, error);
    }),
}));

async function inTurn<T>(run: () => Promise<T>): Promise<T> {
  if (running >= maxAtOnce) await new Promise<void>((resolve) => waiting.push(resolve));
  else running += 1;
  try {
    return await run();
  } finally {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }
}
