import { expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp } from '../support/app.js';
import { startRecording } from '../support/golden.js';
import { rest } from '../support/rest.js';

interface Claimed {
  readonly id: string;
  readonly lease_token: string;
}

/** A server at noon, whose time is moved by hand, and a recording of the calls made to it. */
async function setup() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const app = await startTestApp({ clock, random: () => 0.5 });
  const { call, matches } = startRecording(app.url);
  /** Not recorded. */
  const submit = async (fields: Record<string, unknown> = {}): Promise<void> => {
    expect((await rest(app.url, 'POST', '/v1/jobs', { kind: 'a', ...fields })).status).toBe(201);
  };
  const claim = async (title: string, fields: Record<string, unknown> = {}): Promise<Claimed> => {
    const answer = await call(title, 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['a'], ...fields });
    const [job] = answer.json as [Claimed];
    return job;
  };
  /** Resolves when the server has seen that the job is in this state: what the passing of time does is its own affair. */
  const becomes = (id: string, status: string): Promise<void> =>
    expect
      .poll(async () => (await rest(app.url, 'GET', `/v1/jobs/${id}`)).json, { timeout: 30_000, interval: 20 })
      .toMatchObject({ status });
  return { app, clock, call, submit, claim, becomes, matches };
}

test('claim', async () => {
  const { clock, call, submit, claim, matches } = await setup();
  await claim('nothing to do');
  await submit({ priority: 3, payload: 'low' });
  clock.advance(1000);
  await submit({ priority: 1, payload: 'high', timeout_sec: 60 });
  await submit({ kind: 'b' });
  await submit({ kind: 'other' });
  await submit({ run_at: '2026-02-01T00:00:00Z' });
  await claim('the most urgent one first');
  await call('several at once, by a worker of two kinds', 'POST', '/v1/jobs/claim', {
    worker_id: 'runner-1',
    kinds: ['b', 'a', 'b'],
    max: 500,
    lease_sec: 3600,
    wait_sec: 0,
  });
  await claim('the other kind and the scheduled one stay');
  await matches('claim');
});

test('a claim that waits is woken by a submit', async () => {
  const { call, submit, matches } = await setup();
  const waiting = call('wait for work', 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['a'], wait_sec: 60 });
  await submit({ payload: 'news' });
  expect((await waiting).json).toHaveLength(1);
  await matches('claim-waits');
});

test('a claim that waits in vain answers an empty list', async () => {
  const { call, matches } = await setup();
  await call('wait a second', 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['a'], wait_sec: 1 });
  await matches('claim-waits-in-vain');
});

test('heartbeat', async () => {
  const { clock, call, submit, claim, becomes, matches } = await setup();
  await submit();
  const { id, lease_token } = await claim('claim', { lease_sec: 10 });
  clock.advance(5000);
  await call('renew', 'POST', `/v1/jobs/${id}/heartbeat`, { lease_token });
  clock.advance(5000);
  await call('renew with progress', 'POST', `/v1/jobs/${id}/heartbeat`, { lease_token, progress: { percent: 50 } });
  await call('without, the progress stays', 'POST', `/v1/jobs/${id}/heartbeat`, { lease_token });
  await call('get', 'GET', `/v1/jobs/${id}`);
  await call('null is a progress, too', 'POST', `/v1/jobs/${id}/heartbeat`, { lease_token, progress: null });
  await call('get', 'GET', `/v1/jobs/${id}`);
  await call('under a wrong token', 'POST', `/v1/jobs/${id}/heartbeat`, { lease_token: 'not-mine' });

  clock.advance(10_001);
  await becomes(id, 'queued');
  await call('after the lease has ended', 'POST', `/v1/jobs/${id}/heartbeat`, { lease_token });
  const second = await claim('somebody else has it');
  await call('the first worker again', 'POST', `/v1/jobs/${id}/heartbeat`, { lease_token });
  await call('cancel', 'DELETE', `/v1/jobs/${id}`);
  await call('canceled', 'POST', `/v1/jobs/${id}/heartbeat`, { lease_token: second.lease_token });
  await call('an unknown id', 'POST', '/v1/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV/heartbeat', { lease_token });
  await call('a malformed id', 'POST', '/v1/jobs/42/heartbeat', { lease_token });
  await matches('heartbeat');
});

test('complete', async () => {
  const { clock, call, submit, claim, becomes, matches } = await setup();
  await submit();
  const first = await claim('claim');
  const completed = { lease_token: first.lease_token, result: { sum: 3 } };
  clock.advance(1000);
  await call('complete', 'POST', `/v1/jobs/${first.id}/complete`, completed);
  clock.advance(1000);
  await call('again', 'POST', `/v1/jobs/${first.id}/complete`, completed);
  await call('again, otherwise: the first result stays', 'POST', `/v1/jobs/${first.id}/complete`, {
    ...completed,
    result: 4,
  });
  await call('under another token', 'POST', `/v1/jobs/${first.id}/complete`, { lease_token: 'not-mine' });
  await call('a done job cannot fail', 'POST', `/v1/jobs/${first.id}/fail`, {
    lease_token: first.lease_token,
    error: { code: 'late' },
  });

  await submit();
  const second = await claim('claim');
  await call('without a result', 'POST', `/v1/jobs/${second.id}/complete`, { lease_token: second.lease_token });

  await submit();
  const third = await claim('claim');
  await call('cancel', 'DELETE', `/v1/jobs/${third.id}`);
  await call('too late: canceled', 'POST', `/v1/jobs/${third.id}/complete`, { lease_token: third.lease_token });

  await submit();
  const fourth = await claim('claim', { lease_sec: 1 });
  clock.advance(1001);
  await becomes(fourth.id, 'queued');
  await call('too late: the lease is lost', 'POST', `/v1/jobs/${fourth.id}/complete`, {
    lease_token: fourth.lease_token,
  });

  await submit({ kind: 'untouched' });
  const [queued] = (await call('list', 'GET', '/v1/jobs?kind=untouched')).json as [Claimed];
  await call('never claimed', 'POST', `/v1/jobs/${queued.id}/complete`, { lease_token: 'invented' });
  await call('an unknown id', 'POST', '/v1/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV/complete', completed);
  await call('a malformed id', 'POST', '/v1/jobs/..%2F/complete', completed);
  await matches('complete');
});

test('fail', async () => {
  const { clock, call, submit, claim, becomes, matches } = await setup();
  await submit({ max_attempts: 2 });
  const first = await claim('claim');
  const error = { code: 'exit_1', message: 'no such file' };
  await call('retryable, with attempts left', 'POST', `/v1/jobs/${first.id}/fail`, {
    lease_token: first.lease_token,
    error,
    retryable: true,
  });
  await call('again', 'POST', `/v1/jobs/${first.id}/fail`, { lease_token: first.lease_token, error, retryable: true });
  await claim('not before its backoff is over');
  clock.advance(750);
  const second = await claim('the second attempt', { wait_sec: 60 });
  const last = { lease_token: second.lease_token, error, retryable: true };
  await call('retryable, with none left', 'POST', `/v1/jobs/${second.id}/fail`, last);
  await call('again', 'POST', `/v1/jobs/${second.id}/fail`, last);
  await call('a failed job cannot complete', 'POST', `/v1/jobs/${second.id}/complete`, {
    lease_token: second.lease_token,
  });

  await submit();
  const third = await claim('claim');
  await call('for good, without a message', 'POST', `/v1/jobs/${third.id}/fail`, {
    lease_token: third.lease_token,
    error: { code: 'bad_input' },
  });

  await submit({ max_attempts: 1, timeout_sec: 5 });
  const fourth = await claim('claim', { lease_sec: 60 });
  clock.advance(5001);
  await becomes(fourth.id, 'error');
  await call('its time has run out', 'GET', `/v1/jobs/${fourth.id}`);
  await submit({ max_attempts: 1 });
  const fifth = await claim('claim', { lease_sec: 1 });
  clock.advance(1001);
  await becomes(fifth.id, 'error');
  await call('its lease has run out', 'GET', `/v1/jobs/${fifth.id}`);

  await call('an unknown id', 'POST', '/v1/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV/fail', last);
  await call('a malformed id', 'POST', '/v1/jobs/job_/fail', last);
  await matches('fail');
});
