import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { GetJobRequestSchema, GetJobResponseSchema } from '../../gen/muster/v1/jobs_pb.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { replayEvents } from '../support/events-client.js';
import { createJobsClient, type RestJob } from '../support/jobs-client.js';
import { until } from '../support/until.js';
import { foreignHost, type Page, startBrowser } from './support/browser.js';

const upTo = (last: number): number[] => Array.from({ length: last }, (_, n) => n + 1);

async function submit({ url }: TestApp, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await createJobsClient(url).submit({ kind: 'build' });
}

/** A page of the server's own origin. */
async function openOwnPage({ url }: TestApp): Promise<Page> {
  const page = await (await startBrowser()).openPage();
  await page.goTo(`${url}/docs`);
  return page;
}

/** A web server that is not ours, with an empty page. Answers its port. */
async function startForeignServer(): Promise<number> {
  const server = createServer((_request, response) => response.setHeader('content-type', 'text/html').end('<p>Hi'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

test('EventSource follows, and goes on by itself after the server was stopped and started again', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const first = await startTestApp({ database });
  const other = await startTestApp({ database });
  const page = await openOwnPage(first);
  await page.run(`
    told = [];
    opened = 0;
    source = new EventSource('/api/events/subscribe?after=0');
    source.onopen = () => opened++;
    hears = (count) => new Promise((resolve) => {
      const look = () => told.length >= count && resolve(told.map(({ seq }) => seq));
      source.addEventListener('message', look);
      look();
    });
    source.onmessage = ({ data, lastEventId }) => told.push({ ...JSON.parse(data), lastEventId });
    undefined`);
  await submit(first, 3);
  expect(await page.run('hears(3)')).toEqual(upTo(3));

  await first.stop();
  await submit(other, 3);
  const second = await startTestApp({ database, flags: { port: new URL(first.url).port } });
  expect(second.url).toBe(first.url);
  await submit(second, 3);
  expect(await page.run('hears(9)')).toEqual(upTo(9));
  expect(await page.run('opened')).toBe(2);
  expect(await page.run('told')).toEqual(
    (await replayEvents(second.url)).map((event) => ({ ...event, lastEventId: String(event.seq) })),
  );
});

test('EventSource goes on at the place that it was told, though it had been told no event', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const first = await startTestApp({ database });
  const other = await startTestApp({ database });
  await submit(first, 3);
  const page = await openOwnPage(first);
  // From now on, so that without a place it would come back to what comes from then on.
  await page.run(`
    source = new EventSource('/api/events/subscribe');
    hears = new Promise((resolve) => (source.onmessage = ({ lastEventId }) => resolve(lastEventId)));
    new Promise((resolve) => (source.onopen = () => resolve(true)))`);
  await first.stop();
  await submit(other, 1);
  await startTestApp({ database, flags: { port: new URL(first.url).port } });
  expect(await page.run('hears')).toBe('4');
});

test('WebSocket follows', async () => {
  const app = await startTestApp();
  await submit(app, 2);
  const page = await openOwnPage(app);
  await page.run(`
    messages = [];
    socket = new WebSocket('ws://' + location.host + '/api/events/stream');
    socket.onopen = () => socket.send(JSON.stringify({ type: 'subscribe', after: 0 }));
    hears = (count) => new Promise((resolve, reject) => {
      const look = () => messages.length >= count && resolve(messages);
      socket.addEventListener('message', look);
      socket.addEventListener('close', ({ code }) => reject(new Error('closed with ' + code)));
      if (socket.readyState > WebSocket.OPEN) reject(new Error('it has closed'));
      look();
    });
    socket.onmessage = ({ data }) => messages.push(JSON.parse(data));
    undefined`);
  await page.run('hears(3)');
  await submit(app, 2);
  const events = (seqs: number) => page.run(`hears(${seqs})`);
  expect(await events(5)).toEqual([
    { type: 'subscribed', after: 0 },
    ...(await replayEvents(app.url)).map((event) => ({ type: 'event', event })),
  ]);
});

test('fetch calls REST, Connect and gRPC-Web', async () => {
  const app = await startTestApp();
  const page = await openOwnPage(app);
  const submitted = await page.run<{ status: number; job: RestJob }>(`
    fetch('/v1/jobs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ kind: 'build', payload: { text: 'grüße' } }),
    }).then(async (answer) => ({ status: answer.status, job: await answer.json() }))`);
  expect(submitted).toMatchObject({ status: 201, job: { status: 'queued', kind: 'build' } });
  const { id } = submitted.job;
  expect(await page.run(`fetch('/v1/jobs/${id}').then((answer) => answer.json())`)).toEqual(
    await createJobsClient(app.url).get(id),
  );

  const method = '/muster.v1.JobService/GetJob';
  const overConnect = await page.run(`
    fetch('${method}', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'connect-protocol-version': '1' },
      body: '{"id":"${id}"}',
    }).then((answer) => answer.json())`);
  expect(overConnect).toMatchObject({ job: { id, kind: 'build', status: 'JOB_STATUS_QUEUED' } });

  const frames = framesOf(
    await page.run<number[]>(`
      fetch('${method}', {
        method: 'POST',
        headers: { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' },
        body: new Uint8Array([${frameOf(toBinary(GetJobRequestSchema, create(GetJobRequestSchema, { id }))).join()}]),
      }).then(async (answer) => [...new Uint8Array(await answer.arrayBuffer())])`),
  );
  expect(frames.map(({ flags }) => flags)).toEqual([0, 0x80]);
  expect(fromBinary(GetJobResponseSchema, frames[0]?.body ?? Buffer.alloc(0)).job).toMatchObject({ id, kind: 'build' });
  expect(frames[1]?.body.toString()).toMatch(/^grpc-status: ?0\r$/m);
});

/** A message of gRPC-Web: flags, length, body. */
function frameOf(body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function framesOf(bytes: readonly number[]): { readonly flags: number; readonly body: Buffer }[] {
  const frames = [];
  for (let rest = Buffer.from(bytes); rest.length > 0;) {
    const end = 5 + rest.readUInt32BE(1);
    frames.push({ flags: rest[0] ?? -1, body: rest.subarray(5, end) });
    rest = rest.subarray(end);
  }
  return frames;
}

test('the documentation loads without a complaint, asks no other host for anything, and sends calls', async () => {
  const app = await startTestApp();
  const page = await openOwnPage(app);
  // What a person does: look for an operation, and try it.
  const shown = await page.run<string>(`(async () => {
    const filter = document.getElementById('filter');
    filter.value = 'jobs';
    filter.dispatchEvent(new Event('input'));
    const form = document.querySelector('form[data-method="GET"][data-path="/v1/jobs"]');
    const output = form.querySelector('output');
    const answered = new Promise((resolve) =>
      new MutationObserver(() => output.textContent !== '...' && resolve(output.textContent)).observe(output, {
        childList: true, characterData: true, subtree: true,
      }));
    form.requestSubmit();
    return answered;
  })()`);
  expect(shown).toContain('200');

  expect(page.events.filter(isComplaint)).toEqual([]);
  const requested = page.events.flatMap(({ method, params }) =>
    method === 'Network.requestWillBeSent' ? [(params as { request: { url: string } }).request.url] : [],
  );
  const { origin } = new URL(app.url);
  expect(requested).toEqual(expect.arrayContaining([`${origin}/docs`, `${origin}/v1/jobs`]));
  expect(requested.filter((url) => !url.startsWith(`${origin}/`) && !url.startsWith('data:'))).toEqual([]);
});

function isComplaint({ method, params }: Page['events'][number]): boolean {
  if (method === 'Runtime.consoleAPICalled') return params['type'] === 'error' || params['type'] === 'warning';
  if (method === 'Log.entryAdded') return (params as { entry: { level: string } }).entry.level !== 'verbose';
  return method === 'Runtime.exceptionThrown' || method === 'Network.loadingFailed';
}

/** What a page gets that tries every way in: the status and text of what it may read, or why it may not. */
const tryAll = (url: string): string => `(async () => {
  const ws = '${url}'.replace(/^http/, 'ws') + '/api/events/stream';
  const settle = (target) => new Promise((resolve) => {
    target.onopen = () => resolve('open');
    target.onerror = () => resolve('refused');
  });
  const answer = fetch('${url}/v1/jobs').then(async (answer) => answer.status + ' ' + (await answer.json()).error, () => 'unreadable');
  const post = fetch('${url}/v1/jobs', { method: 'POST', mode: 'no-cors', body: '{"kind":"planted"}' })
    .then(({ status, type }) => type === 'opaque' ? type : status, () => 'refused');
  return {
    get: await answer,
    post: await post,
    eventSource: await settle(new EventSource('${url}/api/events/subscribe?after=0')),
    webSocket: await settle(new WebSocket(ws)),
  };
})()`;

/** The answers of the server by its own log, but for those to pages and their icons. */
function answersOf({ logged }: TestApp): string[] {
  const ends = logged.filter(({ event, path }) => event === 'request_end' && /^\/(?:v1|api)\//.test(String(path)));
  return ends.map(({ method, path, status }) => `${String(method)} ${String(path)} ${String(status)}`);
}

const allRefused = ['GET /v1/jobs 403', 'POST /v1/jobs 403', 'GET /api/events/subscribe 403'];

/** What the page was not told, but the console: why its WebSocket did not open. */
function webSocketErrors({ events }: Page): unknown[] {
  return events.flatMap(({ method, params }) =>
    method === 'Network.webSocketFrameError' ? [params['errorMessage']] : [],
  );
}

test('a page of a name that was bound to this machine is refused by the server (DNS rebinding)', async () => {
  const app = await startTestApp({ logLevel: 'info' });
  const page = await (await startBrowser()).openPage();
  const url = `http://${foreignHost}:${new URL(app.url).port}`;
  await page.goTo(`${url}/docs`);
  expect(await page.run('document.body.innerText')).toContain('"forbidden"');
  const refused = { get: '403 forbidden', post: 403, eventSource: 'refused', webSocket: 'refused' };
  expect(await page.run(tryAll(url))).toEqual(refused);
  await until('the server has refused all', () => allRefused.every((answer) => answersOf(app).includes(answer)));
  expect(webSocketErrors(page)).toEqual([expect.stringContaining('403')]);
  expect((await createJobsClient(app.url).list()).jobs).toEqual([]);
});

test.each([
  ['another host', async () => `http://${foreignHost}:${await startForeignServer()}/`],
  ['no origin at all', async () => 'data:text/html,<p>Hi'],
])('a page of %s reads nothing and changes nothing', async (_what, addressOf) => {
  const app = await startTestApp({ logLevel: 'info' });
  await submit(app, 1);
  const page = await (await startBrowser()).openPage();
  await page.goTo(await addressOf());
  // It is told nothing of the answers, not even that they are refusals.
  const refused = { get: 'unreadable', post: 'opaque', eventSource: 'refused', webSocket: 'refused' };
  expect(await page.run(tryAll(app.url))).toEqual(refused);
  await until('the server has refused all', () => allRefused.every((answer) => answersOf(app).includes(answer)));
  expect(webSocketErrors(page)).toEqual([expect.stringContaining('403')]);
  expect((await createJobsClient(app.url).list()).jobs.map(({ kind }) => kind)).toEqual(['build']);
});

test('a page of this machine may open a WebSocket, whatever its port', async () => {
  const app = await startTestApp();
  const page = await (await startBrowser()).openPage();
  await page.goTo(`http://127.0.0.1:${await startForeignServer()}/`);
  expect(await page.run<object>(tryAll(app.url))).toMatchObject({ webSocket: 'open' });
});
