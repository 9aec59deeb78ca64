import type { Metrics } from '../metrics.js';
import type { PlainRoute } from './gateway/gateway.js';

/** `/metrics`, in Prometheus' text format. */
export function createMetricsRoute(metrics: Pick<Metrics, 'text' | 'contentType'>): PlainRoute {
  return {
    method: 'GET',
    path: '/metrics',
    access: { scope: 'metrics.read' },
    handle: async (_request, reply) =>
      reply
        .header('content-type', metrics.contentType)
        .header('cache-control', 'no-cache')
        .send(await metrics.text()),
  };
}
