import fc from 'fast-check';
import { expect, test } from 'vitest';
import { emptyLedgerState, type LedgerEvent, ledgerEventOf, reduceEvents } from '../../src/client/index.js';
import { createManualClock } from '../../src/platform/clock.js';
import { commands, releaseBy } from '../modules/jobs/support/job-commands.js';
import { createModel, random } from '../modules/jobs/support/job-model.js';
import { emptyTables } from '../modules/jobs/support/tables.js';
import { createShift, restWorker, streamWorker, type Verdict } from '../modules/jobs/support/workers.js';
import { startTestApp } from '../support/app.js';
import { claimOne, createJobsClient, type JobInput, type JobsClient } from '../support/jobs-client.js';
import { startTestApps } from '../support/two-apps.js';
import { soon, until } from '../support/until.js';
import { startWorker } from '../support/work-client.js';
import { allMoves, createReleaser, expectLegal, expectRows, readLedger } from './support/ledger.js';
import { testClient } from './support/worker.js';
import { asOften } from '../support/effort.js';

const start = new Date('2026-03-01T12:00:00.000Z');

async function setUp(flags: Readonly<Record<string, string>> = {}) {
  const clock = createManualClock(start);
  const app = await startTestApp({ clock, random: () => random, flags });
  const jobs = createJobsClient(app.url);
  return { app, clock, jobs, database: app.database };
}

/** Every move of a job, one after the other; answers the ids. Each has a kind of its own, so that claims do not mix. */
async function makeEveryMove({ app, clock, jobs }: Awaited<ReturnType<typeof setUp>>): Promise<string[]> {
  const ids: string[] = [];
  const submit = async (kind: string, more: Partial<JobInput> = {}): Promise<string> => {
    const { id } = await jobs.submit({ kind, payload: 'not told', ...more });
    ids.push(id);
    return id;
  };
  const claim = (kind: string, more: object = {}) => claimOne(jobs, { kinds: [kind], wait_sec: 30, ...more });
  const lapse = async (id: string, ms: number): Promise<void> => {
    clock.advance(ms);
    await until('its worker has lost it', async () => (await jobs.get(id)).status !== 'running');
  };

  await submit('done', { priority: 0, timeout_sec: 60, idempotency_key: 'once' });
  await jobs.submit({ kind: 'done', payload: 'not told', priority: 0, timeout_sec: 60, idempotency_key: 'once' });
  const lease = await claim('done', { worker_id: 'somebody' });
  await jobs.heartbeat(lease, { progress: 'half' });
  await jobs.complete(lease, 'not told');
  await jobs.complete(lease, 'not told');

  await submit('failed');
  await jobs.fail(await claim('failed'), { error: { code: 'odd', message: '"é\u0000\ud800\n' } });

  await submit('retried', { max_attempts: 3 });
  await jobs.fail(await claim('retried'), { retryable: true });
  clock.advance(1000);
  await jobs.fail(await claim('retried'), { retryable: true });
  clock.advance(2000);
  await jobs.complete(await claim('retried'));

  await submit('used-up', { max_attempts: 1 });
  await jobs.fail(await claim('used-up'), { retryable: true });

  await submit('later', { run_at: new Date(clock.now().getTime() + 2000).toISOString() });
  clock.advance(2000);
  await claim('later', { lease_sec: 3600 });

  await jobs.cancel(await submit('canceled'));
  await jobs.cancel(await submit('canceled', { run_at: '2027-01-01T00:00:00Z' }));
  const running = await submit('canceled');
  await claim('canceled');
  await jobs.cancel(running);
  await jobs.cancel(running);

  const lost = await submit('lost', { max_attempts: 2 });
  await claim('lost', { lease_sec: 1 });
  await lapse(lost, 1001);
  await claim('lost', { lease_sec: 1 });
  await lapse(lost, 1001);

  const slow = await submit('slow', { max_attempts: 2, timeout_sec: 1 });
  await claim('slow');
  await lapse(slow, 1001);
  clock.advance(1000);
  await claim('slow');
  await lapse(slow, 1001);

  // Given back on its stream, one after a failure, and one at the stream's end.
  for (let n = 0; n < 5; n++) await submit('stream');
  await jobs.fail(await claim('stream'), { retryable: true });
  clock.advance(1000);
  const stream = await startWorker(app.url, { workerId: 'streamer', kinds: ['stream'], capacity: 5 });
  const held = await stream.until('all have come', ({ jobs: come }) => come.length === 5 && come);
  const [first, second, third, fourth] = held.map(({ id, leaseToken }) => ({ id, leaseToken }));
  stream.update({
    capacity: 0,
    completed: [{ ...first, resultJson: '"not told"' }],
    failed: [{ ...second, error: { code: 'broken', message: '' }, retryable: true }],
    released: [third ?? {}, fourth ?? {}],
  });
  await stream.until('all is answered', ({ outcomes }) => outcomes.length === 4);
  stream.end();
  await stream.over;

  await submit('untouched');
  return ids;
}

test('every move is told, and comes to what the server says of each job', async () => {
  const real = await setUp();
  const ids = await makeEveryMove(real);
  const events = await readLedger(real.app.url);
  expect(expectLegal(events)).toEqual(allMoves);
  const state = reduceEvents(emptyLedgerState(), events);
  expect([...state.jobs.keys()]).toEqual(ids);
  await expectRows(state, ids, real);
  // Whoever comes in the middle has of every job what he was told since.
  for (let after = 0; after < events.length; after += 7) {
    const late = reduceEvents(emptyLedgerState(), events.slice(after));
    for (const [id, row] of late.jobs) {
      const known = Object.entries(row).filter(([, value]) => value !== undefined);
      expect(state.jobs.get(id)).toMatchObject(Object.fromEntries(known));
    }
  }
});

test('an event that came by RPC is the event that REST prints', async () => {
  const real = await setUp();
  await makeEveryMove(real);
  for (const protocol of ['connect', 'grpc'] as const) {
    const { events } = await testClient(real.app.url, protocol).events.replayEvents({ limit: 1000 });
    expect(events.map(ledgerEventOf)).toStrictEqual(await readLedger(real.app.url));
  }
});

test('whatever is done to jobs, the ledger comes to what the server says', { timeout: asOften(120_000) }, async () => {
  const { app, clock, jobs, database } = await setUp({ 'poll-interval': '2ms', 'job-retention': 'off' });
  const release = releaseBy(await createReleaser(app.url));
  const all: LedgerEvent[] = [];
  let state = emptyLedgerState();

  await fc.assert(
    fc.asyncProperty(fc.commands([...commands, release], { maxCommands: 40, size: 'max' }), async (steps) => {
      // The ledger goes on, but has been read.
      await emptyTables(database);
      const model = createModel(clock.now().getTime());
      await fc.asyncModelRun(() => ({ model, real: { clock, database, jobs } }), steps);
      const events = await readLedger(app.url, state.seq);
      all.push(...events);
      state = reduceEvents(state, events);
      const ids = model.jobs.map(({ id }) => id);
      expect(new Set(events.map(({ job_id: id }) => id))).toEqual(new Set(ids));
      await expectRows(state, ids, { jobs, database });
    }),
    { numRuns: asOften(25), endOnFailure: false },
  );
  expectLegal(all);
});

test('8 workers on 2 servers, followed live', { timeout: 120_000 }, async () => {
  const clock = createManualClock(start);
  const options = { clock, random: () => random, flags: { 'poll-interval': '10ms' } };
  const { apps, database } = await startTestApps(options, options);
  const [jobs, others] = [createJobsClient(apps[0].url), createJobsClient(apps[1].url)];
  const serverOf = (n: number) => (n % 2 === 0 ? jobs : others);

  let live = emptyLedgerState();
  const leave = new AbortController();
  const follow = async (): Promise<void> => {
    const { events } = testClient(others.url);
    for await (const message of events.subscribeEvents({ after: 0n }, { signal: leave.signal })) {
      live = reduceEvents(live, message.events.map(ledgerEventOf));
    }
  };
  const following = follow().catch((error: unknown) => {
    if (!leave.signal.aborted) throw error;
  });
  following.catch(() => undefined);

  const verdicts: readonly Verdict[] = ['complete', 'retry', 'complete', 'fail', 'crash', 'complete', 'late'];
  let taken = 0;
  const shift = createShift(clock, () => ({ ticks: (taken * 5) % 3, verdict: verdicts[taken++ % 7] ?? 'complete' }));
  const over = new AbortController();
  const workers = Array.from({ length: 8 }, (_, n) =>
    n < 4
      ? restWorker(`rest-${n}`, serverOf(n), shift, over.signal)
      : streamWorker(`stream-${n}`, serverOf(n).url, shift, over.signal, () => taken % 8 === 0),
  );
  let atWork = true;
  const working = Promise.all(workers).finally(() => (atWork = false));
  working.catch(() => over.abort());

  const submit = (n: number) => serverOf(n).submit({ kind: 'build', max_attempts: 4, priority: n % 4 });
  const ids = (await Promise.all(Array.from({ length: 160 }, (_, n) => submit(n)))).map(({ id }) => id);
  const isOpen = async () => (await jobs.list('?status=queued&status=running&limit=1')).jobs.length > 0;
  while (!over.signal.aborted && (await isOpen())) {
    const raced = raceCancel(jobs, others);
    await shift.tick();
    ids.push(await raced);
  }
  over.abort();
  while (atWork) await shift.tick();
  await working;

  const events = await readLedger(jobs.url);
  expectLegal(events);
  const state = reduceEvents(emptyLedgerState(), events);
  expect([...state.jobs.keys()]).toEqual(ids.toSorted());
  await expectRows(state, ids, { jobs, database });

  await until('the follower has been told all', () => live.seq === events.length);
  expect(new Map(live.jobs)).toStrictEqual(new Map(state.jobs));
  leave.abort();
  await soon('the follower to leave', following);
});

/** Cancels a job on one server while it is claimed, and then while its end is reported, on another. Answers its id. */
async function raceCancel(jobs: JobsClient, others: JobsClient): Promise<string> {
  const { id } = await jobs.submit({ kind: 'raced' });
  const [claimed] = await Promise.allSettled([
    jobs.claim({ kinds: ['raced'] }),
    Math.random() < 0.3 ? others.cancel(id) : undefined,
  ]);
  const [lease] = claimed.status === 'fulfilled' ? claimed.value : [];
  if (lease !== undefined) {
    await Promise.allSettled([jobs.complete(lease), others.fail(lease, { retryable: true }), others.cancel(id)]);
  }
  await others.cancel(id).catch(() => undefined);
  return id;
}
