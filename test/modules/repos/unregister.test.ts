import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { refuseAnswers } from '../../idempotency/support/state.js';
import { dataDirOf, startTestApp, type TestApp } from '../../support/app.js';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { rest } from '../../support/rest.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { createTasksClient, registerRepo } from '../../support/tasks-client.js';
import { until } from '../../support/until.js';

/** Unregistering when there are tasks, or what deleted ones have left. Without either: `register.test.ts`. */
const app = sharedTestApp();
const repos = useGitRepos();

async function setUp({ url, database }: Pick<TestApp, 'url' | 'database'> = app.current) {
  const root = repos.repo();
  const id = await registerRepo(url, root);
  const tasks = createTasksClient(url);
  const folder = path.join(dataDirOf(database), 'worktrees', id);
  /** As it stands while somebody has it in hands who will count as dead from that time on. */
  const leave = (taskId: string, until: Date) =>
    database.query(
      `UPDATE task_vcs SET state = CASE WHEN state = 'removing' THEN state ELSE 'committing' END,
        holder = gen_random_uuid(), held_until = $2 WHERE task_id = $1`,
      [taskId, until],
    );
  return {
    ...{ root, id, tasks, folder, database },
    add: async () => (await tasks.create({ repo_id: id })).id,
    /** A task that is started, with something in its work tree. */
    async started() {
      const task = await tasks.create({ repo_id: id });
      await tasks.start(task.id);
      writeFiles(path.join(folder, task.id), { 'mine.txt': 'x' });
      return task.id;
    },
    leave,
    /** Deletes it while somebody else who is alive has it in hands, and is to clear away what it leaves. */
    async removeHeld(taskId: string) {
      await leave(taskId, new Date('2100-01-01T00:00:00Z'));
      await tasks.remove(taskId);
    },
    rows: () =>
      database.query<{ task_id: string; state: string }>('SELECT task_id, state FROM task_vcs WHERE repo_id = $1', [
        id,
      ]),
    unregister: (headers = {}) => rest(url, 'DELETE', `/api/repos/${id}`, undefined, headers),
    isThere: async () => (await rest(url, 'GET', `/api/repos/${id}`)).status === 200,
    told: async () => (await rest(url, 'GET', `/api/events?repo_id=${id}&type=RepoUnregistered`)).json,
  };
}

describe('a repository that is gone', () => {
  const ways: Readonly<Record<string, (root: string) => void>> = {
    'with its folder': (root) => rmSync(root, { recursive: true }),
    'but for its folder': (root) => rmSync(path.join(root, '.git'), { recursive: true }),
    'and has left what is no repository': (root) => rmSync(path.join(root, '.git/HEAD')),
    'with a file in its place'(root) {
      rmSync(root, { recursive: true });
      writeFileSync(root, '');
    },
  };

  test.each(Object.entries(ways))('%s is forgotten, with what deleted tasks have left', async (_title, lose) => {
    const { root, folder, started, removeHeld, rows, unregister, isThere, told } = await setUp();
    const ids = [await started(), await started()];
    lose(root);
    for (const id of ids) await removeHeld(id);
    expect(await rows()).toHaveLength(2);
    expect(await unregister()).toMatchObject({ status: 200, json: { ok: true } });
    expect([await rows(), await isThere(), existsSync(folder)]).toEqual([[], false, false]);
    expect(await told()).toMatchObject([{ payload: { path: root, name: 'project' } }]);
  });

  test('is forgotten with nothing but the work trees', async () => {
    const { root, folder, tasks, started, unregister } = await setUp();
    const id = await started();
    writeFiles(folder, { 'notes.txt': 'mine', [`${id}.new-99999999-00000000-1/half`]: '' });
    rmSync(root, { recursive: true });
    await tasks.remove(id);
    expect(await unregister()).toMatchObject({ status: 200 });
    expect(readdirSync(folder)).toEqual(['notes.txt']);
  });

  test('is not forgotten while it has tasks, and nothing of theirs goes', async () => {
    const { root, id, folder, tasks, started, add, unregister, isThere } = await setUp();
    const [one, two, gone] = [await started(), await add(), await started()];
    rmSync(root, { recursive: true });
    await tasks.remove(gone);
    expect(await unregister()).toMatchObject({
      status: 409,
      json: {
        error: 'conflict',
        message: `${id} still has 2 tasks; delete them first.`,
        details: { id, used_by: 'tasks', count: 2 },
      },
    });
    await tasks.remove(two);
    expect(await unregister()).toMatchObject({
      status: 409,
      json: { message: `${id} still has a task; delete it first.`, details: { used_by: 'tasks', count: 1 } },
    });
    expect([existsSync(path.join(folder, one, 'mine.txt')), await isThere()]).toEqual([true, true]);
    await tasks.remove(one);
    expect(await unregister()).toMatchObject({ status: 200 });
  });

  test('stays whole when the last step fails, and can then be forgotten', async () => {
    const { root, folder, tasks, started, unregister, rows, isThere, told, database } = await setUp();
    const id = await started();
    rmSync(root, { recursive: true });
    await tasks.remove(id);
    const key = { 'idempotency-key': 'once' };
    const relent = await refuseAnswers(database);
    try {
      expect(await unregister(key)).toMatchObject({ status: 500 });
      expect(await rows()).toEqual([{ task_id: id, state: 'removing' }]);
      expect([await isThere(), await told(), existsSync(folder)]).toEqual([true, [], false]);
    } finally {
      await relent();
    }
    expect(await unregister(key)).toMatchObject({ status: 200 });
    expect((await unregister(key)).headers.get('idempotency-replayed')).toBe('true');
    expect([await rows(), await told()]).toEqual([[], [expect.anything()]]);
  });
});

describe('a repository that is there', () => {
  test('is not forgotten before what deleted tasks have left is cleared away', async () => {
    const { root, id, folder, started, removeHeld, leave, unregister, isThere, rows, told } = await setUp();
    const task = await started();
    await removeHeld(task);
    expect(await unregister()).toMatchObject({
      status: 409,
      json: {
        error: 'conflict',
        message: `Work trees of deleted tasks of ${id} are just being cleared away; try again.`,
        details: { id, used_by: 'work_trees' },
      },
    });
    expect([await isThere(), await told(), existsSync(path.join(folder, task, 'mine.txt'))]).toEqual([true, [], true]);
    await leave(task, new Date(0));
    await until('it is cleared away', async () => (await rows()).length === 0);
    expect(git(root, 'branch', '--format=%(refname:short)')).toBe('main');
    expect(await unregister()).toMatchObject({ status: 200 });
  });

  test('and cannot be used says why, until it can', async () => {
    const { root, id, started, removeHeld, leave, unregister, isThere } = await setUp();
    const task = await started();
    git(root, 'config', 'core.bare', 'true');
    await removeHeld(task);
    expect(await unregister()).toMatchObject({
      status: 409,
      json: {
        message: `Work trees of deleted tasks of ${id} cannot be cleared away: the repository ${root} is a bare repository; one with a work tree is needed.`,
        details: { id, used_by: 'work_trees', path: root },
      },
    });
    expect(await isThere()).toBe(true);
    git(root, 'config', 'core.bare', 'false');
    await leave(task, new Date(0));
    await until('it is forgotten', async () => (await unregister()).status === 200);
    expect(git(root, 'branch', '--format=%(refname:short)')).toBe('main');
  });

  test('has it cleared away without waiting any longer, however often that has failed', async () => {
    const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
    const own = await startTestApp({ clock, flags: { 'poll-interval': '10ms' } });
    const { root, tasks, started, unregister, rows } = await setUp(own);
    const other = await setUp(own);
    const [task, well] = [await started(), await other.started()];
    /** Resolves when all that was due has been tried: another task that becomes due after it is healed after that. */
    async function looked(): Promise<void> {
      clock.advance(1);
      await other.leave(well, clock.now());
      await until('the other task is healed', async () => (await other.rows())[0]?.state === 'ready');
    }
    renameSync(root, `${root}.away`);
    await tasks.remove(task);
    await looked();
    clock.advance(10_000);
    await looked();
    // That was tried twice, and is to be left alone for 20 s.
    renameSync(`${root}.away`, root);
    expect(await unregister()).toMatchObject({ status: 409, json: { details: { used_by: 'work_trees' } } });
    clock.advance(10_000);
    await looked();
    expect(await rows()).toEqual([]);
    expect(await unregister()).toMatchObject({ status: 200 });
  });
});

describe('of a new task and the end of its repository only what comes first happens', () => {
  test.each([
    ['the first', '%FROM repos r%FOR UPDATE%'],
    ['another', '%FROM task_graphs%FOR UPDATE%'],
  ])('where it is %s', async (which, waitingFor) => {
    const { id, tasks, add, unregister, isThere, database } = await setUp();
    if (which === 'another') await tasks.remove(await add());
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    onTestFinished(() => client.end());
    // As who creates a task does it, up to its commit.
    await client.query('BEGIN');
    await client.query('SELECT FROM task_graphs WHERE repo_id = $1 FOR UPDATE', [id]);
    await client.query('SELECT FROM repos WHERE id = $1 FOR KEY SHARE', [id]);
    const ended = unregister();
    await until('it waits', async () => {
      const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`;
      return (await database.query(waiting, [waitingFor])).length > 0;
    });
    await client.query(
      `INSERT INTO tasks (id, repo_id, depth, kind, description, priority, status, created_at, updated_at)
        VALUES ('task_01ARZ3NDEKTSV4RRFFQ69G5F' || $2, $1, 0, 'Task', 'd', 2, 'Pending', now(), now())`,
      [id, which === 'another' ? 'A1' : 'A2'],
    );
    await client.query('COMMIT');
    expect(await ended).toMatchObject({ status: 409, json: { details: { id, used_by: 'tasks', count: 1 } } });
    expect(await isThere()).toBe(true);
  });
});
