import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError, invalidField } from '../../../errors.js';
import type { Log } from '../../log.js';
import type { Plain } from '../../rpc/codec.js';
import type { Dispatch } from '../../rpc/dispatch.js';
import { admissionOf, callLifeOf } from '../call-facts.js';
import { restErrorBody } from '../rest-error.js';
import { createBind } from './bind.js';
import { restJson } from './rest-json.js';
import type { Route, StreamRoute } from './routes.js';

export interface EventStreamOptions {
  readonly dispatch: Dispatch;
  readonly log: Log;
  /** How long a reader may take nothing while there is something to tell, in milliseconds. */
  readonly stallMs: number;
}

/** Between two comments that keep proxies from taking a quiet stream for a dead one. */
const quietMs = 15_000;
/** How long a client waits before it comes back, which EventSource does by itself. */
const retryMs = 1000;
/** How long a reader whose stream has ended may still take what is on its way. */
const farewellMs = 500;

/**
 * Serves a server stream as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): one for each
 * item of its messages, or an id alone for one without items. What goes wrong before the first message is answered like any other REST error, so the first
 * message of a stream has to come at once, be it without items.
 */
export function eventStreamHandle(route: Route, stream: StreamRoute, options: EventStreamOptions) {
  const { dispatch, log, stallMs } = options;
  const bind = createBind(route);
  const encode = createEncoder(stream);
  const resume = stream.lastEventId.localName;

  return async (
    request: FastifyRequest,
    reply: FastifyReply,
    segments: readonly string[],
    query: string,
  ): Promise<unknown> => {
    const bound = bind(segments, query, undefined);
    const last = lastEventId(request);
    const input = last === undefined ? bound : { ...bound, [resume]: last };
    const admission = admissionOf(request);
    const messages = dispatch.serverStream(route.rpc, input, admission, callLifeOf(reply))[Symbol.asyncIterator]();
    const first = await messages.next();
    void reply
      .header('content-type', 'text/event-stream; charset=utf-8')
      .header('cache-control', 'no-cache, no-transform')
      .header('x-accel-buffering', 'no');
    if (request.raw.method === 'HEAD') {
      await messages.return?.();
      return reply.send();
    }
    const raw = reply.raw;
    raw.writeHead(200, reply.getHeaders() as Record<string, string>);
    reply.hijack();
    raw.write(`retry: ${retryMs}\n\n`);
    const quiet = setInterval(() => !raw.writableNeedDrain && raw.write(':\n\n'), quietMs);
    const unwatch = admission.onEnded(() => cutSoon(raw));
    try {
      for (let next = first; next.done !== true; next = await messages.next()) {
        if (raw.write(encode(next.value)) || (await hasDrained(raw, stallMs))) continue;
        // It has left, which is no fault.
        if (raw.destroyed) break;
        log.info('reader_cut_off', { corr_id: request.id, path: route.rpc.path });
        throw cutOff(stream, next.value);
      }
    } catch (error) {
      const known = dispatch.fault(error, route.rpc, { correlationId: request.id });
      if (!raw.destroyed) raw.write(`event: error\ndata: ${restErrorBody(known, request.id)}\n\n`);
    } finally {
      clearInterval(quiet);
      unwatch();
      // A call that was cut off ends by this, too.
      await messages.return?.();
      end(raw);
    }
    return reply;
  };
}

/** What a reader is told that took nothing for too long, should it ever read on: it has then been told all up to there. */
export function cutOff({ items, eventId, readUpTo }: StreamRoute, message: Plain): AppError {
  const last =
    (message[items.localName] as readonly Plain[]).at(-1)?.[eventId.localName] ?? message[readUpTo.localName];
  return new AppError('unavailable', `You read too slowly; go on after ${String(last)}.`, {
    details: { resume_after: last },
  });
}

function end(raw: ServerResponse): void {
  raw.end();
  cutSoon(raw);
}

/** A reader that does not read would hold up the end of its stream. */
function cutSoon(raw: ServerResponse): void {
  if (raw.destroyed) return;
  const farewell = setTimeout(() => raw.destroy(), farewellMs);
  raw.once('close', () => clearTimeout(farewell));
}

/** Waits until what was written is on its way; false when that takes too long or the connection has gone. */
function hasDrained(raw: ServerResponse, stallMs: number): Promise<boolean> {
  if (raw.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    const settle = (drained: boolean): void => {
      clearTimeout(timer);
      raw.off('drain', onDrain);
      raw.off('close', onClose);
      resolve(drained);
    };
    const onDrain = (): void => settle(true);
    const onClose = (): void => settle(false);
    const timer = setTimeout(() => settle(false), stallMs);
    raw.once('drain', onDrain);
    raw.once('close', onClose);
  });
}

/** What a reader that comes back has seen last. */
function lastEventId(request: FastifyRequest): number | undefined {
  const header = request.headers['last-event-id'];
  if (header === undefined || header === '') return undefined;
  if (typeof header !== 'string' || !/^\d{1,15}$/.test(header)) {
    throw invalidField('Last-Event-ID', 'must be the id of an event');
  }
  return Number(header);
}

/**
 * The bytes of a message's events. All who are sent the same object are sent the same bytes. Where there are none, the id up to which all has
 * been read goes alone: an event without data is dispatched to nobody, and its id counts (9.2.6, "dispatch the event").
 */
function createEncoder({ items, eventId, readUpTo }: StreamRoute): (message: Plain) => Buffer {
  const json = restJson(items.message);
  const ofItem = new WeakMap<Plain, string>();
  const ofMessage = new WeakMap<Plain, Buffer>();

  function textOf(item: Plain): string {
    let text = ofItem.get(item);
    if (text === undefined) {
      text = `id: ${String(item[eventId.localName])}\ndata: ${json.write(item)}\n\n`;
      ofItem.set(item, text);
    }
    return text;
  }

  return (message) => {
    const list = message[items.localName] as readonly Plain[];
    if (list.length === 0) return Buffer.from(`id: ${String(message[readUpTo.localName])}\n\n`);
    let bytes = ofMessage.get(message);
    if (bytes === undefined) {
      bytes = Buffer.from(list.map(textOf).join(''));
      ofMessage.set(message, bytes);
    }
    return bytes;
  };
}
