import type { Readiness } from '../readiness.js';
import type { PlainRoute } from './gateway/gateway.js';

/** `/healthz`: the process answers. `/readyz`: it can serve; 503 with the reason otherwise. */
export function createHealth(readiness: Readiness): readonly PlainRoute[] {
  return [
    { method: 'GET', path: '/healthz', access: 'nothing', handle: (_request, reply) => reply.send({ status: 'ok' }) },
    {
      method: 'GET',
      path: '/readyz',
      access: 'nothing',
      async handle(_request, reply) {
        const reason = await readiness.whyNot();
        return reason === undefined
          ? reply.send({ status: 'ready' })
          : reply.code(503).send({ status: 'not_ready', reason });
      },
    },
  ];
}
