import type { Socket } from 'node:net';

/** What a connection's first bytes begin; whatever is not known is left to the HTTP/1 parser to refuse. */
export type Opening = 'http1' | 'http2' | 'tls';

/** No HTTP/1 method begins like the preface with which every HTTP/2 client opens (RFC 9113, 3.4). */
const http2Start = Buffer.from('PRI');
/** The type of a TLS record that belongs to a handshake (RFC 8446, 5.1). */
const tlsHandshake = 0x16;

/**
 * Waits for a connection's first bytes, puts them back and tells what they begin. Calls nothing when the
 * connection ends before, and ends it itself after `timeoutMs` without a word.
 */
export function sniff(socket: Socket, timeoutMs: number, decided: (opening: Opening) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const ignore = (): void => undefined;
  // A caller who leaves again; this side has to be closed by hand, since sockets here may be half open.
  const leave = (): void => void socket.end();
  socket.on('error', ignore);
  socket.once('end', leave);
  socket.once('close', () => clearTimeout(timer));

  function look(): void {
    const bytes = socket.read() as Buffer | null;
    if (bytes !== null) {
      seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes]);
      if (seen[0] === tlsHandshake) return decide('tls');
      const length = Math.min(seen.length, http2Start.length);
      const matches = seen.subarray(0, length).equals(http2Start.subarray(0, length));
      if (!matches || length === http2Start.length) return decide(matches ? 'http2' : 'http1');
    }
    socket.once('readable', look);
  }

  function decide(opening: Opening): void {
    clearTimeout(timer);
    socket.off('error', ignore);
    socket.off('end', leave);
    socket.unshift(seen);
    decided(opening);
  }

  look();
}
