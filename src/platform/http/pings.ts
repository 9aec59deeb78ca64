import { constants, type ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';

/**
 * Ends a session that does not answer pings: within twice `intervalMs`. Its caller may have gone without a word, or sent what made
 * nghttp2 give the session up, of which Node tells nobody: the connection would stay for as long as the other side likes.
 */
export function keepAsking(session: ServerHttp2Session, socket: Socket, intervalMs: number): void {
  let answered = true;
  const timer = setInterval(() => {
    // Its end waits for the other side to hang up.
    if (session.destroyed) return void socket.destroy();
    if (!answered) return session.destroy();
    answered = false;
    session.ping((error) => (answered = error === null));
  }, intervalMs).unref();
  session.once('close', () => clearInterval(timer));
}

const floodWindowMs = 10_000;
/** In that time. Clients that measure their connection ping as often as its data goes back and forth, for a while. */
const mostPings = 10_000;
const mostSettings = 1000;

/** Ends a session whose caller does nothing but ask for answers: nghttp2 does so only when they are not taken. */
export function endFloods(session: ServerHttp2Session): void {
  const tooMany = (most: number) => {
    let began = 0;
    let count = 0;
    return (): void => {
      const now = performance.now();
      if (now - began > floodWindowMs) [began, count] = [now, 0];
      count += 1;
      if (count === most + 1) session.destroy(new Error('a flood'), constants.NGHTTP2_ENHANCE_YOUR_CALM);
    };
  };
  session.on('ping', tooMany(mostPings));
  session.on('remoteSettings', tooMany(mostSettings));
}
