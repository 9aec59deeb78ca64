import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { bearer, makeToken } from '../access/support/tokens.js';
import { startTestApp } from '../support/app.js';
import { makeTempDir, useBuiltServer } from '../support/built-server.js';
import { createJobsClient, type JobInput, type RestJob } from '../support/jobs-client.js';
import { rest as restCall } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { until } from '../support/until.js';
import { runMuster, startMuster } from './support/muster.js';
import { startWork } from './support/work.js';

useBuiltServer();
const app = sharedTestApp();
const rest = () => createJobsClient(app.current.url);

let kinds = 0;
function newKind(): string {
  kinds += 1;
  return `work-${kinds}`;
}

/** Runs one job by a program, and answers it as it is after its first attempt. */
async function runOne(exec: string, job: Partial<JobInput> = {}, ...flags: readonly string[]) {
  const kind = newKind();
  const { id } = await rest().submit({ kind, ...job });
  const work = startWork(app.current.url, kind, exec, ...flags);
  await work.event('job_ended', id);
  return { id, job: await rest().get(id), work };
}

describe('the payload on stdin and the result from stdout', () => {
  const payloads: readonly unknown[] = [null, { a: ['ä', { b: null }] }, 'two\nlines', [], 1.5];
  test.each(payloads.map((payload) => ({ payload })))('$payload', async ({ payload }) => {
    const { job } = await runOne('cat', { payload });
    expect([job.status, job.result, job.error]).toEqual(['done', payload, null]);
  });

  test('a payload is one line', async () => {
    const { job } = await runOne('read -r line && [ "$line" = \'{"a":"\\u0000"}\' ] && wc -l', {
      payload: { a: '\u0000' },
    });
    expect([job.status, job.result]).toEqual(['done', 0]);
  });

  test('large ones', async () => {
    const payload = 'x'.repeat(1024 * 1024 - 2);
    const { job } = await runOne('cat', { payload });
    expect(job.result).toBe(payload);
  });

  test('a program that reads nothing and says nothing is done with null', async () => {
    const { job } = await runOne('true', { payload: 'x'.repeat(500_000) });
    expect([job.status, job.result]).toEqual(['done', null]);
  });

  test('a result with space between is fine', async () => {
    const { job } = await runOne(`printf '\\n { "a" :\\n 1 }\\n\\n'`);
    expect(job.result).toEqual({ a: 1 });
  });

  test.each([
    { name: 'words', exec: 'echo all is well', message: 'stdout: is no JSON: all is well' },
    { name: 'two values', exec: 'echo 1; echo 2', message: 'stdout: is no JSON: 1\n2' },
    { name: 'too much', exec: 'head -c 9000000 /dev/zero', message: 'stdout: 9000000 bytes are too many for a result' },
    {
      name: 'a number out of range',
      exec: `echo '{"a":[-1e999]}'`,
      message: 'stdout: must be JSON with numbers up to 1.79e308',
    },
    {
      name: 'two million digits',
      exec: `head -c 2000000 /dev/zero | tr '\\0' 7`,
      message: 'stdout: must be JSON with numbers up to 1.79e308',
    },
    {
      name: 'half a surrogate pair',
      exec: `printf '"\\\\udcff"'`,
      message: 'stdout: must be JSON without halves of surrogate pairs',
    },
    { name: 'what is not UTF-8', exec: `printf '"\\377"'`, message: 'stdout: is not UTF-8' },
  ])('$name on stdout are no result, for good', async ({ exec, message }) => {
    const { job } = await runOne(exec);
    expect(job).toMatchObject({ status: 'error', attempts: 1, error: { code: 'invalid_result', message } });
  });
});

describe('the exit code as verdict', () => {
  const verdicts = [
    { exec: 'echo why >&2; exit 3', status: 'queued', error: { code: 'exit_3', message: 'why' } },
    {
      exec: 'echo ignored; exit 1',
      status: 'queued',
      error: { code: 'exit_1', message: 'The program ended with exit code 1.' },
    },
    { exec: 'echo broken input >&2; exit 65', status: 'error', error: { code: 'exit_65', message: 'broken input' } },
    {
      exec: 'no-such-program',
      status: 'queued',
      error: { code: 'exit_127', message: expect.stringContaining('no-such-program') },
    },
    {
      exec: 'kill -KILL $$',
      status: 'queued',
      error: { code: 'signal_SIGKILL', message: 'The program was ended by SIGKILL.' },
    },
    { exec: 'echo out >&2; kill -SEGV $$', status: 'queued', error: { code: 'signal_SIGSEGV', message: 'out' } },
  ];
  test.each(verdicts)('$exec', async ({ exec, status, error }) => {
    const { job, work, id } = await runOne(exec);
    expect(job).toMatchObject({ status, error, attempts: 1 });
    expect(await work.event('job_ended', id)).toMatchObject({
      status,
      error: { code: error.code, retryable: status === 'queued' },
    });
  });

  test('what fails is tried again, and knows which attempt it is', async () => {
    const { id, job, work } = await runOne('[ "$MUSTER_JOB_ATTEMPT" = 2 ] && echo \'"at last"\'');
    expect(job.status).toBe('queued');
    await work.event('job_ended', id);
    const line = await work.line('it is done', (text) => text.includes('"done"') && text);
    expect(JSON.parse(line)).toMatchObject({ event: 'job_ended', job_id: id, attempt: 2, status: 'done', error: null });
    expect(await rest().get(id)).toMatchObject({ status: 'done', result: 'at last', attempts: 2, error: null });
  });
});

describe('a program', () => {
  test('knows its job by its environment, and has the rest from the worker', async () => {
    const kind = newKind();
    const { id } = await rest().submit({ kind });
    const exec = 'printf \'["%s","%s","%s","%s"]\' "$MUSTER_JOB_ID" "$MUSTER_JOB_KIND" "$MUSTER_JOB_ATTEMPT" "$MINE"';
    const work = startMuster(['work', '--json', '--kind', kind, '--exec', exec], {
      env: { MUSTER_URL: app.current.url, MINE: 'own' },
    });
    await work.line('the end', (line) => line.includes('job_ended'));
    expect((await rest().get(id)).result).toEqual([id, kind, '1', 'own']);
  });

  test('is not told the token of its worker', async () => {
    const own = await startTestApp();
    const human = await makeToken(own, { role: 'human' });
    const worker = await makeToken(own, { role: 'worker' }, human);
    const submitted = await restCall(own.url, 'POST', '/v1/jobs', { kind: 'secret' }, bearer(human));
    const { id } = submitted.json as { id: string };
    const work = startMuster(
      ['work', '--json', '--kind', 'secret', '--exec', 'printf \'"%s"\' "${MUSTER_TOKEN-none}"'],
      {
        env: { MUSTER_URL: own.url, MUSTER_TOKEN: worker.secret },
      },
    );
    await work.line('the end', (line) => line.includes('job_ended'));
    const job = await restCall(own.url, 'GET', `/v1/jobs/${id}`, undefined, bearer(human));
    expect(job.json).toMatchObject({ status: 'done', result: 'none' });
  });

  test('has its stderr passed through by the line, each behind the id of its job', async () => {
    const { id, work } = await runOne('printf "one\\ntwo" >&2; printf "%s\\n" " ä" >&2; printf "no end" >&2');
    await work.event('job_ended', id);
    expect(work.stderr()).toBe(`[${id}] one\n[${id}] two ä\n[${id}] no end\n`);
  });

  test('that says a lot on stderr has its beginning and its end kept', async () => {
    const { job } = await runOne('echo first >&2; seq 100000 >&2; echo last >&2; exit 1');
    expect(job.error?.message).toMatch(/^first\n1\n2\n[^]*… \d+ bytes left out …[^]*\n100000\nlast$/);
    expect(job.error?.message.length).toBeLessThan(16 * 1024);
  });

  test('runs where the worker was started', async () => {
    const dir = await makeTempDir();
    const kind = newKind();
    const { id } = await rest().submit({ kind });
    const work = startWork(app.current.url, kind, `cd '${dir}' && pwd > where && echo '"ok"'`);
    await work.event('job_ended', id);
    expect(readFileSync(path.join(dir, 'where'), 'utf8').trim()).toBe(dir);
  });
});

describe('a worker', () => {
  test('runs several jobs at a time, of several kinds', async () => {
    const dir = await makeTempDir();
    const kind = newKind();
    // Each waits for the other: they end only if both run.
    const meet = `touch "${dir}/$MUSTER_JOB_KIND"; until [ -e "${dir}/${kind}" ] && [ -e "${dir}/${kind}-b" ]; do :; done`;
    const work = startWork(app.current.url, kind, meet, '--kind', `${kind}-b`, '--concurrency', '2');
    const one = await rest().submit({ kind });
    const two = await rest().submit({ kind: `${kind}-b` });
    await Promise.all([work.event('job_ended', one.id), work.event('job_ended', two.id)]);
    expect((await rest().get(two.id)).status).toBe('done');
  });

  test('tells what happens in words', async () => {
    const kind = newKind();
    const ids: string[] = [];
    for (const [exit, more] of [
      [0, {}],
      [1, {}],
      [65, {}],
    ] as const) {
      ids.push((await rest().submit({ kind, payload: exit, ...more })).id);
    }
    const work = startMuster(['work', '--url', app.current.url, '--kind', kind, '--exec', 'read n; exit $n']);
    await work.line('the last end', (line) => line.includes('for good'));
    const took = '\\d+\\.\\d+ s';
    const lines = [
      `connected to ${app.current.url}`,
      `${ids[0]} ${kind} started \\(attempt 1 of 3\\)`,
      `${ids[0]} ${kind} done after ${took}`,
      `${ids[1]} ${kind} started \\(attempt 1 of 3\\)`,
      `${ids[1]} ${kind} failed after ${took}, will be tried again: exit_1`,
      `${ids[2]} ${kind} started \\(attempt 1 of 3\\)`,
      `${ids[2]} ${kind} failed after ${took}, for good: exit_65`,
    ];
    expect(work.stdout()).toMatch(new RegExp(`^${lines.map((line) => `\\d\\d:\\d\\d:\\d\\d ${line}\n`).join('')}`));
  });

  test('that the server refuses ends with what it says', async () => {
    const { code, stderr, stdout } = await runMuster([
      'work',
      '--url',
      app.current.url,
      '--kind',
      'a b',
      '--exec',
      'true',
    ]);
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: '',
      stderr: 'muster: invalid_request: kinds[0]: must be 1 to 128 letters, digits or _ . : / -\n',
    });
    const wrong = await runMuster(['work', '--url', app.current.url, '--kind', 'a', '--exec', 'true'], {
      env: { MUSTER_TOKEN: 'wrong' },
    });
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringMatching(/^muster: unauthorized: /) });
  });

  test('that cannot reach a server says so and tries again, until it is told to stop', async () => {
    const work = startWork('http://127.0.0.1:9', 'a', 'true');
    await work.event('disconnected');
    const again = work.events().length;
    await work.line('the next try', () => work.events().length > again);
    expect(work.events()[0]).toMatchObject({
      event: 'disconnected',
      error: 'unavailable',
      message: 'connection refused',
    });
    work.kill('SIGTERM');
    expect((await work.ended).code).toBe(0);
  });

  test('says once, in words, how to start a server', async () => {
    const work = startMuster(['work', '--url', 'http://127.0.0.1:9', '--kind', 'a', '--exec', 'true']);
    await work.line('the second try', () => work.lines.length > 1);
    const tried =
      /^\d\d:\d\d:\d\d cannot reach http:\/\/127\.0\.0\.1:9 \(connection refused\); trying again in 0\.\d+ s/;
    expect(work.lines[0]).toMatch(tried);
    expect(work.lines[0]?.replace(tried, '')).toBe('. Start one with: muster serve --port 9');
    expect(work.lines[1]?.replace(tried, '')).toBe('');
  });

  test('goes on when nobody reads what it says', async () => {
    const kind = newKind();
    const work = startWork(app.current.url, kind, 'cat');
    await work.event('connected');
    work.closeStdout();
    const { id } = await rest().submit({ kind, payload: 'unheard' });
    await until('the job is done', async () => (await rest().get(id)).result === 'unheard');
    work.kill('SIGTERM');
    expect((await work.ended).code).toBe(0);
  });

  test('prefetches when it may', async () => {
    const kind = newKind();
    const jobs = await Promise.all(Array.from({ length: 12 }, (_, n) => rest().submit({ kind, payload: n })));
    const work = startWork(app.current.url, kind, 'cat', '--prefetch', '10', '--concurrency', '2');
    await Promise.all(jobs.map(({ id }) => work.event('job_ended', id)));
    const done: RestJob[] = await Promise.all(jobs.map(({ id }) => rest().get(id)));
    expect(done.map(({ result, attempts }) => [result, attempts])).toEqual(jobs.map((_, n) => [n, 1]));
  });
});
