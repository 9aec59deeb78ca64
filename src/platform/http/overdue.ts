import type { ServerResponse } from 'node:http';
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';

/**
 * Ends what takes too long and what Node does not end by itself: the request of an HTTP/2 stream that does not get whole, and an answer,
 * of either HTTP, that is not taken. Streams of answers that have not ended yet are left to those who write them.
 */
export interface Overdue {
  watchStream(stream: ServerHttp2Stream, facts: StreamFacts): void;
  stop(): void;
}

/**
 * What may last for as long as it likes: nothing, the answer, or both it and the request, which must begin in time. Answers that turn
 * out to be server-sent events may last, too.
 */
export type Streaming = 'none' | 'answer' | 'both';

export interface StreamFacts {
  readonly headers: IncomingHttpHeaders;
  readonly streaming: Streaming;
}

export interface OverdueOptions {
  /** For a request to get whole, and again for its answer to be taken; milliseconds. */
  readonly timeoutMs: number;
  /** Answers a stream whose request is late. One that is still late at the next look is cut. */
  readonly onLate: (stream: ServerHttp2Stream, facts: StreamFacts) => void;
  /** Those of HTTP/1 whose connection has them still; asked for at each look, since to be told of each would cost every call. */
  readonly answers: () => Iterable<ServerResponse>;
}

interface Watched {
  readonly began: number;
  readonly facts: StreamFacts;
  /** When the whole answer was first seen to be there. */
  answered: number | undefined;
  /** Whether it has been told that it is late. */
  told: boolean;
}

/** How often they are looked at, which is also how late the end may come; a timer for each would cost every call. */
const longestIntervalMs = 5000;

export function checkingIntervalMs(timeoutMs: number): number {
  return Math.min(timeoutMs, longestIntervalMs);
}

export function createOverdue({ timeoutMs, onLate, answers }: OverdueOptions): Overdue {
  const streams = new Map<ServerHttp2Stream, Watched>();
  /** Answers of HTTP/1 that were there as a whole at the last look, and since when. */
  let ended = new Map<ServerResponse, number>();

  /** Whether an answer that is there has waited for its caller for too long. */
  function isStuck(isThere: boolean, watched: { answered: number | undefined }): boolean {
    if (!isThere) return false;
    const now = performance.now();
    watched.answered ??= now;
    return now - watched.answered >= timeoutMs;
  }

  function look(): void {
    const now = performance.now();
    for (const [stream, watched] of streams) {
      if (isStuck(isAnswered(stream, watched.facts), watched)) cut(stream);
      else if (now - watched.began >= timeoutMs && isLate(stream, watched)) {
        if (stream.headersSent || watched.told) cut(stream);
        else onLate(stream, watched.facts);
        watched.told = true;
      }
    }
    const stillEnded = new Map<ServerResponse, number>();
    for (const response of answers()) {
      if (!response.writableEnded) continue;
      const since = ended.get(response) ?? now;
      stillEnded.set(response, since);
      if (now - since >= timeoutMs) response.req.socket.destroy();
    }
    ended = stillEnded;
  }

  const timer = setInterval(look, checkingIntervalMs(timeoutMs)).unref();
  return {
    watchStream(stream, facts) {
      streams.set(stream, { began: performance.now(), facts, answered: undefined, told: false });
      stream.once('close', () => streams.delete(stream));
    },
    stop: () => clearInterval(timer),
  };
}

function isLate(stream: ServerHttp2Stream, { facts: { streaming } }: Watched): boolean {
  if (stream.destroyed || stream.endAfterHeaders || stream.state.remoteClose === 1) return false;
  return streaming !== 'both' || !stream.readableDidRead;
}

/** An answer that does not last is there with its head, though Fastify and connect-node hand it over piece by piece. */
function isAnswered(stream: ServerHttp2Stream, { streaming }: StreamFacts): boolean {
  if (stream.writableEnded) return true;
  if (!stream.headersSent || streaming !== 'none') return false;
  const type = stream.sentHeaders?.['content-type'];
  return typeof type !== 'string' || !type.startsWith('text/event-stream');
}

function cut(stream: ServerHttp2Stream): void {
  stream.close(constants.NGHTTP2_CANCEL);
  stream.destroy();
}
