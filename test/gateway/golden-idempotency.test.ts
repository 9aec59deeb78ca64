import { expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp } from '../support/app.js';
import { startRecording } from '../support/golden.js';

test('requests under an Idempotency-Key', async () => {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const { url } = await startTestApp({ clock, random: () => 0 });
  const { call, matches } = startRecording(url);
  const key = (text: string) => ({ 'idempotency-key': text });
  const job = { kind: 'build', payload: { a: 1, b: [2] } };

  const { json } = await call('submit', 'POST', '/v1/jobs', job, key('submit-1'));
  const { id } = json as { id: string };
  await call('the same again', 'POST', '/v1/jobs', job, key('submit-1'));
  const turned = '{ "payload": { "b": [2], "a": 1 }, "kind": "build" }';
  await call('the same in another order', 'POST', '/v1/jobs', turned, key('submit-1'));
  await call('another one', 'POST', '/v1/jobs', { ...job, priority: 0 }, key('submit-1'));
  await call('another method', 'DELETE', `/v1/jobs/${id}`, undefined, key('submit-1'));

  const claim = { worker_id: 'w', kinds: ['build'], max: 5 };
  const { json: claimed } = await call('claim', 'POST', '/v1/jobs/claim', claim, key('claim-1'));
  await call('the same again', 'POST', '/v1/jobs/claim', claim, key('claim-1'));
  const [{ lease_token } = { lease_token: '' }] = claimed as { lease_token: string }[];

  const report = { lease_token, error: { code: 'boom', message: 'It broke.' }, retryable: true };
  clock.advance(1000);
  await call('fail', 'POST', `/v1/jobs/${id}/fail`, report, key('fail-1'));
  await call('cancel', 'DELETE', `/v1/jobs/${id}`, undefined, key('cancel-1'));
  await call('fail again, canceled as it is', 'POST', `/v1/jobs/${id}/fail`, report, key('fail-1'));
  await call('cancel again, under another key', 'DELETE', `/v1/jobs/${id}`, undefined, key('cancel-2'));
  await call('the same again', 'DELETE', `/v1/jobs/${id}`, undefined, key('cancel-2'));

  const bad = { lease_token: 'x', error: { code: 'boom' } };
  await call('a request that is refused', 'POST', `/v1/jobs/${id}/fail`, bad, key('fail-2'));
  await call('is judged anew', 'POST', `/v1/jobs/${id}/fail`, bad, key('fail-2'));

  await call('another claim', 'POST', '/v1/jobs/claim', { ...claim, max: 1 }, key('claim-1'));
  clock.advance(24 * 3600_000);
  await call(
    'the same a day later, when the key is new again',
    'POST',
    '/v1/jobs/claim',
    { ...claim, max: 1 },
    key('claim-1'),
  );

  await call('a key of no characters', 'POST', '/v1/jobs', job, key(''));
  await call('a key of too many', 'POST', '/v1/jobs', job, key('k'.repeat(256)));
  await call('a key in other letters', 'POST', '/v1/jobs', job, key('clé'));
  const { status } = await call('a read needs none', 'GET', `/v1/jobs/${id}`, undefined, key(''));
  expect(status).toBe(200);
  await matches('idempotency');
});
