import { onTestFinished } from 'vitest';
import {
  createMusterClient,
  createWorker,
  type Job,
  type Json,
  type JobStatus,
  type MusterClient,
  type Worker,
  type WorkerEvent,
  type WorkerOptions,
  valueOf,
} from '../../../src/client/index.js';
import { soon } from '../../support/until.js';

/** A client whose connection ends with the test. */
export function testClient(url: string, protocol?: 'connect' | 'grpc'): MusterClient {
  const client = createMusterClient({ url, protocol });
  onTestFinished(() => client.close());
  return client;
}

export interface TestWorker {
  readonly worker: Worker;
  readonly events: readonly WorkerEvent[];
  /** The first event, past or future, of which `look` holds. */
  readonly event: <T extends WorkerEvent['type']>(
    type: T,
    look?: (event: Extract<WorkerEvent, { type: T }>) => boolean,
  ) => Promise<Extract<WorkerEvent, { type: T }>>;
}

/** A started worker with a client of its own, stopped when the test has finished. */
export function testWorker(options: WorkerOptions): TestWorker {
  const events: WorkerEvent[] = [];
  const waiting = new Set<() => void>();
  const worker = createWorker({
    workerId: 'worker',
    ...options,
    log(event) {
      events.push(event);
      for (const look of waiting) look();
    },
  });
  worker.start();
  onTestFinished(() => worker.stop({ graceMs: 0 }));
  return {
    worker,
    events,
    event<T extends WorkerEvent['type']>(
      type: T,
      look: (event: Extract<WorkerEvent, { type: T }>) => boolean = () => true,
    ) {
      const isIt = (event: WorkerEvent): event is Extract<WorkerEvent, { type: T }> =>
        event.type === type && look(event as Extract<WorkerEvent, { type: T }>);
      const seen = new Promise<Extract<WorkerEvent, { type: T }>>((resolve) => {
        const again = (): void => {
          const found = events.find(isIt);
          if (found === undefined) return;
          waiting.delete(again);
          resolve(found);
        };
        waiting.add(again);
        again();
      });
      return soon(`the worker's event ${type}; it had ${events.map((event) => event.type).join(', ')}`, seen);
    },
  };
}

/** Follows a job until it is in one of these states, and answers it. */
export async function jobIn(client: MusterClient, id: string, ...states: readonly JobStatus[]): Promise<Job> {
  const follow = async (): Promise<Job> => {
    for await (const { job } of client.jobs.watchJob({ id })) {
      if (job !== undefined && states.includes(job.status)) return job;
    }
    throw new Error(`${id} ended in another state`);
  };
  return soon(`${id} in state ${states.join(' or ')}`, follow());
}

/** A promise and what settles it. */
export function signal<T = void>(): { readonly given: Promise<T>; give(value: T): void } {
  let give = (_value: T): void => undefined;
  const given = new Promise<T>((resolve) => (give = resolve));
  return { given, give: (value) => give(value) };
}

let kinds = 0;

/** Tests that share a server have kinds of their own on it. */
export function newKind(): string {
  kinds += 1;
  return `kind-${kinds}`;
}

/** Submits a job and answers its id. */
export async function submit(
  client: MusterClient,
  kind: string,
  payload: Json = null,
  more: { readonly priority?: number; readonly maxAttempts?: number; readonly timeoutSec?: number } = {},
): Promise<string> {
  return (await client.jobs.createJob({ kind, payload: valueOf(payload), ...more })).id;
}
