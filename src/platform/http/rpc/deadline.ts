import type { IncomingHttpHeaders } from 'node:http';
import { parseTimeout as parseConnectTimeout } from '@connectrpc/connect/protocol-connect';
import { parseTimeout as parseGrpcTimeout } from '@connectrpc/connect/protocol-grpc';
import { AppError, invalidField } from '../../../errors.js';
import type { Held } from '../in-flight.js';

/** By when a call has to be over, as its head asks for; it counts from there, and not from when the message is whole. */
export interface Deadline {
  /** In the time of performance.now(); undefined: whenever. */
  readonly at: number | undefined;
  /** Why what the head asks for is no deadline. */
  readonly error: AppError | undefined;
}

export function deadlineOf(headers: IncomingHttpHeaders, maxTimeoutMs: number): Deadline {
  const isGrpc = headers['content-type']?.startsWith('application/grpc') === true;
  const [header, name] = isGrpc
    ? (['grpc-timeout', 'Grpc-Timeout'] as const)
    : (['connect-timeout-ms', 'Connect-Timeout-Ms'] as const);
  const text = headers[header];
  if (text === undefined) return { at: undefined, error: undefined };
  const { timeoutMs, error } = (isGrpc ? parseGrpcTimeout : parseConnectTimeout)(String(text), maxTimeoutMs);
  return {
    at: timeoutMs === undefined ? undefined : performance.now() + timeoutMs,
    error: error && invalidField(name, error.rawMessage),
  };
}

/** Milliseconds, not below 0; undefined: as long as it takes. */
export function timeLeft(deadline: Deadline | undefined): number | undefined {
  return deadline?.at === undefined ? undefined : Math.max(0, deadline.at - performance.now());
}

/** Ends the reading of the message when its time is up. Answers what is to be called when the call is over. */
export function enforceWhileReading(deadline: Deadline, held: Held): () => void {
  const left = timeLeft(deadline);
  if (left === undefined) return () => undefined;
  const late = (): void => held.fail(new AppError('deadline_exceeded', 'The deadline of the call has passed.'));
  const timer = setTimeout(late, Math.min(left, 2 ** 31 - 1));
  return () => clearTimeout(timer);
}
