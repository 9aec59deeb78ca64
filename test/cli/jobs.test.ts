import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { claimOne, createJobsClient, type RestJob } from '../support/jobs-client.js';
import { sharedTestApp } from '../support/shared-app.js';
import { startTestApp } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { until } from '../support/until.js';
import { type Ended, type RunOptions, runMuster, startMuster } from './support/muster.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const inOneProcess = useOneProcess();
const app = sharedTestApp();
const rest = () => createJobsClient(app.current.url);

function jobs(args: readonly string[], { stdin, ...options }: RunOptions = {}): Promise<Ended> {
  const env = { MUSTER_URL: app.current.url, ...options.env };
  return stdin === undefined
    ? inOneProcess(['jobs', ...args], { ...options, env })
    : runMuster(['jobs', ...args], { ...options, env, stdin });
}

function fine({ code, stdout, stderr }: Ended): string {
  expect([code, stderr]).toEqual([0, '']);
  return stdout.trimEnd();
}

describe('submit', () => {
  test('prints the id of a job with its defaults', async () => {
    const id = fine(await jobs(['submit', 'build']));
    const job = await rest().get(id);
    expect(job).toMatchObject({ kind: 'build', status: 'queued', payload: null, priority: 2, max_attempts: 3 });
    expect(job.timeout_sec).toBe(null);
  });

  test('passes on everything that can be said of a job', async () => {
    const flags = '--priority urgent --run-at 2090-01-31T12:00:00+01:00 --max-attempts 7 --timeout-sec 90';
    const args = ['submit', 'all', ...flags.split(' '), '--idempotency-key', 'k 1', '--payload'];
    const id = fine(await jobs([...args, '{"a":[1,null]}']));
    expect(await rest().get(id)).toMatchObject({
      payload: { a: [1, null] },
      priority: 0,
      run_at: '2090-01-31T11:00:00.000Z',
      max_attempts: 7,
      timeout_sec: 90,
    });
    expect(fine(await jobs([...args, '{ "a": [1, null] }']))).toBe(id);
    const other = await jobs([...args, '2']);
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^muster: conflict: idempotency_key: .*\n$/),
    });
  });

  test.each([
    ['1', 1],
    ['low', 3],
  ])('--priority %s', async (text, priority) => {
    const id = fine(await jobs(['submit', 'p', '--priority', text]));
    expect((await rest().get(id)).priority).toBe(priority);
  });

  test('--run-at +DURATION counts from now', async () => {
    const before = Date.now();
    const id = fine(await jobs(['submit', 'later', '--run-at', '+2h']));
    const at = Date.parse((await rest().get(id)).run_at) - 2 * 3_600_000;
    expect(at).toBeGreaterThanOrEqual(before);
    expect(at).toBeLessThanOrEqual(Date.now());
  });

  test('reads the payload from stdin', async () => {
    const stdin = '{ "long": "' + 'ä'.repeat(100_000) + '" }';
    const id = fine(await jobs(['submit', 'stdin', '--payload-file', '-'], { stdin }));
    expect((await rest().get(id)).payload).toEqual(JSON.parse(stdin));
  });

  test('--json prints what REST answers', async () => {
    const answer = JSON.parse(fine(await jobs(['submit', 'build', '--json']))) as { id: string };
    expect(answer).toEqual({ id: answer.id, status: 'queued', kind: 'build' });
  });

  test('--wait prints the id, each state and how it ended', async () => {
    const waiting = startMuster(['jobs', 'submit', 'waited', '--wait', '--url', app.current.url]);
    const id = await waiting.line('the id', (line) => line.startsWith('job_') && line);
    const lease = await claimOne(rest(), { kinds: ['waited'] });
    await waiting.line('it runs', (line) => /running +attempt 1 of 3$/.test(line));
    await rest().complete(lease, { ok: true });
    const { code, stdout, stderr } = await waiting.ended;
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(new RegExp(`\\nid +${id}\\n(.*\\n)+status +done\\n(.*\\n)+result +{"ok":true}\\n$`));
  });
});

describe('get', () => {
  const values = [
    { name: 'fresh', more: {}, end: async () => undefined },
    {
      name: 'done',
      more: { payload: [1, { __proto__: 'x' }], priority: 0, timeout_sec: 5 },
      end: async (id: string, kind: string) => {
        const lease = await claimOne(rest(), { kinds: [kind] });
        await rest().heartbeat(lease, { progress: { step: 1 } });
        await rest().complete(lease, { deep: [[null], 'ü'] });
        return id;
      },
    },
    {
      name: 'failed',
      more: { max_attempts: 1 },
      end: async (_id: string, kind: string) =>
        rest().fail(await claimOne(rest(), { kinds: [kind] }), { error: { code: 'E_1', message: 'Red:\u001b[31m' } }),
    },
  ];
  test.each(values)('--json of a $name job is what REST has, to the letter', async ({ name, more, end }) => {
    const kind = `get-${name}`;
    const { id } = await rest().submit({ kind, ...more });
    await end(id, kind);
    const shown = fine(await jobs(['get', id, '--json']));
    const response = await fetch(`${app.current.url}/v1/jobs/${id}`);
    expect(shown).toBe(await response.text());
  });

  test('is readable', async () => {
    const { id } = await rest().submit({
      kind: 'readable',
      payload: { file: '\u009b\u202eexe.txt' },
      timeout_sec: 5,
      priority: 1,
    });
    await rest().fail(await claimOne(rest(), { kinds: ['readable'] }), {
      error: { code: 'exit_1', message: 'first\nsecond \u001b[31mred' },
    });
    const text = fine(await jobs(['get', id]));
    const time = '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z';
    const lines = [
      `id           ${id}`,
      'kind         readable',
      'status       error',
      'priority     1 \\(high\\)',
      'attempts     1 of 3',
      `created_at   ${time}`,
      'timeout      5 s',
      `started_at   ${time}`,
      `finished_at  ${time} \\(\\d.\\d+ s\\)`,
      'payload      {"file":"\uFFFD\uFFFDexe.txt"}',
      'error        exit_1 first',
      '             second \uFFFD\\[31mred',
    ];
    expect(text).toMatch(new RegExp(`^${lines.join('\n')}$`));
  });

  test('an unknown id is said so', async () => {
    expect(await jobs(['get', 'job_0'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'muster: not_found: There is no job job_0.\n',
    });
  });
});

describe('list', () => {
  async function three(kind: string): Promise<RestJob[]> {
    const ids = [];
    for (let n = 0; n < 3; n += 1) ids.push((await rest().submit({ kind, payload: n })).id);
    await rest().cancel(ids[0] ?? '');
    return Promise.all(ids.toReversed().map((id) => rest().get(id)));
  }

  test('is an aligned table, newest first', async () => {
    const all = await three('table');
    const [head, ...rows] = fine(await jobs(['list', '--kind', 'table'])).split('\n');
    expect(head).toMatch(/^ID +KIND +STATUS +PRIORITY +ATTEMPTS +CREATED +NOTE$/);
    expect(rows.map((row) => row.split(/ +/).slice(0, 5))).toEqual(
      all.map(({ id, kind, status }) => [id, kind, status, 'normal', '0/3']),
    );
    for (const row of rows) expect(row.indexOf('table')).toBe(head?.indexOf('KIND'));
  });

  test('--json is what REST has', async () => {
    const all = await three('json');
    const text = fine(await jobs(['list', '--kind', 'json', '--json']));
    expect(JSON.parse(text)).toEqual(all);
    expect(fine(await jobs(['list', '--kind', 'nothing', '--json']))).toBe('[]');
  });

  test('by status and kind, several of each', async () => {
    const [newest, , oldest] = await three('some');
    const { id } = await rest().submit({ kind: 'other' });
    const list = async (...args: string[]) =>
      (JSON.parse(fine(await jobs(['list', '--json', ...args]))) as RestJob[]).map((job) => job.id);
    expect(await list('--kind', 'some', '--status', 'canceled')).toEqual([oldest?.id]);
    expect(await list('--kind', 'some', '--kind', 'other', '--limit', '2')).toEqual([id, newest?.id]);
    expect(await list('--kind', 'some', '--status', 'canceled', '--status', 'queued')).toHaveLength(3);
  });

  test('says when there is more, and --all lists all pages', async () => {
    for (let done = 0; done < 1201; done += 100) {
      await Promise.all(Array.from({ length: Math.min(100, 1201 - done) }, () => rest().submit({ kind: 'many' })));
    }
    const some = await jobs(['list', '--kind', 'many']);
    expect(some.stdout.trimEnd().split('\n')).toHaveLength(51);
    expect(some.stderr).toBe('There are more; --all lists them.\n');
    expect(fine(await jobs(['list', '--kind', 'many', '--all'])).split('\n')).toHaveLength(1202);
    const all = JSON.parse(fine(await jobs(['list', '--kind', 'many', '--all', '--json']))) as RestJob[];
    expect(new Set(all.map(({ id }) => id)).size).toBe(1201);
    const limited = JSON.parse(fine(await jobs(['list', '--kind', 'many', '--limit', '700', '--json']))) as RestJob[];
    expect(limited).toHaveLength(700);
  });

  test('says when there is nothing', async () => {
    expect(fine(await jobs(['list', '--kind', 'nothing']))).toBe('There are no such jobs.');
  });

  test('a reader that leaves early is no failure', async () => {
    const { id } = await rest().submit({ kind: 'pipe' });
    const listing = startMuster(['jobs', 'watch', id, '--json', '--url', app.current.url]);
    await listing.line('the first state', (line) => line.includes('queued'));
    listing.closeStdout();
    await rest().cancel(id);
    expect(await listing.ended).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('cancel', () => {
  test('of a queued job, again, and of one that has ended', async () => {
    const { id } = await rest().submit({ kind: 'cancel' });
    expect(fine(await jobs(['cancel', id]))).toBe(`${id} is canceled`);
    expect(JSON.parse(fine(await jobs(['cancel', id, '--json'])))).toEqual({ id, status: 'canceled' });
    const done = await rest().submit({ kind: 'ended' });
    await rest().complete(await claimOne(rest(), { kinds: ['ended'] }));
    expect(await jobs(['cancel', done.id])).toEqual({
      code: 1,
      stdout: '',
      stderr: `muster: invalid_state: ${done.id} is done and cannot become canceled.\n`,
    });
  });
});

describe('watch', () => {
  const ends = [
    {
      status: 'done',
      code: 0,
      end: async (kind: string) => rest().complete(await claimOne(rest(), { kinds: [kind] }), 1),
    },
    { status: 'error', code: 1, end: async (kind: string) => rest().fail(await claimOne(rest(), { kinds: [kind] })) },
    { status: 'canceled', code: 2, end: async (_kind: string, id: string) => rest().cancel(id) },
  ];
  test.each(ends)('a job that ends as $status ends it with $code', async ({ status, code, end }) => {
    const kind = `watch-${status}`;
    const { id } = await rest().submit({ kind });
    const watching = startMuster(['jobs', 'watch', id, '--url', app.current.url]);
    await watching.line('it is queued', (line) => /^\d\d:\d\d:\d\d  queued$/.test(line));
    await end(kind, id);
    const ended = await watching.ended;
    expect([ended.code, ended.stderr]).toEqual([code, '']);
    expect(ended.stdout).toMatch(new RegExp(`^\\d\\d:\\d\\d:\\d\\d  ${status}`, 'm'));
    expect(ended.stdout).toMatch(new RegExp(`^status +${status}$`, 'm'));
  });

  test('--json prints a line for each state, as REST has it', async () => {
    const { id } = await rest().submit({ kind: 'watch-json' });
    const watching = startMuster(['jobs', 'watch', id, '--json', '--url', app.current.url]);
    const states = [await watching.line('the first', (line) => line)];
    const lease = await claimOne(rest(), { kinds: ['watch-json'] });
    states.push(await watching.line('it runs', (line) => line.includes('"running"') && line));
    await rest().complete(lease, [1]);
    const { code } = await watching.ended;
    expect(code).toBe(0);
    expect(watching.lines).toEqual([...states, JSON.stringify(await rest().get(id))]);
  });

  test('goes on when the server comes back', async () => {
    const database = await createTestDatabase();
    const first = await startTestApp({ database });
    const { id } = await createJobsClient(first.url).submit({ kind: 'restart' });
    const watching = startMuster(['jobs', 'watch', id, '--json', '--url', first.url]);
    await watching.line('the first state', (line) => line.includes('queued'));
    await first.stop();
    const flags = { port: new URL(first.url).port };
    const second = await startTestApp({ database, flags, logLevel: 'info' });
    await until('it watches again', () => second.logged.some(({ path }) => String(path).endsWith('/WatchJob')));
    await createJobsClient(second.url).cancel(id);
    const { code, stdout, stderr } = await watching.ended;
    expect(code).toBe(2);
    expect(stderr).toMatch(/^muster: lost http:.* \(.+\); trying again in /);
    // What was told before the server went is not told again.
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as RestJob).status),
    ).toEqual(['queued', 'canceled']);
  });
});

describe('a server that is not to be had', () => {
  const commands = [['list'], ['get', 'job_0'], ['submit', 'a'], ['cancel', 'job_0'], ['watch', 'job_0']];
  test.each(commands)('%s: exit code 3, its URL and how to start one', async (...args) => {
    const url = await urlOfNobody();
    const { port } = new URL(url);
    expect(await jobs([...args, '--url', url])).toEqual({
      code: 3,
      stdout: '',
      stderr: `muster: cannot reach a server at ${url}: connection refused. Start one with: muster serve --port ${port}\n`,
    });
  });

  test('of another make', async () => {
    const url = await urlOf(createServer((_request, response) => response.end()));
    const { code, stderr } = await jobs(['list', '--url', url]);
    expect([code, stderr]).toEqual([
      3,
      expect.stringContaining(`cannot reach a server at ${url}: what answers there is`),
    ]);
  });

  test('that refuses the token', async () => {
    const { code, stderr } = await jobs(['list'], { env: { MUSTER_TOKEN: 'wrong' } });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^muster: unauthorized: .+\n$/)]);
  });
});

async function urlOf(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function urlOfNobody(): Promise<string> {
  const server = createServer();
  const url = await urlOf(server);
  await new Promise((resolve) => server.close(resolve));
  return url;
}
