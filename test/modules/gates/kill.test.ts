import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { dataDirOf, startTestApp } from '../../support/app.js';
import { isRunning, useBuiltServer } from '../../support/built-server.js';
import { createTestDatabase } from '../../support/database.js';
import { createGatesClient, type GatesClient } from '../../support/gates-client.js';
import { useGitRepos } from '../../support/git-repos.js';
import { registerRepo } from '../../support/tasks-client.js';
import { until } from '../../support/until.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';

const startServer = useBuiltServer();
const repos = useGitRepos();

/** A database and a data directory for servers that share them. */
async function makeHome() {
  const database = await createTestDatabase();
  const dataDir = dataDirOf(database);
  onTestFinished(async () => {
    await database.drop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  });
  const serve = (env: Readonly<Record<string, string>> = {}) =>
    startServer({ databaseUrl: database.url, env: { MUSTER_DATA_DIR: dataDir, ...env } });
  return { database, dataDir, serve };
}

/** A task that is started, in a repository of its own. */
async function addTask(client: GatesClient) {
  const root = repos.repo();
  const repoId = await registerRepo(client.url, root);
  const { id } = await client.tasks.create({ repo_id: repoId });
  await client.tasks.start(id);
  return { id, root, repoId };
}

/** What the ledger tells of gates and of where reviews have come, in order. */
async function told(url: string, repoId: string): Promise<readonly string[]> {
  const events = await ledgerOf(url, repoId);
  return events.filter(({ type }) => /^(Gate|ReviewPhase)/.test(type)).map(({ type }) => type);
}

test.each([
  ['kill -9', 'SIGKILL', ['running', 1]],
  ['a graceful stop', 'SIGTERM', ['queued', 1]],
] as const)(
  '%s of the server in mid gate: the next one runs it again, as the same attempt',
  async (_, signal, left) => {
    const { database, dataDir, serve } = await makeHome();
    const first = serve();
    const before = createGatesClient(await first.ready());
    const { id, root, repoId } = await addTask(before);
    const [pids, starts] = [path.join(root, 'pids.log'), path.join(root, 'starts.log')];
    const command = `echo x >> '${starts}'; test $(wc -l < '${starts}') = 1 || exit 0
    setsid sleep 1000 & echo $$ $! > '${pids}.part'; mv '${pids}.part' '${pids}'; wait`;
    const gate = await before.add({ type: 'Task', id }, { command });
    const review = await before.reviews.submit(id, { f: 'x' });
    await until('it runs', () => existsSync(pids));
    const processes = readFileSync(pids, 'utf8').trim().split(' ').map(Number);
    onTestFinished(() => processes.filter(isRunning).forEach((pid) => process.kill(pid, 'SIGKILL')));
    expect(processes.map(isRunning)).toEqual([true, true]);
    first.kill(signal);
    expect((await first.exit).signal ?? 'SIGTERM').toBe(signal);
    // Nobody is there to end them when the server is killed.
    expect(processes.map(isRunning)).toEqual(signal === 'SIGKILL' ? [true, true] : [false, false]);
    const jobs = await database.query<{ state: string }>("SELECT state FROM jobs WHERE kind = 'muster.gate'");
    expect([jobs[0]?.state, jobs.length]).toEqual(left);

    const after = createGatesClient(await serve().ready());
    const ended = await after.ended(review.id);
    expect(processes.map(isRunning)).toEqual([false, false]);
    expect(ended.review.status).toBe('AgentPending');
    expect(ended.results).toMatchObject([{ gate_id: gate.id, status: 'Passed', attempt: 1, runs: 2, round: 1 }]);
    expect(readFileSync(starts, 'utf8')).toBe('x\nx\n');
    expect(await told(after.url, repoId)).toEqual([
      ...['GateAdded', 'GateQueued', 'GateStarted', 'GateStarted', 'GatePassed', 'ReviewPhaseChanged'],
    ]);
    expect(readdirSync(path.join(dataDir, 'gates'))).toEqual([]);
  },
);

test('two servers share the gates, and each runs once; one that is to run none runs none', async () => {
  const { serve } = await makeHome();
  // What is lost after a moment on a busy machine would be run again.
  const env = { MUSTER_POLL_INTERVAL: '1s', MUSTER_GATE_CONCURRENCY: '3' };
  const [idle, ...workers] = [serve({ ...env, MUSTER_GATE_CONCURRENCY: '0' }), serve(env), serve(env)];
  const [url] = await Promise.all([idle.ready(), ...workers.map((each) => each.ready())]);
  const client = createGatesClient(url);
  const shared = repos.folder();
  const [log, go] = [path.join(shared, 'log'), path.join(shared, 'go')];
  const command = `echo x >> '${shared}'/"$MUSTER_REVIEW_ID.$MUSTER_GATE_NAME"; echo start $PPID >> '${log}'
    until test -e '${go}'; do sleep 0.02; done; echo end $PPID >> '${log}'`;
  const tasks = [await addTask(client), await addTask(client), await addTask(client)];
  const names = ['a', 'b', 'c', 'd'];
  const reviews: string[] = [];
  for (const { id } of tasks) {
    for (const name of names) await client.add({ type: 'Task', id }, { name, command });
    reviews.push((await client.reviews.submit(id, { f: 'x' })).id);
  }
  const lines = () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []);
  await until('each runs as many as it may', () => lines().length >= 6);
  writeFileSync(go, '');
  for (const [index, id] of reviews.entries()) {
    const { review, results } = await client.ended(id);
    expect(review.status).toBe('AgentPending');
    expect(results.map(({ name, status, runs }) => [name, status, runs])).toEqual(
      names.map((name) => [name, 'Passed', 1]),
    );
    expect(names.map((name) => readFileSync(path.join(shared, `${id}.${name}`), 'utf8'))).toEqual(
      names.map(() => 'x\n'),
    );
    const types = await told(url, tasks[index]?.repoId ?? '');
    for (const type of ['GateStarted', 'GatePassed']) expect(types.filter((each) => each === type)).toHaveLength(4);
    expect(types.slice(-2)).toEqual(['GatePassed', 'ReviewPhaseChanged']);
    expect(types.filter((type) => type === 'ReviewPhaseChanged')).toHaveLength(1);
  }
  const most = new Map<string, number>();
  const now = new Map<string, number>();
  for (const [what, pid = ''] of lines().map((line) => line.split(' '))) {
    now.set(pid, (now.get(pid) ?? 0) + (what === 'start' ? 1 : -1));
    most.set(pid, Math.max(most.get(pid) ?? 0, now.get(pid) ?? 0));
  }
  expect(most).toEqual(new Map(workers.map(({ pid }) => [String(pid), 3])));
});

test('connections that are cut in the middle of the verdict cost it nothing', async () => {
  const app = await startTestApp({ flags: { 'poll-interval': '1s' } });
  const client = createGatesClient(app.url);
  const { id, root } = await addTask(client);
  const [starts, go] = [path.join(root, 'starts.log'), path.join(root, 'go.log')];
  const command = `echo x >> '${starts}'; until test -e '${go}'; do sleep 0.02; done; echo end`;
  await client.add({ type: 'Task', id }, { command });
  const review = await client.reviews.submit(id, { f: 'x' });
  await until('it runs', () => existsSync(starts));
  const other = new pg.Client({ connectionString: app.database.url });
  await other.connect();
  onTestFinished(() => other.end());
  await other.query('BEGIN; SELECT FROM gate_runs FOR UPDATE');
  writeFileSync(go, '');
  await until('the verdict stands still', async () => {
    const rows = await app.database.query(`SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%gate_runs%'`);
    return rows.length > 0;
  });
  await app.database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'muster%'`);
  await other.query('ROLLBACK');
  await until('there is a verdict', async () => {
    const [row] = await app.database.query<{ status: string }>('SELECT status FROM gate_runs');
    return row?.status !== 'Running';
  });
  await until('the server answers', () => client.reviews.get(review.id).catch(() => undefined));
  expect(await client.results(review.id)).toMatchObject([{ status: 'Passed', attempt: 1, runs: 1, stdout: 'end\n' }]);
  expect((await client.reviews.get(review.id)).status).toBe('AgentPending');
  expect(readFileSync(starts, 'utf8')).toBe('x\n');
});
