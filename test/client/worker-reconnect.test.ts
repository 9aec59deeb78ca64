import { expect, test } from 'vitest';
import { JobStatus, type JobContext, type MusterClient } from '../../src/client/index.js';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { until } from '../support/until.js';
import { startProxy } from './support/proxy.js';
import { jobIn, signal, testClient, testWorker } from './support/worker.js';

const { CANCELED, DONE, QUEUED, RUNNING } = JobStatus;
const kinds = ['work'];

async function submit(client: MusterClient): Promise<string> {
  return (await client.jobs.createJob({ kind: 'work' })).id;
}

async function leaseOf({ database }: Pick<TestApp, 'database'>, id: string): Promise<unknown> {
  const [row] = await database.query('SELECT lease_token, attempts FROM jobs WHERE id = $1', [id]);
  return row;
}

/** A server that stops and comes back under the same URL, on the same database. */
async function restartableApp() {
  const database = await createTestDatabase();
  const app = await startTestApp({ database });
  const flags = { port: new URL(app.url).port };
  return { ...app, database, restart: () => startTestApp({ database, flags }) };
}

test('a server that restarts in mid job gets its result from the worker, under the same lease', async () => {
  const app = await restartableApp();
  const client = testClient(app.url);
  const begun = signal();
  const end = signal();
  const { event, events } = testWorker({
    url: app.url,
    kinds,
    prefetch: 2,
    handler: async () => {
      begun.give();
      await end.given;
      return 'after all';
    },
  });
  const id = await submit(client);
  await begun.given;
  const others = await Promise.all([submit(client), submit(client)]);
  await Promise.all(others.map((other) => jobIn(client, other, RUNNING)));
  const lease = await leaseOf(app, id);

  await app.app.stop();
  await event('draining');
  // What had not begun went back before the server was gone; what had begun stays the worker's.
  expect(await Promise.all(others.map((other) => leaseOf(app, other)))).toEqual([
    { lease_token: null, attempts: 0 },
    { lease_token: null, attempts: 0 },
  ]);
  expect(await leaseOf(app, id)).toEqual(lease);
  // The worker left by itself, so that the server need not wait for it.
  expect((await event('disconnected')).error).toBeUndefined();

  await app.restart();
  await event('connected', (seen) => events.indexOf(seen) > events.findIndex(({ type }) => type === 'draining'));
  end.give();
  const again = testClient(app.url);
  const job = await jobIn(again, id, DONE);
  expect(job.attempts).toBe(1);
  expect(await leaseOf(app, id)).toEqual(lease);
  await Promise.all(others.map((other) => jobIn(again, other, DONE)));
});

test('a worker without jobs leaves a server that stops at once, and comes back', async () => {
  const app = await restartableApp();
  const { event, events } = testWorker({ url: app.url, kinds, handler: () => 1 });
  await event('connected');
  await app.app.stop();
  expect((await event('disconnected')).error).toBeUndefined();
  await app.restart();
  const id = await submit(testClient(app.url));
  await event('job_ended', ({ job }) => job.id === id);
  expect(events.filter(({ type }) => type === 'draining')).toHaveLength(1);
});

test('what ends while the connection is broken is reported on the next one', async () => {
  const app = await startTestApp();
  const proxy = await startProxy(app.url);
  const client = testClient(app.url);
  const end = signal();
  const { event } = testWorker({ url: proxy.url, kinds, concurrency: 2, handler: () => end.given });
  const ids = await Promise.all([submit(client), submit(client)]);
  await Promise.all(ids.map((id) => jobIn(client, id, RUNNING)));
  await Promise.all(ids.map((id) => event('job_started', ({ job }) => job.id === id)));
  const leases = await Promise.all(ids.map((id) => leaseOf(app, id)));

  proxy.cut();
  await event('disconnected');
  end.give();
  await end.given;
  proxy.restore();
  await Promise.all(ids.map((id) => jobIn(client, id, DONE)));
  expect(await Promise.all(ids.map((id) => leaseOf(app, id)))).toEqual(leases);
});

test('jobs from before a broken connection take up room on the next one', async () => {
  const app = await startTestApp();
  const proxy = await startProxy(app.url);
  const client = testClient(app.url);
  const ends = new Map<string, () => void>();
  const contexts = new Map<string, JobContext>();
  const { event, events } = testWorker({
    url: proxy.url,
    kinds,
    concurrency: 2,
    handler: async (job, context) => {
      const end = signal();
      ends.set(job.id, () => end.give());
      contexts.set(job.id, context);
      await end.given;
      ends.delete(job.id);
    },
  });
  const [first, second] = [await submit(client), await submit(client)];
  await Promise.all([first, second].map((id) => event('job_started', ({ job }) => job.id === id)));
  proxy.cut();
  await event('disconnected');
  const third = await submit(client);
  proxy.restore();
  await event('connected', (seen) => events.indexOf(seen) > events.findIndex(({ type }) => type === 'disconnected'));

  // Progress that is stored was sent after the capacity was told; nobody has room for the third.
  contexts.get(first)?.heartbeat('still there');
  for await (const { job } of client.jobs.watchJob({ id: first })) if (job?.progress !== undefined) break;
  expect((await client.jobs.getJob({ id: third })).job?.status).toBe(QUEUED);

  ends.get(second)?.();
  await jobIn(client, second, DONE);
  await jobIn(client, third, RUNNING);
  // The one from before is cancelled as any other is, at the next heartbeat.
  await client.jobs.cancelJob({ id: first });
  contexts.get(first)?.heartbeat();
  expect((await event('job_stopped')).reason).toBe('canceled');
  ends.get(first)?.();
  await until('the third has begun', () => ends.get(third));
  ends.get(third)?.();
  await jobIn(client, third, DONE);
  expect((await client.jobs.getJob({ id: first })).job?.status).toBe(CANCELED);
});

const outages = ['cut', 'stall'] as const;
test.each(outages)(
  'a job whose lease ends while the connection is gone (%s) is given up, for another worker',
  async (kind) => {
    const app = await startTestApp();
    const proxy = await startProxy(app.url);
    const client = testClient(app.url);
    const begun = signal<JobContext>();
    const lonely = testWorker({
      url: proxy.url,
      kinds,
      leaseSec: 1,
      handler: (_job, context) => {
        begun.give(context);
        return new Promise((resolve) => context.signal.addEventListener('abort', () => resolve('too late')));
      },
    });
    const id = await submit(client);
    const context = await begun.given;
    proxy[kind]();
    const other = testWorker({ url: app.url, kinds, handler: () => 'in time' });
    await other.event('job_ended', ({ job }) => job.id === id);
    expect((await lonely.event('job_stopped')).reason).toBe('lease_lost');
    expect(context.signal.reason).toMatchObject({ reason: 'lease_lost' });

    // Back again, it is as good as new.
    await other.worker.stop();
    proxy.restore();
    await submit(client);
    await lonely.event('job_started', ({ job }) => job.id !== id);
    expect((await jobIn(client, id, DONE)).attempts).toBe(2);
    expect(lonely.events.filter(({ type }) => type === 'refused')).toEqual([]);
  },
);

test('a job whose lease the server takes away is given up at once', async () => {
  const clock = createManualClock(new Date());
  const app = await startTestApp({ clock });
  const client = testClient(app.url);
  const contexts: JobContext[] = [];
  const { event } = testWorker({
    url: app.url,
    kinds,
    concurrency: 2,
    leaseSec: 3600,
    handler: (_job, context) => {
      contexts.push(context);
      if (contexts.length > 1) return undefined;
      return new Promise((_, reject) => context.signal.addEventListener('abort', () => reject(new Error('stopped'))));
    },
  });
  const id = await submit(client);
  await event('job_started');
  clock.advance(2 * 3_600_000);
  expect((await event('job_stopped')).reason).toBe('lease_lost');
  const job = await jobIn(client, id, DONE);
  expect(job.attempts).toBe(2);
  expect(contexts[0]?.signal.reason).toMatchObject({ reason: 'lease_lost' });
});

test('a report that the server cannot store is told again until it can', async () => {
  const app = await startTestApp();
  const client = testClient(app.url);
  const end = signal();
  const { event, events } = testWorker({ url: app.url, kinds, handler: () => end.given });
  const id = await submit(client);
  await event('job_started');
  await app.database.query('ALTER TABLE jobs RENAME TO jobs_away');
  end.give();
  await until('the report was refused', () => events.some(({ type }) => type === 'refused' || type === 'disconnected'));
  await app.database.query('ALTER TABLE jobs_away RENAME TO jobs');
  await event('job_ended');
  expect((await jobIn(client, id, DONE)).attempts).toBe(1);
});

test('a worker that starts before its server waits for it', async () => {
  const app = await restartableApp();
  await app.app.stop();
  const { event } = testWorker({ url: app.url, kinds, handler: () => 1 });
  await event('disconnected', ({ error }) => String(error).includes('ECONNREFUSED'));
  await app.restart();
  const id = await submit(testClient(app.url));
  await event('job_ended', ({ job }) => job.id === id);
});
