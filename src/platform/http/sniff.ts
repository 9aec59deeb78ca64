import type { Socket } from 'node:net';

/** No HTTP/1 method begins like the preface with which every HTTP/2 client opens (RFC 9113, 3.4). */
const http2Start = Buffer.from('PRI');

/**
 * Waits for a connection's first bytes, puts them back and tells which protocol they begin. Calls nothing when the
 * connection ends before, and ends it itself after `timeoutMs` without a word.
 */
export function sniff(socket: Socket, timeoutMs: number, decided: (protocol: 'http1' | 'http2') => void): void {
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
      const length = Math.min(seen.length, http2Start.length);
      const matches = seen.subarray(0, length).equals(http2Start.subarray(0, length));
      if (!matches || length === http2Start.length) return decide(matches ? 'http2' : 'http1');
    }
    socket.once('readable', look);
  }

  function decide(protocol: 'http1' | 'http2'): void {
    clearTimeout(timer);
    socket.off('error', ignore);
    socket.off('end', leave);
    socket.unshift(seen);
    decided(protocol);
  }

  look();
}
