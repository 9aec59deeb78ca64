import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { dataDirOf } from '../../support/app.js';
import { isRunning, useBuiltServer } from '../../support/built-server.js';
import { createTestDatabase } from '../../support/database.js';
import { createGatesClient, type RestGateResult } from '../../support/gates-client.js';
import { git, useGitRepos } from '../../support/git-repos.js';
import { registerRepo } from '../../support/tasks-client.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';

const startServer = useBuiltServer();
const repos = useGitRepos();

const line = '0123456789abcde\n';
const kept = 64 * 1024;
const flood = 100_000_000;
const secrets = {
  AWS_SECRET_ACCESS_KEY: 'aws',
  OTEL_EXPORTER_OTLP_HEADERS: 'otel',
  GITHUB_TOKEN: 'github',
  LC_ALL: 'C',
};

/** Megabytes of memory that a process has had at most so far. */
function peakOf(pid: number): number {
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

test('gates that do what they should not do, all at once', async () => {
  const database = await createTestDatabase();
  const dataDir = dataDirOf(database);
  onTestFinished(async () => {
    await database.drop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  const env = { ...secrets, MUSTER_DATA_DIR: dataDir, MUSTER_POLL_INTERVAL: '1s', MUSTER_GATE_CONCURRENCY: '5' };
  const server = startServer({ databaseUrl: database.url, env });
  const client = createGatesClient(await server.ready());
  const root = repos.repo();
  const repoId = await registerRepo(client.url, root);
  const { id } = await client.tasks.create({ repo_id: repoId });
  await client.tasks.start(id);
  const worktree = (await client.tasks.get(id)).vcs?.worktree_path ?? '';
  const pids = path.join(root, 'pids.log');
  const commands = {
    // What it reads of the terminal, it reads of nothing.
    environment: 'cat; env; pwd -P; exit 1',
    flood: `yes ${line.trim()} | head -c ${flood}; yes ${line.trim()} | head -c ${kept} >&2`,
    binary: `head -c 1000000 /dev/zero; printf '\\000\\377' >&2`,
    missing: 'no-such-command --all',
    stubborn: `trap '' TERM; sh -c 'sleep 1000' & echo $$ $! > '${pids}'; echo up; wait; sleep 1000`,
  };
  for (const [name, command] of Object.entries(commands)) {
    await client.add({ type: 'Task', id }, { name, command, ...(name === 'stubborn' && { timeout_secs: 1 }) });
  }
  const before = peakOf(server.pid);
  const { id: reviewId } = await client.reviews.submit(id, { f: 'x' });
  const { review, results } = await client.ended(reviewId);
  const grown = peakOf(server.pid) - before;
  const of = (name: string): Partial<RestGateResult> => results.find((each) => each.name === name) ?? {};

  // Far less than was printed.
  expect(grown).toBeLessThan(90);
  const half = line.repeat(kept / 2 / line.length);
  expect(of('flood')).toMatchObject({ status: 'Passed', stderr: half + half });
  expect(of('flood').stdout).toBe(`${half}\n… ${flood - kept} bytes left out …\n${half}`);

  expect(of('binary')).toMatchObject({ status: 'Passed', stderr: '\uFFFD\uFFFD' });
  const unknown = '\uFFFD'.repeat(kept / 2);
  expect(of('binary').stdout).toBe(`${unknown}\n… ${1_000_000 - kept} bytes left out …\n${unknown}`);

  expect(of('missing')).toMatchObject({ status: 'Failed', exit_code: 127, stdout: '' });
  expect(of('missing').stderr).toMatch(/no-such-command.*not found/);

  expect(of('stubborn')).toMatchObject({ status: 'Timeout', exit_code: null, stdout: 'up\n' });
  expect(of('stubborn').stderr).toContain('took longer than 1 s');
  expect(readFileSync(pids, 'utf8').trim().split(' ').map(Number).map(isRunning)).toEqual([false, false]);

  const told = (of('environment').stdout ?? '').trim().split('\n');
  expect(told.pop()).toBe(worktree);
  // Those of the last line are the shell's own.
  const scratch = `${path.join(dataDir, 'gates')}/job_`;
  expect(told.filter((each) => !/^(?:PWD|OLDPWD|SHLVL|_)=/.test(each)).sort()).toEqual([
    expect.stringMatching(new RegExp(`^HOME=${scratch}\\w{26}/home$`)),
    'LANG=C.UTF-8',
    'MUSTER_ATTEMPT=1',
    'MUSTER_GATE_NAME=environment',
    `MUSTER_REPO_ID=${repoId}`,
    `MUSTER_REPO_PATH=${root}`,
    `MUSTER_REVIEW_ID=${reviewId}`,
    expect.stringMatching(/^MUSTER_RUN_ID=[\w-]+$/),
    `MUSTER_TASK_ID=${id}`,
    `MUSTER_WORKTREE=${worktree}`,
    `PATH=${process.env['PATH']}`,
    expect.stringMatching(new RegExp(`^TMPDIR=${scratch}\\w{26}/tmp$`)),
  ]);

  expect(review.status).toBe('ChangesRequested');
  for (const name of ['environment', 'missing', 'stubborn']) expect(review.summary).toContain(`Gate '${name}' failed`);
  expect(git(worktree, 'status', '--porcelain')).toBe('');
  const printed = new Map<string, string>();
  for (const { type, payload } of await ledgerOf(client.url, repoId)) {
    if (type !== 'GateOutput') continue;
    const stream = `${String(payload['name'])} ${String(payload['stream'])}`;
    printed.set(stream, (printed.get(stream) ?? '') + String(payload['text']));
  }
  for (const stream of ['flood stdout', 'flood stderr']) expect(printed.get(stream)).toBe(half + half);
  expect(printed.get('binary stdout')).toBe(unknown + unknown);
  expect(printed.get('stubborn stdout')).toBe('up\n');
});
