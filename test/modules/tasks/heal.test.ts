import { existsSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { createVcs } from '../../../src/modules/vcs/index.js';
import { createGit } from '../../../src/platform/git/index.js';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { createTasksClient, registerRepo, type TasksClient } from '../../support/tasks-client.js';
import { until } from '../../support/until.js';

/**
 * What a server leaves that dies between git and the database, at each place where it can: the rows as it has written them, and git as
 * far as it had come. Another server puts it right.
 */
const repos = useGitRepos();
const dataDir = path.join(repos.folder(), 'data');
const app = sharedTestApp({ flags: { 'data-dir': dataDir } });
const vcs = createVcs({ git: createGit(), dataDir });
let tasks: TasksClient;

beforeAll(() => {
  tasks = createTasksClient(app.current.url);
});

async function setUp() {
  const root = repos.repo();
  const repoId = await registerRepo(app.current.url, root);
  const { id } = await tasks.create({ repo_id: repoId });
  const ref = { repo: { id: repoId, path: root, defaultBranch: 'main' }, taskId: id };
  const { database } = app.current;
  const rowOf = async () =>
    (
      await database.query<{ state: string; holder: string | null }>('SELECT * FROM task_vcs WHERE task_id = $1', [id])
    )[0];
  /** As it stands when its holder has died. */
  const leave = (state: string) =>
    database.query(
      `UPDATE task_vcs SET state = $2, holder = gen_random_uuid(), held_until = now() - interval '1 s' WHERE task_id = $1`,
      [id, state],
    );
  const leavePreparing = () =>
    database.query(
      `WITH started AS (UPDATE tasks SET starting = true WHERE id = $1)
       INSERT INTO task_vcs (task_id, repo_id, state, holder, held_until, ref_name, created_at, updated_at)
       VALUES ($1, $2, 'preparing', gen_random_uuid(), now() - interval '1 s', 'task/' || $1, now(), now())`,
      [id, repoId],
    );
  const settled = (state: string | undefined) =>
    until(`${id} is ${state ?? 'gone'}`, async () => {
      const row = await rowOf();
      return row?.state === state && (row?.holder ?? null) === null;
    });
  const branches = () => git(root, 'branch', '--format=%(refname:short)').split('\n');
  const isReady = async () => (await tasks.nextReady(`?repo_id=${repoId}`))?.task.id === id;
  return { root, id, ref, database, leave, leavePreparing, settled, branches, isReady };
}

describe('start', () => {
  test.each(['before git', 'after git'])('that died %s is as if it had not been asked for', async (when) => {
    const { root, ref, leavePreparing, settled, branches, isReady, id } = await setUp();
    if (when === 'after git') await vcs.prepare(ref);
    await leavePreparing();
    await settled(undefined);
    expect(await isReady()).toBe(true);
    expect(branches()).toEqual(['main']);
    expect(git(root, 'worktree', 'list').split('\n')).toHaveLength(1);
    expect((await tasks.start(id)).status).toBe('InProgress');
  });

  test('anew leaves what was there', async () => {
    const { id, database, leave, settled, isReady } = await setUp();
    await tasks.start(id);
    const { vcs: before } = await tasks.get(id);
    writeFiles(before?.worktree_path ?? '', { 'mine.txt': 'x' });
    await tasks.setStatus(id, 'Pending');
    await database.query('UPDATE tasks SET starting = true WHERE id = $1', [id]);
    expect(await isReady()).toBe(false);
    await leave('preparing');
    await settled('ready');
    expect(await isReady()).toBe(true);
    expect((await tasks.get(id)).vcs).toEqual(before);
    expect(existsSync(path.join(before?.worktree_path ?? '', 'mine.txt'))).toBe(true);
  });
});

describe('submit', () => {
  test.each(['before git', 'after git'])('that died %s is asked for again, and no commit is lost', async (when) => {
    const { root, id, ref, leave, settled } = await setUp();
    await tasks.start(id);
    const { vcs: started } = await tasks.get(id);
    writeFiles(started?.worktree_path ?? '', { 'mine.txt': 'x' });
    const author = { name: 'A', email: 'a@example.org' };
    const input = { ...ref, baseCommit: started?.base_commit ?? '', message: 'Mine', author, committer: author };
    const made = when === 'after git' ? await vcs.commit(input) : undefined;
    await made?.kept;
    await leave('committing');
    await settled('ready');
    expect((await tasks.get(id)).task.status).toBe('InProgress');
    expect((await tasks.submit(id, { message: 'Mine' })).status).toBe('InReview');
    const { vcs: submitted } = await tasks.get(id);
    expect(submitted?.head_commit).toBe(made?.headCommit ?? git(root, 'rev-parse', `task/${id}`));
    expect(git(root, 'show', `task/${id}:mine.txt`)).toBe('x');
    expect(git(root, 'log', '--format=%s', `main..task/${id}`)).toBe('Mine');
  });
});

describe('archive and delete', () => {
  test.each(['before git', 'after git'])('archiving that died %s is done', async (when) => {
    const { id, ref, database, leave, settled, branches } = await setUp();
    await tasks.start(id);
    await tasks.complete(id);
    await database.query('UPDATE tasks SET archived_at = now() WHERE id = $1', [id]);
    await database.query('UPDATE task_vcs SET archived_at = now(), worktree_path = NULL WHERE task_id = $1', [id]);
    await leave('archiving');
    if (when === 'after git') await vcs.archive(ref);
    await settled('archived');
    expect(branches()).toEqual(['main']);
    expect((await tasks.get(id)).vcs).toMatchObject({ worktree_path: null, archived_at: expect.any(String) as string });
    expect((await tasks.list(`?archived=true`)).tasks.map((task) => task.id)).toContain(id);
  });

  test('what a deleted task has left goes, also when somebody was just starting it', async () => {
    const { id, ref, leavePreparing, settled, branches } = await setUp();
    await vcs.prepare(ref);
    await leavePreparing();
    await tasks.remove(id);
    await settled(undefined);
    expect(branches()).toEqual(['main']);
  });
});
