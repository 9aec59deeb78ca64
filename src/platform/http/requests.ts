import { randomUUID } from 'node:crypto';
import type { Log } from '../log.js';
import type { Metrics, Transport } from '../metrics.js';

const wellFormed = /^[A-Za-z0-9_.:-]{1,128}$/;

/** The caller's X-Correlation-Id when it is well formed, else a new one. */
export function correlationIdOf(header: string | readonly string[] | undefined): string {
  return typeof header === 'string' && wellFormed.test(header) ? header : randomUUID();
}

/** Tells of a request that has begun; what it gives is to be called when it has ended. Nothing of a query or a body is told. */
export type LogRequest = (method: string, path: string, correlationId: string) => EndRequest;

/** `status`: the HTTP status, or the code of gRPC. `route`: by which way and template it came; undefined: it found none. */
export type EndRequest = (status: number | string, transport: Transport, route: string | undefined) => void;

/** To the log, and to whom counts. */
export function createRequestLog(log: Log, metrics: Pick<Metrics, 'request'> | undefined): LogRequest {
  if (!log.infoEnabled && metrics === undefined) return () => () => undefined;
  return (method, path, correlationId) => {
    const started = performance.now();
    if (log.infoEnabled) log.info('request_start', { corr_id: correlationId, method, path });
    return (status, transport, route = 'none') => {
      const took = performance.now() - started;
      metrics?.request(transport, route, String(status), took / 1000);
      if (!log.infoEnabled) return;
      log.info('request_end', { corr_id: correlationId, method, path, status, ms: Math.round(took * 100) / 100 });
    };
  };
}
