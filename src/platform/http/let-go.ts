import type { ServerHttp2Stream } from 'node:http2';

const againMs = 50;

/**
 * Tells a caller who has been answered, and keeps its side open, that nobody reads it (RFC 9113, 8.1): a stream that ends early would
 * else stay until the connection ends. Call it when the answer's last frame has been handed over. It waits until that frame has left,
 * since a reset drops what has not; Node has no event for that.
 */
export function letGo(stream: ServerHttp2Stream): void {
  setImmediate(look, stream);
}

function look(stream: ServerHttp2Stream): void {
  if (stream.endAfterHeaders || stream.readableEnded || stream.destroyed) return;
  // Destroyed and not just closed: what has come and nobody reads would keep the stream, and with it the session, from ending.
  if (stream.closed || stream.state.localClose === 1) stream.destroy();
  else setTimeout(look, againMs, stream).unref();
}
