import type { Readable } from 'node:stream';
import { AppError } from '../../errors.js';

/**
 * Counts the bytes that callers make the process hold: bodies that are arriving or being worked on, what they unpack to, and answers
 * that have not left. What comes in is refused when there is no room; what goes out has been made already, so that the connection
 * that takes least of it is ended instead.
 */
export interface InFlight {
  /** A connection begins. `cut` ends it at once. */
  enter(cut: () => void): Share;
}

/** What one connection has of it: up to half, so that none can shut out all others. */
export interface Share {
  begin(): Held;
  leave(): void;
}

interface Pool {
  readonly limit: number;
  readonly share: number;
  taken: number;
  unsent: number;
}

interface Connection {
  readonly cut: () => void;
  taken: number;
  unsent: number;
  isCut: boolean;
}

/** `limit`: most bytes in each direction. */
export function createInFlight(limit: number): InFlight {
  const pool: Pool = { limit, share: Math.floor(limit / 2), taken: 0, unsent: 0 };
  const connections = new Set<Connection>();

  /** Ends the connections that hold most until there is room again. */
  function shed(): void {
    while (pool.unsent > pool.limit) {
      const [worst] = [...connections].sort((a, b) => b.unsent - a.unsent);
      if (worst === undefined || worst.unsent === 0) return;
      pool.unsent -= worst.unsent;
      worst.unsent = 0;
      worst.isCut = true;
      worst.cut();
    }
  }

  return {
    enter(cut) {
      const connection: Connection = { cut, taken: 0, unsent: 0, isCut: false };
      connections.add(connection);
      return {
        begin: () => new Held(pool, connection, shed),
        leave: () => void connections.delete(connection),
      };
    },
  };
}

/** Throws `invalid_request` when the largest request, packed and unpacked, is more than one connection may have of `limit`. */
export function checkInFlight(limit: number, largest: number): void {
  if (limit >= 4 * largest) return;
  const least = 'four times the larger of MUSTER_MAX_BODY and MUSTER_MAX_MESSAGE';
  throw new AppError('invalid_request', `MUSTER_MAX_IN_FLIGHT: must be at least ${least}, which is ${4 * largest}`);
}

/** What one request makes the process hold, until it is released. */
export class Held {
  readonly #pool: Pool;
  readonly #connection: Connection;
  readonly #shed: () => void;
  /** Bytes of the body that have come, and those that are counted for it. */
  #received = 0;
  #counted = 0;
  #unpacked = 0;
  #unsent = 0;
  /** Of an answer that is there as a whole, which is held until the last of it has left. */
  #whole = 0;
  #failure: AppError | undefined;
  #onFailed: ((error: AppError) => void)[] | undefined;
  #released = false;

  constructor(pool: Pool, connection: Connection, shed: () => void) {
    this.#pool = pool;
    this.#connection = connection;
    this.#shed = shed;
  }

  /** Why the rest of the request is not read, if so. */
  get failure(): AppError | undefined {
    return this.#failure;
  }

  /**
   * To be asked before anything is done for a request: counts as many bytes as its head says that it will send, 0 when it does not.
   * Throws `unavailable` when there is no room for them, or the caller leaves too many answers unread.
   */
  announce(bytes: number): void {
    const fits = this.#connection.unsent <= this.#pool.share && this.#take(Math.max(0, bytes - this.#counted));
    if (!fits) throw noRoom();
    this.#counted = Math.max(bytes, this.#counted);
  }

  /** Counts what has come; false when there is no room, and then also for all that follows, which is to be thrown away. */
  received(bytes: number): boolean {
    if (this.#failure !== undefined) return false;
    this.#received += bytes;
    const more = this.#received - this.#counted;
    if (more <= 0) return true;
    if (!this.#take(more)) {
      this.fail(noRoom());
      return false;
    }
    this.#counted += more;
    return true;
  }

  /** Counts what has been unpacked. Throws `unavailable` when there is no room. */
  unpacked(bytes: number): void {
    if (!this.#take(bytes)) throw noRoom();
    this.#unpacked += bytes;
  }

  /** Of a stream of messages: so many bytes of the body, and what they unpacked to, have been dealt with. */
  passed(bytes: number): void {
    if (this.#released) return;
    this.#received -= bytes;
    const done = Math.min(bytes, this.#counted);
    this.#counted -= done;
    this.#give(done + this.#unpacked);
    this.#unpacked = 0;
  }

  /**
   * Counts an answer that is there as a whole. That of a read throws `unavailable` when the caller takes its answers too slowly for one
   * more of so many bytes, and `too_large` when there is never room for one; what has been written has to be told.
   */
  answer(bytes: number, { writes }: { readonly writes: boolean }): void {
    const { limit, share } = this.#pool;
    if (!writes && bytes > limit) {
      throw new AppError('too_large', `The answer would have ${bytes} bytes, and may have ${limit}; ask for less.`, {
        details: { bytes, max_bytes: limit },
      });
    }
    if (!writes && this.#connection.unsent > 0 && this.#connection.unsent + bytes > share) throw noRoom();
    this.#whole = bytes;
    this.unsent(0);
  }

  /** How much of the answer waits to be taken; false when it is more than its connection may leave. */
  unsent(waiting: number): boolean {
    if (this.#released || this.#connection.isCut) return true;
    const bytes = Math.max(waiting, this.#whole);
    const more = bytes - this.#unsent;
    this.#unsent = bytes;
    this.#connection.unsent += more;
    this.#pool.unsent += more;
    if (more <= 0) return true;
    if (this.#pool.unsent > this.#pool.limit) this.#shed();
    return this.#connection.unsent <= this.#pool.share || this.#connection.unsent === bytes;
  }

  /** Ends the reading of the request: whoever reads it answers with the error, now or as soon as it begins. */
  fail(error: AppError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#onFailed?.forEach((failed) => failed(error));
  }

  /** For whoever reads the body. Called at once when it has failed already. */
  onFailed(failed: (error: AppError) => void): void {
    if (this.#failure !== undefined) failed(this.#failure);
    else (this.#onFailed ??= []).push(failed);
  }

  /** The request and its answer are over. */
  release(): void {
    if (this.#released) return;
    this.#whole = 0;
    this.unsent(0);
    this.#released = true;
    this.#give(this.#counted + this.#unpacked);
  }

  #take(bytes: number): boolean {
    const { taken, limit, share } = this.#pool;
    if (bytes === 0 || this.#released) return true;
    if (taken + bytes > limit || this.#connection.taken + bytes > share) return false;
    this.#pool.taken += bytes;
    this.#connection.taken += bytes;
    return true;
  }

  #give(bytes: number): void {
    this.#pool.taken -= bytes;
    this.#connection.taken -= bytes;
  }
}

const retryAfterSec = 1;

function noRoom(): AppError {
  return new AppError('unavailable', 'The server holds as much as it may for its callers; try again.', {
    details: { retry_after_sec: retryAfterSec },
  });
}

/** Of the object that Node has for a request. A WeakMap would cost every call more than a microsecond, and the collector besides. */
const heldBy = Symbol('held');

interface Holder {
  [heldBy]?: Held;
}

/** Has `held` found by whoever has the request. What comes of its body is counted by a class of its own (http1-messages.ts). */
export function attachHeld(request: object, held: Held): void {
  (request as Holder)[heldBy] = held;
}

/**
 * Counts all that comes of a body on its way into `body`'s buffer, read or not: there is no event for that, and to listen for data
 * would be to read it. What there is no room for is thrown away.
 */
export function hold(body: Readable, held: Held): void {
  attachHeld(body, held);
  // Of HTTP/2 what has come in one packet with the head is there before Node tells of the stream.
  if (body.readableLength > 0) held.received(body.readableLength);
  const push = body.push.bind(body);
  body.push = (chunk: Uint8Array | null, encoding?: BufferEncoding) =>
    chunk === null || held.received(chunk.length) ? push(chunk, encoding) : true;
}

/** What a request holds, by the object that Node has for it; over HTTP/2 also by its stream. */
export function heldOf(request: object & { readonly stream?: object }): Held {
  const held = findHeld(request.stream ?? request);
  if (held === undefined) throw new Error('a request that nobody counts');
  return held;
}

/** Undefined for one whose connection had gone before it began. */
export function findHeld(request: object): Held | undefined {
  return (request as Holder)[heldBy];
}
