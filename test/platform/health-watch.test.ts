import { expect, onTestFinished, test } from 'vitest';
import { createDatabase } from '../../src/platform/db/db.js';
import { createLog } from '../../src/platform/log.js';
import { createReadiness } from '../../src/platform/readiness.js';
import type { Call } from '../../src/platform/rpc/call.js';
import { createHealthRpc } from '../../src/platform/rpc/health.js';
import { createTestDatabase } from '../support/database.js';

const options = { poolSize: 2, log: createLog('silent'), ownSessions: true };

/** Watches a server that looks when it is told to stop, and not before. */
async function watch(service: string) {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const db = createDatabase({ connectionString: database.url }, options);
  onTestFinished(() => db.close());
  const stop = new AbortController();
  const { signal: stopping } = stop;
  const readiness = createReadiness({ db, stopping });
  const { methods } = createHealthRpc({ readiness, services: [], stopping, lookEveryMs: 600_000 });
  const handler = methods.find(({ path }) => path === '/grpc.health.v1.Health/Watch')?.handler;
  const call = { signal: new AbortController().signal } as Call;
  const states = handler?.({ service }, call) as AsyncGenerator<{ status: string }>;
  return { states, stop: () => stop.abort() };
}

test('a server that stops while its last answer is being taken still says that it does not serve', async () => {
  const { states, stop } = await watch('');
  expect((await states.next()).value).toEqual({ status: 'SERVING' });
  stop();
  expect((await states.next()).value).toEqual({ status: 'NOT_SERVING' });
  await expect(states.next()).rejects.toMatchObject({ kind: 'unavailable' });
});

test('a server that stops while it looks says that it does not serve', async () => {
  const { states, stop } = await watch('');
  const first = states.next();
  stop();
  const told = [(await first).value];
  await states.next().then(
    ({ value }) => told.push(value),
    () => undefined,
  );
  expect(told.at(-1)).toEqual({ status: 'NOT_SERVING' });
});

test('a service that there is not stays unknown to the end', async () => {
  const { states, stop } = await watch('muster.v1.Nothing');
  expect((await states.next()).value).toEqual({ status: 'SERVICE_UNKNOWN' });
  stop();
  await expect(states.next()).rejects.toMatchObject({ kind: 'unavailable' });
});
