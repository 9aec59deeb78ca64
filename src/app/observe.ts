import { AppError } from '../errors.js';
import type { Events } from '../modules/events/index.js';
import type { Jobs } from '../modules/jobs/index.js';
import type { Database } from '../platform/db/db.js';
import type { Lifecycle } from '../platform/lifecycle.js';
import type { Log } from '../platform/log.js';
import type { Metrics } from '../platform/metrics.js';
import type { ObserveCall } from '../platform/rpc/dispatch.js';
import type { Tracing } from '../platform/tracing.js';
import { readVersion } from '../platform/version.js';

const collectorEnv = 'OTEL_EXPORTER_OTLP_ENDPOINT';

/** What is asked of the modules whenever somebody reads the metrics. */
export function gauges(
  metrics: Metrics,
  { jobs, events, db }: { jobs: Pick<Jobs, 'depths'>; events: Pick<Events, 'lagSeconds'>; db: Pick<Database, 'pool'> },
): void {
  metrics.gauge(
    'muster_jobs',
    'Jobs that wait, wait for their time, or run; counted up to 10000.',
    'state',
    jobs.depths,
  );
  metrics.gauge(
    'muster_events_lag_seconds',
    'How long the oldest event that has no number yet has been waiting for it.',
    undefined,
    events.lagSeconds,
  );
  metrics.gauge(
    'muster_db_connections',
    'Connections to the database, and callers that wait for one.',
    'state',
    () => ({
      used: db.pool.total - db.pool.idle,
      idle: db.pool.idle,
      waiting: db.pool.waiting,
    }),
  );
}

/** Counts every call with what came of it, and the streams that are open, and has it traced. */
export function observeCalls(metrics: Metrics, tracing: Tracing | undefined): ObserveCall {
  return (door, call, kind) => {
    const { path } = door;
    const traced = tracing?.observe(door, call, kind);
    const began = performance.now();
    const closed = kind === 'stream' ? metrics.streamOpened(path) : undefined;
    return (error) => {
      closed?.();
      traced?.(error);
      metrics.call(path, error?.kind ?? 'ok', (performance.now() - began) / 1000);
    };
  };
}

/** The SDK would fall back to its own default, and tell nobody. */
export function checkCollector(): void {
  const { [collectorEnv]: endpoint = '' } = process.env;
  if (endpoint === '' || (URL.canParse(endpoint) && /^https?:/.test(endpoint))) return;
  throw new AppError('invalid_request', `${collectorEnv}: must be a URL such as http://localhost:4318`);
}

/** Traces calls where there is a collector to tell. Stopped after what it traces. */
export async function startTracing(log: Log, lifecycle: Lifecycle): Promise<Tracing | undefined> {
  if ((process.env[collectorEnv] ?? '') === '') return undefined;
  const { createTracing } = await import('../platform/tracing.js');
  const tracing = createTracing(readVersion(), log);
  lifecycle.onStop('traces', () => tracing.stop());
  return tracing;
}
