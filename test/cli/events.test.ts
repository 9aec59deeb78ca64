import { describe, expect, test } from 'vitest';
import { type LogLine, startTestApp, type TestApp } from '../support/app.js';
import { useBuiltServer } from '../support/built-server.js';
import { listEvents, replayEvents, type RestEvent, wholeLedger } from '../support/events-client.js';
import { claimOne, createJobsClient } from '../support/jobs-client.js';
import { openRelay } from '../support/relay.js';
import { sharedTestApp } from '../support/shared-app.js';
import { startTestApps } from '../support/two-apps.js';
import { until } from '../support/until.js';
import { type Ended, type Running, startMuster } from './support/muster.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const inOneProcess = useOneProcess();
const app = sharedTestApp();
const rest = () => createJobsClient(app.current.url);

function tail(...args: readonly string[]): Promise<Ended> {
  return inOneProcess(['events', 'tail', ...args], { env: { MUSTER_URL: app.current.url } });
}

function fine({ code, stdout, stderr }: Ended): string {
  expect([code, stderr]).toEqual([0, '']);
  return stdout.trimEnd();
}

function parsed(text: string): RestEvent[] {
  return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as RestEvent);
}

async function head(url = app.current.url): Promise<number> {
  return (await listEvents(url, '?limit=1'))[0]?.seq ?? 0;
}

async function submitMany(count: number, kind: string): Promise<void> {
  for (let done = 0; done < count; done += 100) {
    await Promise.all(Array.from({ length: Math.min(100, count - done) }, () => rest().submit({ kind })));
  }
}

describe('what there is', () => {
  test('is readable: seq, time, type, subject, actor and what has changed', async () => {
    const { id } = await rest().submit({ kind: 'readable', priority: 0 });
    await rest().fail(await claimOne(rest(), { kinds: ['readable'] }), {
      error: { code: 'exit_1', message: 'two\nlines \u009b31mred' },
    });
    const [queued, started, failed, ...more] = fine(await tail('--job', id)).split('\n');
    const begin = (type: string): string =>
      `^ +\\d+  \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z  ${type} +${id} +human:local  `;
    expect(queued).toMatch(new RegExp(`${begin('JobQueued')}kind=readable status=queued priority=0 attempts=0 `));
    expect(started).toMatch(new RegExp(`${begin('JobStarted')}status=running attempts=1 worker_id=test$`));
    const error = '\\{"code":"exit_1","message":"two\\\\nlines \uFFFD31mred"\\}';
    expect(failed).toMatch(new RegExp(`${begin('JobFailed')}status=error error=${error}$`));
    expect(more).toEqual([]);
  });

  test('--json is what REST has, a line each', async () => {
    const { id } = await rest().submit({ kind: 'json', run_at: '2090-01-01T00:00:00Z' });
    await rest().cancel(id);
    const shown = parsed(fine(await tail('--json', '--job', id)));
    expect(shown).toEqual(await replayEvents(app.current.url, `?job_id=${id}`));
    expect(shown.map(({ type }) => type)).toEqual(['JobQueued', 'JobCanceled']);
    expect(fine(await tail('--json', '--job', 'job_0'))).toBe('');
  });

  test('is the newest events, oldest first, 20 unless told otherwise', async () => {
    await submitMany(25, 'newest');
    const last = await head();
    const seqs = async (...args: string[]) => parsed(fine(await tail('--json', ...args))).map(({ seq }) => seq);
    const upToLast = (count: number): number[] => Array.from({ length: count }, (_, n) => last - count + 1 + n);
    expect(await seqs()).toEqual(upToLast(20));
    expect(await seqs('--limit', '3')).toEqual(upToLast(3));
  });

  test('by type and source, types repeatable', async () => {
    const { id } = await rest().submit({ kind: 'filter' });
    await rest().complete(await claimOne(rest(), { kinds: ['filter'] }));
    const types = async (...args: string[]) =>
      parsed(fine(await tail('--json', '--job', id, ...args))).map(({ type }) => type);
    expect(await types('--type', 'JobDone')).toEqual(['JobDone']);
    expect(await types('--type', 'JobDone', '--type', 'JobQueued')).toEqual(['JobQueued', 'JobDone']);
    expect(await types('--source', 'Rest', '--after', '0')).toEqual(['JobQueued', 'JobStarted', 'JobDone']);
    expect(await types('--source', 'System')).toEqual([]);
    expect(await types('--type', 'JobFailed', '--after', '0')).toEqual([]);
  });

  test('--after shows everything after a seq, over several pages', async () => {
    const after = await head();
    await submitMany(2001, 'pages');
    const expected = (await wholeLedger(app.current.url)).filter(({ seq }) => seq > after);
    expect(expected.length).toBeGreaterThan(2000);
    const shown = parsed(fine(await tail('--json', '--after', String(after))));
    expect(shown.length).toBe(expected.length);
    expect(shown).toEqual(expected);
    // A last page that is full is followed by one that is empty.
    expect(parsed(fine(await tail('--json', '--after', String((await head()) - 1000))))).toHaveLength(1000);
    expect(fine(await tail('--json', '--after', String(await head())))).toBe('');
  });

  test('nothing is said so', async () => {
    expect(fine(await tail('--job', 'job_0'))).toBe('There are no such events.');
    expect(fine(await tail('--after', String(await head())))).toBe('There are no such events.');
  });
});

/** `muster events tail --json --follow`. */
interface Following extends Running {
  /** Resolves when the event has been printed. */
  printed(type: string, jobId: string): Promise<unknown>;
  /** What it printed by the time Ctrl+C ended it. */
  stop(): Promise<RestEvent[]>;
}

function startFollowing(url: string, ...args: readonly string[]): Following {
  const running = startMuster(['events', 'tail', '--json', '--follow', '--url', url, ...args]);
  return {
    ...running,
    printed: (type, jobId) =>
      running.line(`${type} of ${jobId}`, (line) => line.includes(`"${type}"`) && line.includes(`"${jobId}"`)),
    async stop() {
      running.kill('SIGINT');
      const { code, stdout } = await running.ended;
      // As `muster jobs watch` has it: a shell makes it 130.
      expect(code).toBe('SIGINT');
      return parsed(stdout.trimEnd());
    },
  };
}

/** Resolves when so many have asked to follow; where each begins is settled by then. */
async function subscribers({ logged }: TestApp, count: number): Promise<void> {
  const asked = ({ event, path }: LogLine): boolean =>
    event === 'request_start' && String(path).endsWith('/SubscribeEvents');
  await until(`${count} follow`, () => logged.filter(asked).length >= count);
}

/** Drops the events up to one, as retention does. */
async function expireUpTo({ database }: Pick<TestApp, 'database'>, seq: number): Promise<void> {
  await database.query('DELETE FROM events WHERE seq <= $1', [seq]);
  await database.query('UPDATE events_head SET oldest = $1', [seq + 1]);
}

describe('--follow', () => {
  test('goes on after the newest ones with what comes', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const ids = [];
    for (let n = 0; n < 4; n += 1) ids.push((await jobs.submit({ kind: 'a' })).id);
    const following = startFollowing(url, '--limit', '2');
    await following.printed('JobQueued', ids[3] ?? '');
    const { id } = await jobs.submit({ kind: 'b' });
    await following.printed('JobQueued', id);
    await jobs.cancel(id);
    await following.printed('JobCanceled', id);
    expect(await following.stop()).toEqual((await wholeLedger(url)).slice(2));
    expect(following.stderr()).toBe('');
  });

  test('goes on after --after with all that fits', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const { id } = await jobs.submit({ kind: 'a' });
    const other = await jobs.submit({ kind: 'a' });
    const following = startFollowing(url, '--after', '0', '--job', id);
    await following.printed('JobQueued', id);
    await jobs.cancel(other.id);
    await jobs.cancel(id);
    await following.printed('JobCanceled', id);
    expect((await following.stop()).map(({ seq }) => seq)).toEqual([1, 4]);
  });

  test('is readable, too', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const { id } = await jobs.submit({ kind: 'a' });
    const following = startMuster(['events', 'tail', '--follow', '--url', url]);
    await following.line('the first', (line) => line.includes(`JobQueued       ${id}  human:local`));
    await jobs.cancel(id);
    await following.line('the second', (line) => line.includes(`JobCanceled     ${id}  human:local  status=canceled`));
  });

  test('misses nothing when there is nothing yet, or nothing that fits, or nothing that is wanted', async () => {
    const server = await startTestApp({ logLevel: 'info' });
    const jobs = createJobsClient(server.url);
    const empty = startFollowing(server.url);
    await subscribers(server, 1);
    const { id } = await jobs.submit({ kind: 'a' });
    await empty.printed('JobQueued', id);
    const some = startFollowing(server.url, '--type', 'JobCanceled');
    const none = startFollowing(server.url, '--limit', '0');
    await subscribers(server, 3);
    await jobs.cancel(id);
    for (const each of [empty, some, none]) await each.printed('JobCanceled', id);
    expect((await empty.stop()).map(({ seq }) => seq)).toEqual([1, 2]);
    expect((await some.stop()).map(({ seq }) => seq)).toEqual([2]);
    expect((await none.stop()).map(({ seq }) => seq)).toEqual([2]);
  });

  test('begins at the end of a ledger whose events have all expired', async () => {
    const server = await startTestApp({ logLevel: 'info' });
    const jobs = createJobsClient(server.url);
    const { id } = await jobs.submit({ kind: 'a' });
    await expireUpTo(server, await head(server.url));
    const following = startFollowing(server.url);
    await subscribers(server, 1);
    await jobs.cancel(id);
    await following.printed('JobCanceled', id);
    expect((await following.stop()).map(({ seq }) => seq)).toEqual([2]);
  });

  test('goes on when the server comes back, without a gap or a repetition', async () => {
    const { apps, database } = await startTestApps({ logLevel: 'info' }, {});
    const [first, other] = apps;
    const jobs = createJobsClient(other.url);
    const { id } = await jobs.submit({ kind: 'restart' });
    const following = startFollowing(first.url);
    await following.printed('JobQueued', id);
    await subscribers(first, 1);
    await first.stop();
    // While nobody is there to tell of it.
    await jobs.cancel(id);
    const flags = { port: new URL(first.url).port };
    const second = await startTestApp({ database, flags });
    await following.printed('JobCanceled', id);
    const later = await createJobsClient(second.url).submit({ kind: 'restart' });
    await following.printed('JobQueued', later.id);
    expect(await following.stop()).toEqual(await wholeLedger(second.url));
    expect(following.stderr()).toMatch(/^muster: lost http:.* \(.+\); trying again in /);
    expect(following.stderr()).toContain(`muster: back at ${first.url}, going on after event 1\n`);
  });

  test('goes on when its connection is cut, over and over, under load', async () => {
    const { url } = await startTestApp();
    const jobs = createJobsClient(url);
    const relay = await openRelay(url);
    const first = await jobs.submit({ kind: 'a' });
    const following = startFollowing(relay.url, '--after', '0');
    // Who loses the very first connection gives up.
    await following.printed('JobQueued', first.id);
    for (let round = 1; round <= 5; round += 1) {
      const submitted = await Promise.all(
        Array.from({ length: 100 }, async (_, n) => {
          const job = await jobs.submit({ kind: 'a' });
          if (n === 50) relay.cut();
          return job;
        }),
      );
      await following.printed('JobQueued', submitted.at(-1)?.id ?? '');
    }
    await until('all are printed', () => following.lines.length >= 501);
    expect(await following.stop()).toEqual(await wholeLedger(url));
    expect(following.stderr()).toMatch(/^muster: back at /m);
  });

  test('ends when events that it has not seen have expired', async () => {
    const { apps, database } = await startTestApps({}, {});
    const [first, other] = apps;
    const jobs = createJobsClient(other.url);
    const { id } = await jobs.submit({ kind: 'a' });
    const following = startFollowing(first.url);
    await following.printed('JobQueued', id);
    await first.stop();
    await jobs.cancel(id);
    await expireUpTo({ database }, await head(other.url));
    await startTestApp({ database, flags: { port: new URL(first.url).port } });
    const { code, stderr } = await following.ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /\nmuster: invalid_request: after: events up to 2 have expired; the oldest that is kept is 3\n$/,
    );
  });
});

describe('refusals', () => {
  test.each([[[]], [['--follow']], [['--after', '0']], [['--after', '0', '--follow']]])(
    'a type that there is not, with %j',
    async (args) => {
      expect(await tail('--type', 'JobDone', '--type', 'Nonsense', ...args)).toEqual({
        code: 1,
        stdout: '',
        stderr: "muster: invalid_request: type[1]: there are no events of type 'Nonsense'\n",
      });
    },
  );

  test.each([[[]], [['--follow']]])('events that have expired, with %j', async (args) => {
    const server = await startTestApp();
    for (let n = 0; n < 3; n += 1) await createJobsClient(server.url).submit({ kind: 'a' });
    await head(server.url);
    await expireUpTo(server, 2);
    expect(await tail('--url', server.url, '--after', '1', ...args)).toEqual({
      code: 1,
      stdout: '',
      stderr: 'muster: invalid_request: after: events up to 2 have expired; the oldest that is kept is 3\n',
    });
  });

  test('to follow what has not come to pass', async () => {
    const { code, stderr } = await tail('--follow', '--after', '1000000');
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/^muster: invalid_request: after: the newest event is \d+\n$/),
    ]);
  });
});

test.each([[[]], [['--follow']], [['--after', '0']], [['--after', '0', '--follow']]])(
  'without a server it ends with 3, with %j',
  async (args) => {
    const { url, stop } = await startTestApp();
    await stop();
    expect(await tail('--url', url, ...args)).toEqual({
      code: 3,
      stdout: '',
      stderr: expect.stringMatching(/^muster: cannot reach a server at http:.*: connection refused\. Start one with: /),
    });
  },
);

test('what the command line does has source Cli', async () => {
  const env = { MUSTER_URL: app.current.url };
  const id = fine(await inOneProcess(['jobs', 'submit', 'cli'], { env }));
  const working = startMuster(['work', '--kind', 'cli', '--exec', 'true'], { env });
  await until('the job is done', async () => (await rest().get(id)).status === 'done');
  working.kill('SIGINT');
  await working.ended;
  const events = parsed(fine(await tail('--json', '--source', 'Cli', '--job', id)));
  expect(events.map(({ type, source }) => [type, source])).toEqual([
    ['JobQueued', 'Cli'],
    ['JobStarted', 'Cli'],
    ['JobDone', 'Cli'],
  ]);
});
