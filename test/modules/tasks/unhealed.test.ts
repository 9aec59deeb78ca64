import { mkdirSync, renameSync, rmdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp } from '../../support/app.js';
import { git, useGitRepos } from '../../support/git-repos.js';
import { createTasksClient, registerRepo } from '../../support/tasks-client.js';
import { until } from '../../support/until.js';

const repos = useGitRepos();

async function setUp() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const { url, database, logged } = await startTestApp({ clock, logLevel: 'info', flags: { 'poll-interval': '10ms' } });
  const tasks = createTasksClient(url);

  /** A task that is archived, as it stands when the server has died that was about to remove its work tree. */
  async function leftTask() {
    const root = repos.repo();
    const { id } = await tasks.create({ repo_id: await registerRepo(url, root) });
    await tasks.start(id);
    await tasks.complete(id);
    await database.query('UPDATE tasks SET archived_at = $2 WHERE id = $1', [id, clock.now()]);
    await database.query('UPDATE task_vcs SET archived_at = $2, worktree_path = NULL WHERE task_id = $1', [
      id,
      clock.now(),
    ]);
    const leave = () =>
      database.query(
        `UPDATE task_vcs SET state = 'archiving', holder = gen_random_uuid(), held_until = $2 WHERE task_id = $1`,
        [id, clock.now()],
      );
    const row = async () =>
      (
        await database.query<{ state: string; holder: string | null }>('SELECT * FROM task_vcs WHERE task_id = $1', [
          id,
        ])
      )[0];
    return { root, id, leave, row };
  }

  const well = await leftTask();
  /** Resolves when everything that was due has been tried: another task that becomes due now is healed after that. */
  async function looked(): Promise<void> {
    await well.leave();
    await until('the other task is healed', async () => (await well.row())?.state === 'archived');
  }
  const linesOf = (id: string, event: string) =>
    logged.filter((line) => line.event === event && line['task_id'] === id);
  return { clock, leftTask, looked, linesOf };
}

test('what cannot be healed is tried ever more seldom, told once for each reason, and holds up nothing else', async () => {
  const { clock, leftTask, looked, linesOf } = await setUp();
  const task = await leftTask();
  const away = `${task.root}.away`;
  renameSync(task.root, away);
  await task.leave();
  await until('it is told', () => linesOf(task.id, 'work_not_healed').length > 0);
  await looked();

  const holder = async () => (await task.row())?.holder;
  let last = await holder();
  for (const seconds of [10, 20, 40, 80, 160, 300, 300]) {
    clock.advance(seconds * 1000 - 1);
    await looked();
    expect(await holder(), `before ${seconds} s`).toBe(last);
    clock.advance(2);
    await looked();
    expect(await holder(), `after ${seconds} s`).not.toBe(last);
    last = await holder();
  }
  expect(linesOf(task.id, 'work_not_healed')).toHaveLength(1);

  mkdirSync(task.root);
  clock.advance(300_001);
  await looked();
  expect(linesOf(task.id, 'work_not_healed')).toHaveLength(2);

  rmdirSync(task.root);
  renameSync(away, task.root);
  expect(git(task.root, 'branch', '--format=%(refname:short)')).toContain(task.id);
  clock.advance(300_001);
  await looked();
  expect(await task.row()).toMatchObject({ state: 'archived', holder: null });
  expect(git(task.root, 'branch', '--format=%(refname:short)')).toBe('main');
  expect(linesOf(task.id, 'work_healed')).toHaveLength(1);
});
