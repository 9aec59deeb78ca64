import parsePrometheus from 'parse-prometheus-text-format';
import { describe, expect, test } from 'vitest';
import { routesOf } from '../../src/platform/http/gateway/routes.js';
import { bearer, makeToken } from '../access/support/tokens.js';
import { ways } from '../access/support/ways.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { declaredServices, declaredStubs } from '../support/declared-services.js';
import { rest } from '../support/rest.js';
import { openEventStream } from '../support/sse.js';
import { until } from '../support/until.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * Samples by the name of their metric; of a histogram the counts. That it is the format is for a parser to say that this project did
 * not write; that one leaves the labels of histograms out, so the lines are read once more.
 */
async function scrape(
  app: TestApp,
  headers: Record<string, string> = {},
): Promise<ReadonlyMap<string, readonly Sample[]>> {
  const response = await fetch(`${app.url}/metrics`, { headers });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const text = await response.text();
  const samples = new Map<string, Sample[]>();
  for (const { name, help, type } of parsePrometheus(text)) {
    expect(help).not.toBe('');
    const line = new RegExp(`^${name}${type === 'HISTOGRAM' ? '_count' : ''}(?:\\{(.*)\\})? (\\S+)$`, 'gm');
    samples.set(
      name,
      [...text.matchAll(line)].map(([, labels = '', value]) => ({
        labels: Object.fromEntries(
          [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', word = '']) => [key, word]),
        ),
        value: Number(value),
      })),
    );
  }
  return samples;
}

function sum(samples: readonly Sample[] | undefined, wanted: Readonly<Record<string, string>>): number {
  return (samples ?? [])
    .filter(({ labels }) => Object.entries(wanted).every(([name, value]) => labels[name] === value))
    .reduce((total, { value }) => total + value, 0);
}

const requests = 'muster_http_request_duration_seconds';
const calls = 'muster_call_duration_seconds';

describe('/metrics', () => {
  test('counts what is refused before it begins as a call, too, in every way', async () => {
    const app = await startTestApp({ flags: { 'max-body': '1KiB' } });
    const path = '/muster.v1.JobService/CreateJob';
    const session = openSession(app.url);
    const post = (type: string, body: string | Uint8Array<ArrayBuffer>) =>
      fetch(`${app.url}${path}`, { method: 'POST', headers: { 'content-type': type }, body }).then((answer) =>
        answer.text(),
      );
    await rest(app.url, 'POST', '/v1/jobs', '{"kind":', { 'content-type': 'application/json' });
    await rest(app.url, 'POST', '/v1/jobs', { kind: 'k', payload: 'x'.repeat(2000) });
    await post('application/json', '{"kind":');
    await post('application/proto', Buffer.of(0xff));
    for (const type of ['application/grpc', 'application/grpc+json', 'application/grpc-web+json']) {
      await exchange(session, { ':path': path, 'content-type': type }, [framed(Buffer.of(0xff))]);
    }
    await exchange(session, { ':path': path, 'content-type': 'application/grpc', 'grpc-timeout': 'soon' }, [
      framed(Buffer.of()),
    ]);
    await rest(app.url, 'POST', '/v1/jobs', { kind: 'k' });
    await until('all are counted', async () => {
      const samples = (await scrape(app)).get(calls);
      const counted = (outcome: string) => sum(samples, { method: path, outcome });
      return counted('invalid_request') === 7 && counted('too_large') === 1 && counted('ok') === 1;
    });
    // What answers besides is no call.
    expect(sum((await scrape(app)).get(calls), {})).toBe(9);
  });

  test('counts a call in every way by its route, its code and its outcome', async () => {
    const app = await startTestApp();
    const routes = routesOf(await declaredStubs());
    const methods = (await declaredServices()).flatMap((service) => service.methods);
    const sent = new Map<string, number>();
    for (const [name, input] of [
      ['GetJob', { id: 'none' }],
      ['ListJobs', {}],
      ['SubscribeEvents', { after: 999_999_999 }],
    ] as const) {
      const method = methods.find((each) => each.name === name);
      if (method === undefined) throw new Error(`there is no ${name}`);
      const path = `/${method.parent.typeName}/${name}`;
      for (const call of Object.values(ways)) {
        const mine = routes.filter(({ rpc }) => rpc.path === path);
        if ((await call({ url: app.url, method, routes: mine, input, headers: {} })) === undefined) continue;
        sent.set(path, (sent.get(path) ?? 0) + 1);
      }
    }
    const seen = await until('all have ended', async () => {
      const families = await scrape(app);
      const http = families.get(requests);
      return sum(http, { route: '/api/events/stream' }) === 1 && sum(http, { transport: 'sse' }) === 1 && families;
    });
    const served = [...sent.values()].reduce((total, count) => total + count, 0);
    const own = sum(seen.get(requests), { route: '/metrics' });
    expect(sum(seen.get(requests), {}) - own).toBe(served);
    const transports = new Set(seen.get(requests)?.map(({ labels }) => labels['transport']));
    expect([...transports].sort()).toEqual(['connect', 'grpc', 'grpc-web', 'rest', 'sse', 'websocket']);
    for (const [path, count] of sent) {
      // An upgrade that never asks for anything is admitted, but is no call.
      const upgrades = path.endsWith('SubscribeEvents') ? 1 : 0;
      expect([path, sum(seen.get(calls), { method: path })]).toEqual([path, count - upgrades]);
    }
    expect(sum(seen.get(calls), { outcome: 'not_found' })).toBe(sent.get('/muster.v1.JobService/GetJob'));
    expect(sum(seen.get(requests), { route: '/v1/jobs/{id}', code: '404' })).toBe(1);
  });

  test('has as many series for a thousand paths as for one', async () => {
    const app = await startTestApp();
    const count = async () => [...(await scrape(app)).values()].flat().filter(({ labels }) => labels['route']).length;
    await rest(app.url, 'GET', '/v1/jobs/x');
    await rest(app.url, 'GET', '/nothing');
    await until('they are counted', async () => sum((await scrape(app)).get(requests), { route: 'none' }) === 1);
    const before = await count();
    for (let n = 0; n < 50; n++) {
      await rest(app.url, 'GET', `/v1/jobs/x${n}`);
      await rest(app.url, 'GET', `/nothing/${n}`);
      await rest(app.url, 'POST', `/muster.v1.JobService/Nothing${n}`, {});
    }
    await until('they are counted', async () => sum((await scrape(app)).get(requests), { route: 'none' }) === 101);
    expect(await count()).toBe(before);
  });

  test('tells what happens to jobs, and how many there are', async () => {
    const app = await startTestApp();
    const submit = async (more: object = {}) => rest(app.url, 'POST', '/v1/jobs', { kind: 'k', ...more });
    for (let n = 0; n < 3; n++) await submit();
    await submit({ run_at: '2099-01-01T00:00:00Z' });
    const claim = (max: number) => rest(app.url, 'POST', '/v1/jobs/claim', { worker_id: 'w', kinds: ['k'], max });
    const claimed = await claim(2);
    const [one, two] = claimed.json as { id: string; lease_token: string }[];
    await rest(app.url, 'POST', `/v1/jobs/${one?.id}/complete`, { lease_token: one?.lease_token });
    await rest(app.url, 'POST', `/v1/jobs/${two?.id}/fail`, { lease_token: two?.lease_token, error: { code: 'x' } });
    await submit({ kind: 'gone' });
    await submit();
    await claim(1);
    const [gone] = (await rest(app.url, 'GET', '/v1/jobs?kind=gone')).json as { id: string }[];
    await rest(app.url, 'DELETE', `/v1/jobs/${gone?.id}`);

    const seen = await scrape(app);
    const events = (type: string) => sum(seen.get('muster_events_total'), { type });
    expect(['JobQueued', 'JobStarted', 'JobDone', 'JobFailed', 'JobCanceled'].map(events)).toEqual([6, 3, 1, 1, 1]);
    const jobs = (state: string) => sum(seen.get('muster_jobs'), { state });
    // The leases of the two that have ended would run on as that of the one that runs does.
    expect(['queued', 'scheduled', 'running'].map(jobs)).toEqual([1, 1, 1]);
    expect(sum(seen.get('muster_events_lag_seconds'), {})).toBeGreaterThanOrEqual(0);
    expect(sum(seen.get('muster_db_connections'), {})).toBeGreaterThan(0);
    expect(seen.get('process_cpu_seconds_total')).toHaveLength(1);
  });

  test('tells which streams are open', async () => {
    const app = await startTestApp();
    const open = async () =>
      sum((await scrape(app)).get('muster_open_streams'), { method: '/muster.v1.EventService/SubscribeEvents' });
    const streams = [
      await openEventStream(`${app.url}/api/events/subscribe`),
      await openEventStream(`${app.url}/api/events/subscribe`),
    ];
    expect(await open()).toBe(2);
    streams[0]?.close();
    await until('one has ended', async () => (await open()) === 1);
  });

  test('says less, and goes on, while the database does not answer', async () => {
    const app = await startTestApp();
    await app.database.query('ALTER TABLE jobs_ready RENAME TO jobs_away');
    const seen = await scrape(app);
    await app.database.query('ALTER TABLE jobs_away RENAME TO jobs_ready');
    expect(seen.get('muster_jobs') ?? []).toEqual([]);
    expect(seen.has('muster_events_lag_seconds')).toBe(true);
  });

  test('is for those who may read it', async () => {
    const app = await startTestApp();
    const human = await makeToken(app, { role: 'human' });
    const [viewer, worker] = [
      await makeToken(app, { role: 'viewer' }, human),
      await makeToken(app, { role: 'worker' }, human),
    ];
    expect((await scrape(app, bearer(viewer))).size).toBeGreaterThan(10);
    expect((await rest(app.url, 'GET', '/metrics')).status).toBe(401);
    expect((await rest(app.url, 'GET', '/metrics', undefined, bearer(worker))).status).toBe(403);
  });
});
