import type { Writable } from 'node:stream';
import type { Held } from './in-flight.js';

/** Counts what waits to be taken of an answer, and cuts one of which more does than its connection may leave. */
export function watchUnsent(answer: Writable, held: Held, unsent: () => number, cut: () => void): void {
  const { write, end } = answer;
  answer.write = function counted(this: Writable, ...args: Parameters<Writable['write']>) {
    const more = write.apply(this, args);
    if (!held.unsent(unsent())) cut();
    return more;
  } as Writable['write'];
  answer.end = function counted(this: Writable, ...args: Parameters<Writable['end']>) {
    end.apply(this, args);
    if (!held.unsent(unsent())) cut();
    return this;
  } as Writable['end'];
  answer.on('drain', () => held.unsent(unsent()));
}
