import { Code } from '@connectrpc/connect';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { JobStatus } from '../../../gen/muster/v1/jobs_pb.js';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp } from '../../support/app.js';
import type { TestDatabase } from '../../support/database.js';
import { createJobsClient, type JobsClient } from '../../support/jobs-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { startTestApps } from '../../support/two-apps.js';
import { soon, until } from '../../support/until.js';
import { openWorkStream, startWorker, type WorkStream } from '../../support/work-client.js';

const kinds = ['build'];
const text = (value: string): string => JSON.stringify(value);
const lease = ({ id, leaseToken }: { id: string; leaseToken: string }) => ({ id, leaseToken });

async function submitMany(jobs: JobsClient, count: number): Promise<string[]> {
  const made = await Promise.all(Array.from({ length: count }, () => jobs.submit({ kind: 'build' })));
  return made.map(({ id }) => id);
}

/** Waits until the server has taken all that the stream has said, by asking for the answer to a senseless report. */
async function heard(stream: WorkStream): Promise<void> {
  const id = `job_${'0'.repeat(26)}`;
  const before = stream.heard.outcomes.length;
  stream.update({ held: [{ id, leaseToken: 'none' }] });
  await stream.until('all was heard', ({ outcomes }) => outcomes.slice(before).some((outcome) => outcome.id === id));
}

/** Listens to what servers tell each other. */
async function listen(database: TestDatabase): Promise<{ readonly heard: Promise<unknown> }> {
  const client = new pg.Client({ connectionString: database.url });
  onTestFinished(() => client.end());
  await client.connect();
  await client.query('LISTEN muster');
  return { heard: new Promise((resolve) => client.once('notification', resolve)) };
}

const firstJob = (stream: WorkStream) => stream.until('a job has come', ({ jobs }) => jobs[0]);

describe('flow control', () => {
  test('a worker never holds more unreported jobs than its capacity', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    await submitMany(jobs, 40);
    const stream = await startWorker(url, { kinds, capacity: 3 });
    for (let reported = 0; reported < 40; reported++) {
      const job = await stream.until(`job ${reported} has come`, ({ jobs: come }) => come[reported]);
      expect(stream.heard.jobs.length - reported).toBeLessThanOrEqual(3);
      stream.update({ completed: [{ ...lease(job), resultJson: text('ok') }] });
    }
    await stream.until('all are answered', ({ outcomes }) => outcomes.length === 40);
    expect(new Set(stream.heard.outcomes.map(({ status }) => status))).toEqual(new Set([JobStatus.DONE]));
  });

  test('what is beyond its capacity goes to others', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 3 });
    await submitMany(jobs, 10);
    await stream.until('it is full', ({ jobs: come }) => come.length === 3);
    expect(await jobs.claim({ kinds, max: 500 })).toHaveLength(7);
  });

  test('a larger capacity counts at once', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    await submitMany(jobs, 10);
    const stream = await startWorker(url, { kinds, capacity: 0 });
    await heard(stream);
    expect(stream.heard.jobs).toHaveLength(0);
    stream.update({ capacity: 4 });
    await stream.until('it is full', ({ jobs: come }) => come.length === 4);
    expect(await jobs.claim({ kinds, max: 500 })).toHaveLength(6);
  });

  test('a smaller capacity counts for a worker that waits already', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 5 });
    stream.update({ capacity: 2 });
    await heard(stream);
    await submitMany(jobs, 1);
    await firstJob(stream);
    stream.update({ capacity: 0 });
    await heard(stream);
    const others = await submitMany(jobs, 5);
    const claimed = await jobs.claim({ kinds, max: 500 });
    expect(claimed.map(({ id }) => id).sort()).toEqual(others.toSorted());
    expect(stream.heard.jobs).toHaveLength(1);
  });

  test('a job whose report was refused for its content is still in the hands of its worker', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 1 });
    const [first = ''] = await submitMany(jobs, 1);
    const job = await firstJob(stream);
    stream.update({ held: [{ ...lease(job), progressJson: text('x'.repeat(64 * 1024)) }] });
    stream.update({ completed: [{ ...lease(job), resultJson: text('x'.repeat(1024 * 1024)) }] });
    await stream.until('both are refused', ({ outcomes }) => outcomes.length === 2);
    // It has no place for another one,
    const [second = ''] = await submitMany(jobs, 1);
    expect((await jobs.claim({ kinds })).map(({ id }) => id)).toEqual([second]);
    expect(stream.heard.jobs).toHaveLength(1);
    // and hears of what happens to the one it has.
    await jobs.cancel(first);
    await stream.until('it was told of the cancel', ({ stopped }) => stopped.some(({ id }) => id === first));
  });
});

describe('reports', () => {
  test('a bad report costs no other report of the same message', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    await submitMany(jobs, 6);
    const stream = await startWorker(url, { kinds, capacity: 6 });
    await stream.until('all have come', ({ jobs: come }) => come.length === 6);
    const [big, good, stale, nameless, chatty, beating] = stream.heard.jobs.map(lease);
    if (!big || !good || !stale || !nameless || !chatty || !beating) throw new Error('six were sent');
    const nowhere = { id: `job_${'0'.repeat(26)}`, leaseToken: 'x' };
    stream.update({
      completed: [
        { ...big, resultJson: text('x'.repeat(1024 * 1024)) },
        { ...stale, leaseToken: 'of-somebody-else' },
        nowhere,
        { id: 'nonsense', leaseToken: 'x' },
        { ...good, resultJson: text('fine') },
      ],
      failed: [{ ...nameless, error: { code: '', message: 'which?' } }],
      held: [{ ...chatty, progressJson: text('x'.repeat(64 * 1024)) }, beating],
    });
    await stream.until('all are answered', ({ outcomes }) => outcomes.length === 8);
    const outcome = (id: string) => {
      const told = stream.heard.outcomes.find((each) => each.id === id);
      return { error: told?.error?.error, field: told?.error?.details?.['field'], status: told?.status };
    };
    const refused = { status: JobStatus.UNSPECIFIED, field: undefined };
    expect(outcome(big.id)).toEqual({ ...refused, error: 'too_large', field: 'result_json' });
    expect(outcome(stale.id)).toEqual({ ...refused, error: 'lease_lost' });
    expect(outcome(nowhere.id)).toEqual({ ...refused, error: 'not_found' });
    expect(outcome('nonsense')).toEqual({ ...refused, error: 'not_found' });
    expect(outcome(nameless.id)).toEqual({ ...refused, error: 'invalid_request', field: 'error.code' });
    expect(outcome(chatty.id)).toEqual({ ...refused, error: 'too_large', field: 'progress_json' });
    expect(outcome(beating.id)).toEqual({ error: undefined, field: undefined, status: JobStatus.RUNNING });
    expect(outcome(good.id)).toEqual({ error: undefined, field: undefined, status: JobStatus.DONE });
    // The stream goes on: what was refused can be reported better.
    stream.update({ failed: [{ ...big, error: { code: 'too_big', message: '' } }] });
    await stream.until('the failure is answered', ({ outcomes }) => outcomes.length === 9);
    expect(await jobs.get(big.id)).toMatchObject({ status: 'error', error: { code: 'too_big' } });
  });

  test.each([
    ['no JSON', '{"a":', /^result_json: is no JSON: /],
    ['two values', '1 2', /^result_json: is no JSON: /],
    ['a number that JSON has but no double', '[1e999]', /^result_json: must be JSON with numbers up to 1.79e308$/],
    ['too many levels', '['.repeat(129) + ']'.repeat(129), /^result_json: may be 128 levels deep$/],
  ])('a result that is %s is refused, and the worker still has the job', async (_what, resultJson, message) => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 1 });
    const [id = ''] = await submitMany(jobs, 1);
    const job = await firstJob(stream);
    stream.update({ completed: [{ ...lease(job), resultJson }] });
    const outcome = await stream.until('it is answered', ({ outcomes }) => outcomes[0]);
    expect(outcome.error).toMatchObject({ error: 'invalid_request', details: { field: 'result_json' } });
    expect(outcome.error?.message).toMatch(message);
    stream.update({ completed: [{ ...lease(job), resultJson: ' {"b" : [1.0, "\\u00e9"]} ' }] });
    await stream.until('it is done', ({ outcomes }) => outcomes[1]?.status === JobStatus.DONE);
    expect(await jobs.get(id)).toMatchObject({ status: 'done', result: { b: [1, 'é'] } });
  });

  test('a completion without a result has the result null', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 2 });
    await submitMany(jobs, 2);
    await stream.until('both have come', ({ jobs: come }) => come.length === 2);
    const [first, second] = stream.heard.jobs.map(lease);
    if (!first || !second) throw new Error('two were sent');
    stream.update({ completed: [first, { ...second, resultJson: 'null' }] });
    await stream.until('both are done', ({ outcomes }) => outcomes.length === 2);
    for (const { id } of [first, second]) expect(await jobs.get(id)).toMatchObject({ status: 'done', result: null });
  });

  test('a released job goes back as if it had never been claimed', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 1 });
    const [id = ''] = await submitMany(jobs, 1);
    const job = await firstJob(stream);
    stream.update({ capacity: 0, released: [lease(job)] });
    await stream.until('it is answered', ({ outcomes }) => outcomes.length === 1);
    expect(await jobs.get(id)).toMatchObject({ status: 'queued', attempts: 0, started_at: null });
    const [again] = await jobs.claim({ kinds });
    expect(again).toMatchObject({ id, attempts: 1 });
    expect(again?.lease_token).not.toBe(job.leaseToken);
  });

  test('a heartbeat renews the lease and stores progress', async () => {
    const clock = createManualClock(new Date('2026-03-01T12:00:00Z'));
    const { url } = await startTestApp({ clock });
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 1, leaseSec: 10 });
    expect(stream.heard.started).toBe(10);
    const [id = ''] = await submitMany(jobs, 1);
    const job = await firstJob(stream);
    clock.advance(9000);
    stream.update({ held: [{ ...lease(job), progressJson: text('half') }] });
    const outcome = await stream.until('it is answered', ({ outcomes }) => outcomes[0]);
    expect(outcome.leaseExpiresAt?.seconds).toBe(BigInt(Date.parse('2026-03-01T12:00:19Z') / 1000));
    expect(await jobs.get(id)).toMatchObject({ status: 'running', progress: 'half' });
  });

  test('a worker is never told to stop what it has just reported', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 20 });
    const noise = submitMany(jobs, 300).then((ids) =>
      Promise.all(ids.slice(200).map((id) => jobs.cancel(id).catch(() => undefined))),
    );
    const canceled = new Set<string>();
    let taken = 0;
    while (taken < 150) {
      const job = await stream.until('another has come', ({ jobs: come }) => come[taken]);
      taken += 1;
      stream.update({ completed: [lease(job)] });
    }
    await noise;
    await stream.until('all are answered', ({ outcomes }) => outcomes.length >= 150);
    for (const { id, status } of (await jobs.list('?limit=500')).jobs) if (status === 'canceled') canceled.add(id);
    expect(stream.heard.stopped.filter(({ id }) => !canceled.has(id))).toEqual([]);
  });
});

describe('the end of a stream', () => {
  for (const way of ['cancel', 'breakOff'] as const) {
    test(`a broken connection (${way}) keeps the leases, and the worker can report elsewhere`, async () => {
      const app = await startTestApp({ logLevel: 'info' });
      const jobs = createJobsClient(app.url);
      const stream = await startWorker(app.url, { kinds, capacity: 2 });
      const ids = await submitMany(jobs, 2);
      await stream.until('both have come', ({ jobs: come }) => come.length === 2);
      stream[way]();
      await until('the server has noticed', () => app.logged.some(({ event }) => event === 'worker_disconnected'));
      expect(await jobs.claim({ kinds, max: 500 })).toEqual([]);
      const [first, second] = stream.heard.jobs;
      if (first === undefined || second === undefined) throw new Error('two were sent');
      const done = await jobs.complete({ id: first.id, lease_token: first.leaseToken }, 'over REST');
      expect(done).toMatchObject({ status: 'done', attempts: 1 });
      const next = await startWorker(app.url, { kinds, capacity: 2 });
      next.update({ completed: [lease(second)] });
      const outcome = await next.until('it is answered', ({ outcomes }) => outcomes[0]);
      expect(outcome).toMatchObject({ id: second.id, status: JobStatus.DONE });
      expect(ids).toHaveLength(2);
    });
  }

  test('a worker that comes back with a job hears at once of its cancel', async () => {
    // So that nothing but the cancel itself makes the server look.
    const { url } = await startTestApp({ flags: { 'poll-interval': '1h' } });
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 1 });
    const [id = ''] = await submitMany(jobs, 1);
    const job = await firstJob(stream);
    stream.breakOff();
    await stream.over;
    const next = await startWorker(url, { kinds, capacity: 0 });
    next.update({ held: [lease(job)] });
    await next.until('its lease is renewed', ({ outcomes }) => outcomes[0]?.status === JobStatus.RUNNING);
    await jobs.cancel(id);
    const stopped = await next.until('it was told', ({ stopped: all }) => all[0]);
    expect(stopped).toMatchObject({ ...lease(job), reason: 'canceled' });
  });

  test('a worker that ends its side gives back what it holds, after its reports are filed', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const stream = await startWorker(url, { kinds, capacity: 3 });
    await submitMany(jobs, 3);
    await stream.until('all have come', ({ jobs: come }) => come.length === 3);
    const [first, ...rest] = stream.heard.jobs;
    if (first === undefined) throw new Error('three were sent');
    stream.update({ completed: [{ ...lease(first), resultJson: text('last') }] });
    stream.end();
    expect(await soon('the end', stream.over)).toBeUndefined();
    expect(stream.heard.outcomes).toMatchObject([{ id: first.id, status: JobStatus.DONE }]);
    for (const { id } of rest) expect(await jobs.get(id)).toMatchObject({ status: 'queued', attempts: 0 });
  });

  test('a reader that stalls and goes leaves nothing behind', async () => {
    const app = await startTestApp({ logLevel: 'info' });
    const jobs = createJobsClient(app.url);
    const payload = 'x'.repeat(500_000);
    await Promise.all(Array.from({ length: 30 }, () => jobs.submit({ kind: 'build', payload })));
    const stream = await startWorker(app.url, { kinds, capacity: 1 }, { stalled: ({ jobs: come }) => come.length > 0 });
    await firstJob(stream);
    stream.update({ capacity: 30 });
    await until('all are claimed', async () => (await jobs.list('?status=queued')).jobs.length === 0);
    stream.breakOff();
    await until('the server has noticed', () => app.logged.some(({ event }) => event === 'worker_disconnected'));
  });

  test('a stopping server tells its streams, takes their reports, and sends no more jobs', async () => {
    const { apps, database } = await startTestApps({ flags: { 'shutdown-grace': '30s' } }, {});
    const [app, other] = apps;
    const jobs = createJobsClient(other.url);
    await submitMany(jobs, 1);
    const stream = await startWorker(app.url, { kinds, capacity: 5 });
    const job = await firstJob(stream);
    const stopped = app.stop();
    await stream.until('it was told', ({ drains }) => drains > 0);
    const announcement = await listen(database);
    const [late = ''] = await submitMany(jobs, 1);
    await soon('the announcement', announcement.heard);
    // The server has heard of the job, and has had all the time that taking it would need.
    for (let turn = 0; turn < 10; turn++) await database.query('SELECT 1');
    expect((await jobs.claim({ kinds })).map(({ id }) => id)).toEqual([late]);
    expect(stream.heard.jobs).toHaveLength(1);
    stream.update({ completed: [lease(job)] });
    await stream.until('its report is answered', ({ outcomes }) => outcomes[0]?.status === JobStatus.DONE);
    stream.end();
    await soon('the server to stop', stopped);
    expect(await soon('the end', stream.over)).toBeUndefined();
    expect(await jobs.get(job.id)).toMatchObject({ status: 'done' });
  });

  test('a worker that leaves a stopping server keeps its leases', async () => {
    const { apps } = await startTestApps({ flags: { 'shutdown-grace': '30s' } }, {});
    const [app, other] = apps;
    const jobs = createJobsClient(other.url);
    await submitMany(jobs, 1);
    const stream = await startWorker(app.url, { kinds, capacity: 5 });
    const job = await firstJob(stream);
    const stopped = app.stop();
    await stream.until('it was told', ({ drains }) => drains > 0);
    stream.end();
    await soon('the server to stop', stopped);
    expect(await jobs.get(job.id)).toMatchObject({ status: 'running', attempts: 1 });
    const done = await jobs.complete({ id: job.id, lease_token: job.leaseToken });
    expect(done).toMatchObject({ status: 'done', attempts: 1 });
  });

  test('a stream that its worker does not end is cut after the grace time', async () => {
    const app = await startTestApp({ flags: { 'shutdown-grace': '100ms' } });
    const stream = await startWorker(app.url, { kinds, capacity: 5 });
    await soon('the server to stop', app.app.stop());
    expect(await soon('the end', stream.over)).toBeDefined();
    expect(stream.heard.drains).toBe(1);
  });
});

describe('what no worker may say', () => {
  const start = { workerId: 'w', kinds, capacity: 1 };
  const cases: readonly [string, string, readonly Parameters<WorkStream['send']>[0][]][] = [
    ['an update first', 'start', [{ message: { case: 'update', value: {} } }]],
    ['nothing', 'message', [{}]],
    ['start twice', 'start', [1, 2].map(() => ({ message: { case: 'start', value: start } }))],
    ['no kinds', 'kinds', [{ message: { case: 'start', value: { ...start, kinds: [] } } }]],
    ['a bad kind', 'kinds[1]', [{ message: { case: 'start', value: { ...start, kinds: ['a', 'b c'] } } }]],
    ['no name', 'worker_id', [{ message: { case: 'start', value: { ...start, workerId: '' } } }]],
    ['a capacity below 0', 'capacity', [{ message: { case: 'start', value: { ...start, capacity: -1 } } }]],
    ['a capacity beyond 5000', 'capacity', [{ message: { case: 'start', value: { ...start, capacity: 5001 } } }]],
    ['a lease of no time', 'lease_sec', [{ message: { case: 'start', value: { ...start, leaseSec: 0 } } }]],
    [
      'a bad capacity later',
      'capacity',
      [{ message: { case: 'start', value: start } }, { message: { case: 'update', value: { capacity: -1 } } }],
    ],
  ];
  const app = sharedTestApp();
  test.each(cases)('%s', async (_what, field, messages) => {
    const stream = openWorkStream(app.current.url);
    messages.forEach((message) => stream.send(message));
    const error = await soon('the end', stream.over);
    expect(error?.code).toBe(Code.InvalidArgument);
    expect(error?.rawMessage).toContain(`${field}: `);
  });
});
