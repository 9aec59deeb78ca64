import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { isRunning, makeTempDir, useBuiltServer } from '../support/built-server.js';
import { createJobsClient } from '../support/jobs-client.js';
import { sharedTestApp } from '../support/shared-app.js';
import { startTestApp } from '../support/app.js';
import { createTestDatabase } from '../support/database.js';
import { until } from '../support/until.js';
import { startWork } from './support/work.js';

useBuiltServer();
const app = sharedTestApp();
const rest = () => createJobsClient(app.current.url);

let kinds = 0;
function newKind(): string {
  kinds += 1;
  return `stop-${kinds}`;
}

/**
 * A program that starts others, one of them in a session of its own, tells their pids by a file and then waits for ever;
 * or until the file `go` appears.
 */
async function tree() {
  const dir = await makeTempDir();
  const file = path.join(dir, 'pids');
  const go = path.join(dir, 'go');
  const exec = [
    `cd '${dir}'`,
    'sleep 1000 & one=$!',
    'setsid sleep 1000 & two=$!',
    // Renamed into place, so that it is seen whole.
    'echo $$ $one $two > new; mv new pids',
    `until [ -e go ]; do [ -d "$PWD" ] || exit; sleep 0.02; done; kill $one $two; echo '"went on"'`,
  ].join('\n');
  return {
    exec,
    go,
    async pids(): Promise<readonly number[]> {
      const text = await until('the program has told its pids', () => {
        try {
          return readFileSync(file, 'utf8');
        } catch {
          return undefined;
        }
      });
      const pids = text.trim().split(' ').map(Number);
      expect(pids).toHaveLength(3);
      return pids;
    },
  };
}

async function gone(pids: readonly number[]): Promise<void> {
  await until('every process of the program has gone', () => pids.every((pid) => !isRunning(pid)));
}

describe('the whole tree of a program is killed', () => {
  test('when its job is canceled', async () => {
    const kind = newKind();
    const { id } = await rest().submit({ kind });
    const program = await tree();
    const work = startWork(app.current.url, kind, program.exec);
    const pids = await program.pids();
    await rest().cancel(id);
    expect(await work.event('job_stopped', id)).toMatchObject({ reason: 'canceled' });
    await gone(pids);
    expect((await rest().get(id)).status).toBe('canceled');
    // The worker goes on.
    const next = await rest().submit({ kind });
    await work.event('job_started', next.id);
  });

  test("after --timeout, and by the job's own", async () => {
    const limits = [
      { flags: ['--timeout', '300ms'], job: { max_attempts: 1 }, message: 'The program took longer than 0.3 s.' },
      {
        flags: [],
        job: { max_attempts: 1, timeout_sec: 1 },
        message: /^The (program|attempt) took longer than 1 s\.$/,
      },
    ];
    for (const { flags, job, message } of limits) {
      const kind = newKind();
      const { id } = await rest().submit({ kind, ...job });
      const program = await tree();
      startWork(app.current.url, kind, program.exec, ...flags);
      await gone(await program.pids());
      const failed = await until('it has failed', async () => {
        const now = await rest().get(id);
        return now.status === 'error' && now;
      });
      expect(failed.error).toMatchObject({ code: 'timeout', message: expect.stringMatching(message) });
    }
  });

  test('when the lease is lost because the server cannot be reached', async () => {
    const database = await createTestDatabase();
    const server = await startTestApp({ database });
    const { id } = await createJobsClient(server.url).submit({ kind: 'a' });
    const program = await tree();
    const work = startWork(server.url, 'a', program.exec, '--lease-sec', '1');
    const pids = await program.pids();
    await server.stop();
    await gone(pids);
    expect(await work.event('job_stopped', id)).toMatchObject({ reason: 'lease_lost' });
  });
});

describe('the first signal', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)('%s lets running jobs end and takes no more', async (signal) => {
    const kind = newKind();
    const { id } = await rest().submit({ kind });
    const program = await tree();
    const work = startWork(app.current.url, kind, program.exec, '--prefetch', '3');
    await program.pids();
    const second = await rest().submit({ kind });
    await until('the second is held ready', async () => (await rest().get(second.id)).status === 'running');
    work.kill(signal);
    await work.event('job_released', second.id);
    writeFileSync(program.go, '');
    const { code, stderr } = await work.ended;
    expect([code, stderr]).toEqual([0, 'muster: letting running jobs end; once more kills them\n']);
    expect(await rest().get(id)).toMatchObject({ status: 'done', result: 'went on' });
    expect(await rest().get(second.id)).toMatchObject({ status: 'queued', attempts: 0 });
  });

  test('ends an idle worker at once', async () => {
    const work = startWork(app.current.url, newKind(), 'true');
    await work.event('connected');
    work.kill('SIGINT');
    expect((await work.ended).code).toBe(0);
  });
});

test('the second signal kills what runs and has it tried again', async () => {
  const kind = newKind();
  const { id } = await rest().submit({ kind });
  const program = await tree();
  const work = startWork(app.current.url, kind, program.exec);
  const pids = await program.pids();
  work.kill('SIGINT');
  await until('the first was heard', () => work.stderr().includes('letting running jobs end'));
  work.kill('SIGINT');
  const { code, stderr } = await work.ended;
  expect([code, stderr]).toEqual([130, expect.stringContaining('muster: killing running jobs\n')]);
  expect(pids.filter(isRunning)).toEqual([]);
  expect(await rest().get(id)).toMatchObject({
    status: 'queued',
    attempts: 1,
    error: { code: 'worker_stopped', message: 'The worker was told to stop before the job had ended.' },
  });
});

test('a worker that is killed in mid job loses it to another', async () => {
  const kind = newKind();
  const { id } = await rest().submit({ kind });
  const program = await tree();
  const first = startWork(app.current.url, kind, program.exec, '--lease-sec', '1');
  const pids = await program.pids();
  first.kill('SIGKILL');
  expect((await first.ended).code).toBe('SIGKILL');
  const other = startWork(app.current.url, kind, 'echo \'"done by the other"\'', '--lease-sec', '1');
  await other.event('job_ended', id);
  expect(await rest().get(id)).toMatchObject({ status: 'done', result: 'done by the other', attempts: 2 });
  // Nobody was left to end these.
  for (const pid of pids) process.kill(pid, 'SIGKILL');
});

test('a server that restarts in mid job gets the result', async () => {
  const database = await createTestDatabase();
  const server = await startTestApp({ database });
  const { id } = await createJobsClient(server.url).submit({ kind: 'a' });
  const program = await tree();
  const work = startWork(server.url, 'a', program.exec);
  await program.pids();
  await server.stop();
  await work.event('draining');
  writeFileSync(program.go, '');
  const again = await startTestApp({ database, flags: { port: new URL(server.url).port } });
  await work.event('job_ended', id);
  expect(await createJobsClient(again.url).get(id)).toMatchObject({ status: 'done', result: 'went on', attempts: 1 });
});
