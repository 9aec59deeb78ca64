import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { wholeLedger } from '../support/events-client.js';
import { createJobsClient } from '../support/jobs-client.js';
import { rest, type RestAnswer } from '../support/rest.js';
import { startTestApp } from '../support/app.js';
import { startTestApps } from '../support/two-apps.js';
import { soon, until } from '../support/until.js';
import { holdAnswers } from './support/hold.js';

const key = { 'idempotency-key': 'same' };
const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));
const isReplay = ({ headers }: RestAnswer): boolean => headers.get('idempotency-replayed') === 'true';

describe.each(['on', 'off'])('two servers, LISTEN %s', (listen) => {
  const flags = { 'db-listen': listen };

  test('500 concurrent twins of one key make one job, and all get its answer', async () => {
    const { apps, database } = await startTestApps({ flags }, { flags });
    const body = { kind: 'build', payload: { deep: [1, { two: 'three' }] } };
    const answers = await Promise.all(
      times(500, (n) => rest(apps[n % 2 === 0 ? 0 : 1].url, 'POST', '/v1/jobs', body, key)),
    );
    const [job, ...others] = await database.query<{ id: string }>('SELECT id FROM jobs');
    expect(others).toEqual([]);
    const text = JSON.stringify({ id: job?.id, status: 'queued', kind: 'build' });
    const seen = answers.map((answer) => [answer.status, answer.text, answer.headers.get('location')].join(' '));
    expect(new Set(seen)).toEqual(new Set([`201 ${text} /v1/jobs/${job?.id}`]));
    expect(answers.filter((answer) => !isReplay(answer))).toHaveLength(1);
  });

  test('twins that wait for a slow one are in nobody else’s way, and get its answer', async () => {
    const { apps, database } = await startTestApps({ flags }, { flags });
    const [first, second] = apps;
    const hold = await holdAnswers(database, 'writing');
    const submit = ({ url }: { url: string }) => rest(url, 'POST', '/v1/jobs', { kind: 'slow' }, key);
    const slow = submit(first);
    await hold.standing(1);
    let answered = 0;
    const twins = times(60, async (n) => {
      const answer = await submit(n % 2 === 0 ? first : second);
      answered += 1;
      return answer;
    });
    // More calls than either server has connections, and all of them need one.
    await Promise.all(times(20, (n) => createJobsClient(apps[n % 2 === 0 ? 0 : 1].url).submit({ kind: 'other' })));
    expect(answered).toBe(0);
    await hold.letGo();
    const { text } = await slow;
    expect(new Set((await Promise.all(twins)).map((twin) => twin.text))).toEqual(new Set([text]));
    expect(await database.query(`SELECT FROM jobs WHERE kind = 'slow'`)).toHaveLength(1);
  });
});

test('a claim that waits for work is one claim: its twins get the same jobs under the same lease', async () => {
  const { apps } = await startTestApps({}, {});
  const [first, second] = apps;
  const claim = ({ url }: { url: string }) =>
    rest(url, 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['build'], max: 5, wait_sec: 60 }, key);
  const claims = [claim(first), claim(second), claim(first), claim(second)];
  const jobs = createJobsClient(first.url);
  const { id } = await jobs.submit({ kind: 'build' });
  const answers = await Promise.all(claims);
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  const [held] = answers.flatMap(({ json }) => json as { id: string; lease_token: string }[]);
  expect(held?.id).toBe(id);
  expect(await jobs.complete({ id, lease_token: held?.lease_token ?? '' })).toMatchObject({ attempts: 1 });
});

describe('a caller who hangs up', () => {
  test('while it waits for work leaves the claim to its twin', async () => {
    const app = await startTestApp();
    const jobs = createJobsClient(app.url);
    const gone = new AbortController();
    const claim = (signal?: AbortSignal) =>
      fetch(`${app.url}/v1/jobs/claim`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...key },
        body: JSON.stringify({ worker_id: 'w', kinds: ['build'], wait_sec: 60 }),
        ...(signal && { signal }),
      });
    const left = claim(gone.signal).catch(() => 'gone');
    await until(
      'the key is claimed',
      async () => (await app.database.query('SELECT FROM idempotency_keys')).length > 0,
    );
    const twin = claim();
    gone.abort();
    expect(await left).toBe('gone');
    const { id } = await jobs.submit({ kind: 'build' });
    const answer = (await soon(
      'the twin to have the job',
      twin.then((each) => each.json()),
    )) as { id: string }[];
    expect(answer.map((job) => job.id)).toEqual([id]);
  });

  test('when its jobs are just being claimed finds them when it comes back', async () => {
    const app = await startTestApp();
    const jobs = createJobsClient(app.url);
    const { id } = await jobs.submit({ kind: 'build' });
    const hold = await holdAnswers(app.database, 'writing');
    const gone = new AbortController();
    const request = { worker_id: 'w', kinds: ['build'], wait_sec: 60 };
    const left = fetch(`${app.url}/v1/jobs/claim`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...key },
      body: JSON.stringify(request),
      signal: gone.signal,
    }).catch(() => 'gone');
    await hold.standing(1);
    gone.abort();
    expect(await left).toBe('gone');
    const back = rest(app.url, 'POST', '/v1/jobs/claim', request, key);
    await hold.letGo();
    const [held] = (await back).json as { id: string; lease_token: string }[];
    expect(held?.id).toBe(id);
    expect(await jobs.complete({ id, lease_token: held?.lease_token ?? '' })).toMatchObject({ attempts: 1 });
  });
});

test('a server that is slow and taken for dead is rolled back, and answers what was done instead', async () => {
  const clock = createManualClock(new Date());
  const { apps, database } = await startTestApps({ clock }, { clock });
  const [slow, other] = apps;
  const { id } = await createJobsClient(slow.url).submit({ kind: 'build' });
  // Both have to wait for the job, and get it in the order in which they came.
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  onTestFinished(() => client.end());
  await client.query('BEGIN');
  await client.query('SELECT FROM jobs WHERE id = $1 FOR UPDATE', [id]);
  const waiting = async (count: number): Promise<boolean> => {
    const waiters = `SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'`;
    return (await database.query(waiters, [database.name])).length === count;
  };
  const cancel = ({ url }: { url: string }) => rest(url, 'DELETE', `/v1/jobs/${id}`, undefined, key);
  const first = cancel(slow);
  await until('the slow one waits', () => waiting(1));
  clock.advance(20_000);
  const second = cancel(other);
  await until('the other one has taken over', () => waiting(2));
  await client.query('ROLLBACK');
  const answers = await Promise.all([first, second]);
  expect(answers.map(isReplay)).toEqual([true, false]);
  for (const answer of answers) expect(answer).toMatchObject({ status: 200, json: { id, status: 'canceled' } });
  const events = await wholeLedger(other.url);
  expect(events.map(({ type }) => type)).toEqual(['JobQueued', 'JobCanceled']);
});
