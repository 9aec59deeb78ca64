import { messageOf } from '../../errors.js';
import type { Database } from '../db/db.js';
import type { PlainRoute } from './gateway/gateway.js';

export interface HealthDeps {
  readonly db: Pick<Database, 'ping'>;
  readonly stopping: AbortSignal;
}

const readyTimeoutMs = 2000;

/** `/healthz`: the process answers. `/readyz`: it can serve, which takes the database; 503 with the reason otherwise. */
export function createHealth({ db, stopping }: HealthDeps): readonly PlainRoute[] {
  async function whyNotReady(): Promise<string | undefined> {
    if (stopping.aborted) return 'the server is stopping';
    let timer: NodeJS.Timeout | undefined;
    try {
      await Promise.race([
        db.ping(),
        new Promise((_, reject) => {
          timer = setTimeout(() => reject(new Error('the database does not answer')), readyTimeoutMs);
        }),
      ]);
      return undefined;
    } catch (error) {
      return messageOf(error);
    } finally {
      clearTimeout(timer);
    }
  }

  return [
    { method: 'GET', path: '/healthz', access: 'nothing', handle: (_request, reply) => reply.send({ status: 'ok' }) },
    {
      method: 'GET',
      path: '/readyz',
      access: 'nothing',
      async handle(_request, reply) {
        const reason = await whyNotReady();
        return reason === undefined
          ? reply.send({ status: 'ready' })
          : reply.code(503).send({ status: 'not_ready', reason });
      },
    },
  ];
}
