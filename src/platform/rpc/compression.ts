import { Code, ConnectError } from '@connectrpc/connect';
import type { Compression } from '@connectrpc/connect/protocol';
import { compressionBrotli, compressionGzip } from '@connectrpc/connect-node';

/** How messages may be packed. What cannot be unpacked is its sender's fault, also where connect-node takes it for one of ours. */
export const acceptedCompression: readonly Compression[] = [compressionGzip, compressionBrotli].map((compression) => ({
  ...compression,
  decompress: (bytes, readMaxBytes) =>
    compression.decompress(bytes, readMaxBytes).catch((error: unknown) => {
      const known = ConnectError.from(error);
      if (known.code === Code.ResourceExhausted) throw known;
      throw new ConnectError('The message cannot be unpacked.', Code.InvalidArgument, undefined, undefined, error);
    }),
}));
