import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { createHistogram } from './histogram.js';
import type { Log } from './log.js';

/** One way in which requests come. */
export type Transport = 'rest' | 'sse' | 'websocket' | 'connect' | 'grpc' | 'grpc-web';

/** What a server counts and measures, for Prometheus to read. Observing costs a fraction of a microsecond. */
export interface Metrics {
  /** A request has ended. `route` is a template or a method's path, never a path as sent: there must not be many. */
  request(transport: Transport, route: string, code: string, seconds: number): void;
  /** A call has ended, with `ok` or the word of its error. */
  call(method: string, outcome: string, seconds: number): void;
  /** A stream has begun; what it gives is to be called when it has ended. */
  streamOpened(method: string): () => void;
  /** Something to be counted, by one label. */
  counter(name: string, help: string, label: string): (value: string, count: number) => void;
  /** Something to be measured when it is read. `read` answers the values by the label's, or one value without a label. */
  gauge(name: string, help: string, label: string | undefined, read: () => Promise<Readings> | Readings): void;
  /** In Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

export type Readings = number | Readonly<Record<string, number>>;

/** Seconds, from what a cached read takes to what a deadline allows. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
/** Whoever reads more often is told the same again: what is measured in the database should cost nothing. */
const gaugeMs = 5000;

export function createMetrics(log: Log): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const requests = createHistogram(registry, {
    name: 'muster_http_request_duration_seconds',
    help: 'Requests by the way they came, route, and HTTP status (of gRPC without the general handler: its status code).',
    labelNames: ['transport', 'route', 'code'],
    buckets,
  });
  const calls = createHistogram(registry, {
    name: 'muster_call_duration_seconds',
    help: 'Calls by method and outcome: ok, or the word of the error. Streams by how long they lasted.',
    labelNames: ['method', 'outcome'],
    buckets,
  });
  const streams = new Gauge({
    name: 'muster_open_streams',
    help: 'Streams that are open, by method.',
    labelNames: ['method'],
    registers,
  });

  return {
    request: (transport, route, code, seconds) => requests([transport, route, code], seconds),
    call: (method, outcome, seconds) => calls([method, outcome], seconds),
    streamOpened(method) {
      streams.inc({ method });
      return () => streams.dec({ method });
    },
    counter(name, help, label) {
      const counter = new Counter({ name, help, labelNames: [label], registers });
      return (value, count) => counter.inc({ [label]: value }, count);
    },
    gauge(name, help, label, read) {
      let readAt = -Infinity;
      const gauge = new Gauge({
        name,
        help,
        labelNames: label === undefined ? [] : [label],
        registers,
        async collect() {
          if (performance.now() - readAt < gaugeMs) return;
          try {
            const readings = await read();
            readAt = performance.now();
            if (typeof readings === 'number') this.set(readings);
            else for (const [value, reading] of Object.entries(readings)) this.set({ [label ?? '']: value }, reading);
          } catch (error) {
            // The others are worth reading also while the database does not answer; an old value would be a lie.
            readAt = -Infinity;
            this.reset();
            log.warn('gauge_not_read', { gauge: name, error });
          }
        },
      });
      // Registered by its making; nobody else needs it.
      void gauge;
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
