import type { ServerHttp2Session } from 'node:http2';
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
