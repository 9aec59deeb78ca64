import { expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp } from '../support/app.js';
import { startRecording } from '../support/golden.js';

/** A server at noon, whose time stands still, and a recording of the calls made to it. */
async function setup() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const app = await startTestApp({ clock });
  const recording = startRecording(app.url);
  const { call } = recording;
  const submit = async (kind: string): Promise<string> => {
    const { json } = await call(`submit ${kind}`, 'POST', '/v1/jobs', { kind });
    return (json as { id: string }).id;
  };
  return { clock, app, call, submit, matches: recording.matches };
}

test('submit and get', async () => {
  const { call, submit, matches } = await setup();
  const id = await submit('build');
  await call('get', 'GET', `/v1/jobs/${id}`);
  const full = {
    kind: 'team/build:linux-1.2_x',
    payload: { repo: 'a', steps: [1, 2.5, null, true, 'é"\\\n'] },
    priority: 0,
    run_at: '2026-02-01T00:30:00.5+01:00',
    max_attempts: 100,
    timeout_sec: 604_800,
    idempotency_key: 'key 1',
  };
  const { json } = await call('submit with every field', 'POST', '/v1/jobs', full);
  await call('get it', 'GET', `/v1/jobs/${(json as { id: string }).id}`);
  await call('the same again under its key', 'POST', '/v1/jobs', full);
  await call('another request under that key', 'POST', '/v1/jobs', { ...full, priority: 1 });
  await call('nulls are as good as absent', 'POST', '/v1/jobs', {
    kind: 'build',
    payload: null,
    priority: null,
    run_at: null,
    max_attempts: null,
    timeout_sec: null,
    idempotency_key: null,
  });
  await call('an unknown id', 'GET', '/v1/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV');
  await call('a malformed id', 'GET', '/v1/jobs/42');
  await call('an id in lower case', 'GET', '/v1/jobs/job_01arz3ndektsv4rrffq69g5fav');
  await call('the id of another noun', 'GET', '/v1/jobs/task_01ARZ3NDEKTSV4RRFFQ69G5FAV');
  await matches('submit-and-get');
});

test('cancel', async () => {
  const { clock, call, submit, matches } = await setup();
  const queued = await submit('a');
  clock.advance(1000);
  await call('cancel a queued job', 'DELETE', `/v1/jobs/${queued}`);
  clock.advance(1000);
  await call('cancel it again', 'DELETE', `/v1/jobs/${queued}`);
  await call('it was canceled the first time', 'GET', `/v1/jobs/${queued}`);

  const { json } = await call('submit for later', 'POST', '/v1/jobs', { kind: 'a', run_at: '2030-01-01T00:00:00Z' });
  await call('cancel a scheduled job', 'DELETE', `/v1/jobs/${(json as { id: string }).id}`);

  const running = await submit('a');
  const claimed = await call('claim', 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['a'] });
  await call('cancel a running job', 'DELETE', `/v1/jobs/${running}`);
  const [{ lease_token }] = claimed.json as [{ lease_token: string }];
  await call('its worker is told', 'POST', `/v1/jobs/${running}/heartbeat`, { lease_token });

  const done = await submit('a');
  const [second] = (await call('claim', 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['a'] })).json as [
    { lease_token: string },
  ];
  await call('complete', 'POST', `/v1/jobs/${done}/complete`, { lease_token: second.lease_token });
  await call('cancel a done job', 'DELETE', `/v1/jobs/${done}`);

  const failed = await submit('a');
  const [third] = (await call('claim', 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['a'] })).json as [
    { lease_token: string },
  ];
  await call('fail', 'POST', `/v1/jobs/${failed}/fail`, { lease_token: third.lease_token, error: { code: 'x' } });
  await call('cancel a failed job', 'DELETE', `/v1/jobs/${failed}`);

  await call('an unknown id', 'DELETE', '/v1/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV');
  await call('a malformed id', 'DELETE', '/v1/jobs/42');
  await call('a body is refused', 'DELETE', `/v1/jobs/${queued}`, {});
  await matches('cancel');
});

test('list', async () => {
  const { clock, app, call, submit, matches } = await setup();
  await call('an empty list', 'GET', '/v1/jobs');
  for (const kind of ['a', 'b', 'a', 'b', 'a']) {
    await submit(kind);
    clock.advance(1000);
  }
  const claimed = await call('claim', 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['b'] });
  const [{ id, lease_token }] = claimed.json as [{ id: string; lease_token: string }];
  await call('complete', 'POST', `/v1/jobs/${id}/complete`, { lease_token, result: { ok: true } });
  await call('all, newest first', 'GET', '/v1/jobs');
  await call('by status', 'GET', '/v1/jobs?status=done');
  await call('by several states and kinds', 'GET', '/v1/jobs?status=done&status=running&kind=a&kind=b');
  await call('no match', 'GET', '/v1/jobs?kind=c');

  // The Link is followed as it stands, as a user would.
  let path: string | undefined = '/v1/jobs?limit=2&status=queued&status=done';
  const seen: string[] = [];
  while (path !== undefined) {
    const page = await call('a page', 'GET', path);
    seen.push(...(page.json as { id: string }[]).map((job) => job.id));
    path = /^<([^>]+)>; rel="next"$/.exec(page.headers.get('link') ?? '')?.[1];
  }
  const everything = (await call('limit at its most', 'GET', '/v1/jobs?limit=500')).json as { id: string }[];
  expect(seen).toEqual(everything.map((job) => job.id));
  expect(everything).toHaveLength(5);

  const exact = await call('a page that ends exactly at the end has no next one', 'GET', '/v1/jobs?limit=5');
  expect(exact.headers.get('link')).toBeNull();
  expect((await fetch(`${app.url}/v1/jobs?limit=1`, { method: 'HEAD' })).headers.get('link')).toMatch(/rel="next"$/);
  await matches('list');
});
