import { describe, expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp, type TestApp } from '../../support/app.js';
import { listEvents, replayEvents, type RestEvent, wholeLedger } from '../../support/events-client.js';
import { claimOne, createJobsClient, refusal } from '../../support/jobs-client.js';
import { rest } from '../../support/rest.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { until } from '../../support/until.js';
import { startWorker } from '../../support/work-client.js';

const start = new Date('2026-03-01T12:00:00Z');
const at = '2026-03-01T12:00:00.000Z';
const kinds = ['build'];

async function setUp() {
  const clock = createManualClock(start);
  const app = await startTestApp({ clock, random: () => 0 });
  return { app, clock, jobs: createJobsClient(app.url) };
}

/** What happened to a job: types and payloads. */
async function story(app: TestApp, id: string): Promise<(readonly [string, unknown])[]> {
  return (await replayEvents(app.url, `?job_id=${id}`)).map(({ type, payload }) => [type, payload]);
}

describe('every change of a job is an event with the fields that have changed', () => {
  test('submitted, claimed, done', async () => {
    const { app, jobs } = await setUp();
    const { id } = await jobs.submit({ kind: 'build', payload: { a: 1 }, priority: 1, timeout_sec: 60 });
    const lease = await claimOne(jobs, { kinds });
    await jobs.heartbeat(lease, { progress: 'half' });
    await jobs.complete(lease, 'ok');
    // Repeated, and so no change.
    await jobs.complete(lease, 'ok');
    expect(await story(app, id)).toEqual([
      [
        'JobQueued',
        {
          kind: 'build',
          status: 'queued',
          priority: 1,
          attempts: 0,
          max_attempts: 3,
          run_at: at,
          timeout_sec: 60,
          created_at: at,
        },
      ],
      ['JobStarted', { status: 'running', attempts: 1, started_at: at, worker_id: 'test' }],
      ['JobDone', { status: 'done', error: null, finished_at: at }],
    ]);
  });

  test('failed for now, and for good', async () => {
    const { app, clock, jobs } = await setUp();
    const { id } = await jobs.submit({ kind: 'build', max_attempts: 2 });
    await jobs.fail(await claimOne(jobs, { kinds }), { retryable: true, error: { code: 'flaky', message: 'é' } });
    clock.advance(1000);
    await jobs.fail(await claimOne(jobs, { kinds, wait_sec: 30 }), { retryable: true });
    const later = '2026-03-01T12:00:01.000Z';
    expect((await story(app, id)).slice(1)).toEqual([
      ['JobStarted', { status: 'running', attempts: 1, started_at: at, worker_id: 'test' }],
      ['JobRetrying', { status: 'queued', error: { code: 'flaky', message: 'é' }, run_at: later }],
      ['JobStarted', { status: 'running', attempts: 2, started_at: later, worker_id: 'test' }],
      ['JobFailed', { status: 'error', error: { code: 'broken', message: 'It broke.' }, finished_at: later }],
    ]);
  });

  test('its lease lost, timed out: by the system', async () => {
    const { app, clock, jobs } = await setUp();
    const { id } = await jobs.submit({ kind: 'build', max_attempts: 2, timeout_sec: 5 });
    await claimOne(jobs, { kinds, lease_sec: 1 });
    clock.advance(2000);
    await claimOne(jobs, { kinds, lease_sec: 60, wait_sec: 30 });
    clock.advance(6000);
    await until('it has timed out', async () => (await jobs.get(id)).status === 'error');
    const events = await replayEvents(app.url, `?job_id=${id}&source=System`);
    expect(events.map(({ type, payload }) => [type, payload])).toMatchObject([
      ['JobRetrying', { status: 'queued', error: { code: 'lease_expired' } }],
      ['JobFailed', { status: 'error', error: { code: 'timeout' } }],
    ]);
    expect(events.map(({ actor, correlation_id }) => [actor, correlation_id])).toEqual([
      [{ kind: 'system', id: 'muster' }, null],
      [{ kind: 'system', id: 'muster' }, null],
    ]);
  });

  test('canceled, queued and running', async () => {
    const { app, jobs } = await setUp();
    for (const claimed of [false, true]) {
      const { id } = await jobs.submit({ kind: 'build' });
      if (claimed) await claimOne(jobs, { kinds });
      await jobs.cancel(id);
      await jobs.cancel(id);
      expect((await story(app, id)).slice(claimed ? 2 : 1)).toEqual([
        ['JobCanceled', { status: 'canceled', finished_at: at }],
      ]);
    }
  });

  test('given back', async () => {
    const { app, jobs } = await setUp();
    const stream = await startWorker(app.url, { kinds, capacity: 1 });
    const { id } = await jobs.submit({ kind: 'build' });
    const { leaseToken } = await stream.until('it has come', ({ jobs: come }) => come[0]);
    stream.update({ capacity: 0, released: [{ id, leaseToken }] });
    await stream.until('it is answered', ({ outcomes }) => outcomes[0]);
    expect((await story(app, id)).slice(1)).toEqual([
      ['JobStarted', { status: 'running', attempts: 1, started_at: at, worker_id: 'test' }],
      ['JobQueued', { status: 'queued', attempts: 0, started_at: null, worker_id: null }],
    ]);
  });

  test('many by one statement: each has its own, with the origin of its own request', async () => {
    const { app, jobs } = await setUp();
    const submit = (n: number) =>
      rest(app.url, 'POST', '/v1/jobs', { kind: 'build' }, { 'x-correlation-id': `submit-${n}` });
    const made = await Promise.all(Array.from({ length: 60 }, (_, n) => submit(n)));
    const claimed = await jobs.claim({ kinds, max: 500 });
    expect(claimed).toHaveLength(60);
    await Promise.all(claimed.map((lease) => jobs.complete(lease)));
    const ledger = await wholeLedger(app.url);
    expect(ledger.map(({ seq }) => seq)).toEqual(ledger.map((_, index) => index + 1));
    for (const [n, { json }] of made.entries()) {
      const events = ledger.filter(({ job_id: id }) => id === (json as { id: string }).id);
      expect(events.map(({ type }) => type)).toEqual(['JobQueued', 'JobStarted', 'JobDone']);
      expect(events[0]).toMatchObject({ correlation_id: `submit-${n}`, source: 'Rest', actor: { kind: 'human' } });
    }
  });
});

describe('what changes nothing is no event', () => {
  test('refused requests', async () => {
    const { app, jobs } = await setUp();
    const { id } = await jobs.submit({ kind: 'build', idempotency_key: 'once' });
    await jobs.submit({ kind: 'build', idempotency_key: 'once' });
    await refusal(jobs.submit({ kind: 'other', idempotency_key: 'once' }));
    await refusal(jobs.submit({ kind: 'no such kind' }));
    const lease = await claimOne(jobs, { kinds });
    await refusal(jobs.complete({ id, lease_token: 'of-somebody-else' }));
    await jobs.complete(lease);
    await refusal(jobs.cancel(id));
    await refusal(jobs.fail(lease));
    expect((await wholeLedger(app.url)).map(({ type }) => type)).toEqual(['JobQueued', 'JobStarted', 'JobDone']);
  });

  test('a change that Postgres refuses', async () => {
    const { app, jobs } = await setUp();
    await app.database.query(`ALTER TABLE jobs ADD CHECK (kind <> 'refused')`);
    const answers = await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) => jobs.submit({ kind: n % 10 === 3 ? 'refused' : 'fine' })),
    );
    const made = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.id] : []));
    expect(made).toHaveLength(27);
    expect((await wholeLedger(app.url)).map(({ job_id }) => job_id).sort()).toEqual(made.toSorted());
  });

  test('an event that Postgres refuses: then the change is refused with it', async () => {
    const { app, jobs } = await setUp();
    await app.database.query(`ALTER TABLE events_new ADD CHECK (type <> 'JobQueued')`);
    expect((await refusal(jobs.submit({ kind: 'build' }))).error).toBe('internal_error');
    expect((await jobs.list()).jobs).toEqual([]);
  });
});

describe('reading', () => {
  const app = sharedTestApp();
  const seqs = (events: readonly RestEvent[]): number[] => events.map(({ seq }) => seq);

  /** Three jobs, the second of them canceled: events 1 to 4 of a ledger of its own. */
  async function fill() {
    const own = await startTestApp();
    const jobs = createJobsClient(own.url);
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.push((await jobs.submit({ kind: 'build' })).id);
    await jobs.cancel(ids[1] ?? '');
    return { url: own.url, ids };
  }

  test('all that was committed before, however many events a statement had', async () => {
    const { url, database } = await startTestApp({ flags: { 'poll-interval': '1h' } });
    await database.query(
      `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, job_ids, payload)
       SELECT 1500, now(), 'JobDone', 'Rest', 'human', 'local', array_agg('job_' || n), '{}'
       FROM generate_series(1, 4500) n GROUP BY n % 3`,
    );
    expect(seqs(await listEvents(url, '?limit=1'))).toEqual([4500]);
  });

  test('pages, from either end', async () => {
    const { url } = await fill();
    expect(seqs(await listEvents(url))).toEqual([4, 3, 2, 1]);
    expect(seqs(await listEvents(url, '?limit=2'))).toEqual([4, 3]);
    expect(seqs(await listEvents(url, '?limit=2&before=3'))).toEqual([2, 1]);
    expect(seqs(await listEvents(url, '?after=1&before=4'))).toEqual([3, 2]);
    expect(seqs(await replayEvents(url))).toEqual([1, 2, 3, 4]);
    expect(seqs(await replayEvents(url, '?after=1&limit=2'))).toEqual([2, 3]);
    expect(seqs(await replayEvents(url, '?after=0&before=3'))).toEqual([1, 2]);
    expect(seqs(await replayEvents(url, '?after=4'))).toEqual([]);
    expect(seqs(await listEvents(url, '?after=4'))).toEqual([]);
    for (const before of [0, 1]) expect(seqs(await listEvents(url, `?before=${before}`))).toEqual([]);
    expect(seqs(await listEvents(url, '?limit=1&before=1000000'))).toEqual([4]);
  });

  test('after one that is yet to come is refused, in every way', async () => {
    const { url } = await fill();
    for (const path of ['', '/replay', '/subscribe']) {
      const { status, json } = await rest(url, 'GET', `/api/events${path}?after=5`);
      expect([path, status, json]).toMatchObject([
        path,
        400,
        {
          error: 'invalid_request',
          message: 'after: the newest event is 4',
          details: { field: 'after', after: 5, newest_seq: 4 },
        },
      ]);
    }
  });

  test('filters, which all have to fit', async () => {
    const { url, ids } = await fill();
    const [first, second] = ids;
    expect(seqs(await replayEvents(url, '?type=JobCanceled'))).toEqual([4]);
    expect(seqs(await replayEvents(url, '?type=JobCanceled&type=JobQueued'))).toEqual([1, 2, 3, 4]);
    expect(seqs(await replayEvents(url, `?job_id=${second}`))).toEqual([2, 4]);
    expect(seqs(await replayEvents(url, `?job_id=${second}&type=JobQueued`))).toEqual([2]);
    expect(seqs(await replayEvents(url, `?job_id=${first}&type=JobCanceled`))).toEqual([]);
    expect(seqs(await replayEvents(url, '?source=Rest'))).toEqual([1, 2, 3, 4]);
    for (const nothing of ['source=System', 'task_id=x', 'repo_id=x', 'review_id=x', 'session_id=x', 'job_id=x']) {
      expect(seqs(await replayEvents(url, `?${nothing}`))).toEqual([]);
      expect(seqs(await listEvents(url, `?${nothing}`))).toEqual([]);
    }
  });

  test.each([
    ['limit=0', 'limit'],
    ['limit=1001', 'limit'],
    ['after=-1', 'after'],
    ['before=-1', 'before'],
    ['after=x', 'after'],
    ['type=JobQueued&type=JobEaten', 'type[1]'],
    ['source=Telex', 'source'],
    ['job=x', 'job'],
  ])('?%s is refused by its name', async (query, field) => {
    for (const path of ['/api/events', '/api/events/replay']) {
      const answer = await rest(app.current.url, 'GET', `${path}?${query}`);
      expect([answer.status, answer.json]).toMatchObject([400, { error: 'invalid_request', details: { field } }]);
    }
  });
});
