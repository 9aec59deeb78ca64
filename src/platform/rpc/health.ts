import { Health } from '../../../gen/grpc/health/v1/health_pb.js';
import { AppError } from '../../errors.js';
import type { Readiness } from '../readiness.js';
import type { Call } from './call.js';
import { type Service, service } from './methods.js';

export interface HealthDeps {
  readonly readiness: Readiness;
  /** Full names of the services that are served. */
  readonly services: readonly string[];
  /** Aborts when the server is about to stop. */
  readonly stopping: AbortSignal;
  /** How often a watcher's server looks, in milliseconds. */
  readonly lookEveryMs: number;
}

/** grpc.health.v1: the truth of /readyz, for the server and each of its services. */
export function createHealthRpc({ readiness, services, stopping, lookEveryMs }: HealthDeps): Service {
  const known = new Set(['', Health.typeName, ...services]);
  const status = async (): Promise<string> => ((await readiness.whyNot()) === undefined ? 'SERVING' : 'NOT_SERVING');

  return service(Health, {
    async check({ service: name }: { service: string }) {
      if (!known.has(name)) throw new AppError('not_found', 'service: there is none of this name');
      return { status: await status() };
    },
    async *watch({ service: name }: { service: string }, { signal }: Call) {
      let told = '';
      for (;;) {
        // Known before the look: a stop while that is under way, or while its answer is taken, is told by a look of its own.
        const isLast = stopping.aborted;
        const present = known.has(name) ? await status() : 'SERVICE_UNKNOWN';
        if (present !== told) yield { status: (told = present) };
        if (signal.aborted) return;
        if (isLast) throw new AppError('unavailable', 'The server is stopping.');
        await pause(lookEveryMs, [signal, stopping]);
      }
    },
  });
}

/** Waits, unless one of the signals comes first or has come. */
function pause(ms: number, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    if (signals.some(({ aborted }) => aborted)) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of signals) signal.addEventListener('abort', done, { once: true });
  });
}
