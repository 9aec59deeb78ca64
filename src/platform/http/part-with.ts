import type { Duplex } from 'node:stream';

/** How long a caller who has been told the last word may take to leave. */
const lingerMs = 1000;

/**
 * Says the last word on a connection. What the caller still sends is thrown away: closing before it has been read would reset the
 * connection, and the word with it. A caller who does not leave is cut off after a moment.
 */
export function partWith(socket: Duplex, lastWord: string): void {
  socket.on('error', () => undefined);
  socket.end(lastWord);
  socket.resume();
  const cut = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(cut));
}
