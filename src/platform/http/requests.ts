import { randomUUID } from 'node:crypto';
import type { Log } from '../log.js';

const wellFormed = /^[A-Za-z0-9_.:-]{1,128}$/;

/** The caller's X-Correlation-Id when it is well formed, else a new one. */
export function correlationIdOf(header: string | readonly string[] | undefined): string {
  return typeof header === 'string' && wellFormed.test(header) ? header : randomUUID();
}

/** Logs a request's start; the function it gives logs its end. Nothing of a query or a body is logged. */
export type LogRequest = (method: string, path: string, correlationId: string) => (status: number | string) => void;

export function createRequestLog(log: Log): LogRequest {
  if (!log.infoEnabled) return () => () => undefined;
  return (method, path, correlationId) => {
    const started = performance.now();
    log.info('request_start', { corr_id: correlationId, method, path });
    return (status) => {
      const ms = Math.round((performance.now() - started) * 100) / 100;
      log.info('request_end', { corr_id: correlationId, method, path, status, ms });
    };
  };
}
