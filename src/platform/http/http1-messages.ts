import { IncomingMessage, ServerResponse } from 'node:http';
import { findHeld } from './in-flight.js';

/** A request whose body is counted on its way into the buffer, read or not. What there is no room for is thrown away. */
export class CountedRequest extends IncomingMessage {
  override push(chunk: Uint8Array | null, encoding?: BufferEncoding): boolean {
    return chunk === null || findHeld(this)?.received(chunk.length) !== false ? super.push(chunk, encoding) : true;
  }
}

/** An answer of which what waits to be taken is counted, and which is cut when more does than its connection may leave. */
export class CountedAnswer extends ServerResponse<CountedRequest> {
  #drains = false;

  override write(...args: unknown[]): boolean {
    const more = super.write(...(args as Parameters<ServerResponse['write']>));
    if (!more && !this.#drains) {
      this.#drains = true;
      this.on('drain', () => count(this));
    }
    count(this);
    return more;
  }

  override end(...args: unknown[]): this {
    super.end(...(args as Parameters<ServerResponse['end']>));
    count(this);
    return this;
  }
}

function count(answer: CountedAnswer): void {
  if (findHeld(answer.req)?.unsent(answer.writableLength) === false) answer.req.socket.destroy();
}
