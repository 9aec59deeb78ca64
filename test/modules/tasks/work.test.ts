import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { git, useGitRepos, writeFiles } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { rest } from '../../support/rest.js';
import { sharedTestApp } from '../../support/shared-app.js';
import {
  createTasksClient,
  registerRepo,
  type RestTask,
  type TaskInput,
  type TasksClient,
} from '../../support/tasks-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { until } from '../../support/until.js';
import { allTasks, expectReduced } from './support/task-ledger.js';

const repos = useGitRepos();
const app = sharedTestApp({ flags: { committer: 'A Team <team@example.org>' } });
let tasks: TasksClient;

beforeAll(() => {
  tasks = createTasksClient(app.current.url);
});

async function setUp() {
  const root = repos.repo();
  const repo_id = await registerRepo(app.current.url, root);
  const add = (input: TaskInput = {}): Promise<RestTask> => tasks.create({ repo_id, ...input });
  const worktreeOf = async (id: string): Promise<string> => (await tasks.get(id)).vcs?.worktree_path ?? '';
  return {
    root,
    repo_id,
    add,
    worktreeOf,
    branches: () => git(root, 'branch', '--format=%(refname:short)').split('\n'),
  };
}

describe('a task', () => {
  test('is started, worked on, submitted and completed', async () => {
    const { root, repo_id, add, worktreeOf } = await setUp();
    const head = git(root, 'rev-parse', 'HEAD');
    const { id } = await add({ description: 'Say it.\nIn full.' });
    const started = await tasks.start(id);
    expect(started).toMatchObject({ status: 'InProgress', started_at: started.updated_at });
    const worktree = await worktreeOf(id);
    expect((await tasks.get(id)).vcs).toMatchObject({
      task_id: id,
      repo_id,
      vcs_type: 'Git',
      ref_name: `task/${id}`,
      change_id: `task/${id}`,
      base_commit: head,
      start_commit: head,
      head_commit: null,
      archived_at: null,
    });
    expect(await refusal(tasks.submit(id))).toMatchObject({ error: 'nothing_to_submit' });
    writeFiles(worktree, { 'hello.txt': 'Hello\n' });
    const submitted = await tasks.submit(id);
    expect(submitted.status).toBe('InReview');
    const { vcs, review } = await tasks.get(id);
    expect(git(root, 'log', '-1', '--format=%H %an <%ae> %cn%n%B', `task/${id}`)).toBe(
      `${vcs?.head_commit} A Team <team@example.org> A Team\nSay it.\n\nTask: ${id}\n`,
    );
    expect(review).toMatchObject({ task_id: id, status: 'AgentPending', head_commit: vcs?.head_commit });
    expect((await tasks.complete(id)).status).toBe('Completed');
    expect((await tasks.get(id)).review).toBeNull();
    // The user's own checkout is as it was.
    expect([git(root, 'rev-parse', 'HEAD'), git(root, 'status', '--porcelain')]).toEqual([head, '']);
    const events = await expectReduced(tasks, repo_id);
    expect(events.map(({ type }) => type)).toEqual([
      'RepoRegistered',
      'TaskCreated',
      'RefCreated',
      'TaskStarted',
      'Committed',
      'TaskSubmitted',
      'ReviewCreated',
      'TaskCompleted',
      'ReviewApproved',
    ]);
  });

  test('begins where its parent is, or where a human says', async () => {
    const { root, add, worktreeOf } = await setUp();
    const top = await add({ kind: 'Milestone' });
    await tasks.start(top.id);
    writeFiles(await worktreeOf(top.id), { 'top.txt': 'x' });
    await tasks.submit(top.id, { message: 'Top' });
    const child = await add({ parent_id: top.id });
    await tasks.start(child.id);
    expect(git(root, 'log', '--format=%s', `task/${child.id}`).split('\n')[0]).toBe('Top');
    const other = await add({ parent_id: top.id });
    expect(await refusal(tasks.start(other.id, { base: 'none' }))).toMatchObject({
      error: 'invalid_request',
      details: { field: 'base' },
    });
    // It is as if nothing had been asked.
    expect((await tasks.get(other.id)).task).toEqual(other);
    await tasks.start(other.id, { base: 'main' });
    expect(git(root, 'rev-parse', `task/${other.id}`)).toBe(git(root, 'rev-parse', 'main'));
    await tasks.setStatus(other.id, 'Pending');
    expect(await refusal(tasks.start(other.id, { base: child.id }))).toMatchObject({ error: 'conflict' });
    expect((await tasks.start(other.id)).status).toBe('InProgress');
  });

  test('whose branch is gone is submitted again as the review says', async () => {
    const { root, repo_id, add, worktreeOf } = await setUp();
    const { id } = await add();
    await tasks.start(id);
    writeFiles(await worktreeOf(id), { first: '1' });
    await tasks.submit(id, { message: 'First' });
    git(root, 'update-ref', '-d', `refs/heads/task/${id}`);
    const { review } = await tasks.get(id);
    const asked = await rest(app.current.url, 'POST', `/api/reviews/${review?.id}/request-changes`, {
      summary: 'More.',
    });
    expect(asked.json).toMatchObject({ status: 'ChangesRequested' });
    writeFiles(await worktreeOf(id), { second: '2' });
    await tasks.submit(id, { message: 'Second' });
    expect(git(root, 'log', '--format=%s', `main..task/${id}`)).toBe('Second\nFirst');
    await expectReduced(tasks, repo_id);
  });

  test('begins where its parent was last, when people have done away with the branch of that', async () => {
    const { root, add, worktreeOf } = await setUp();
    const top = await add({ kind: 'Milestone' });
    await tasks.start(top.id);
    const removeBranch = async (): Promise<void> => {
      git(root, 'worktree', 'remove', '--force', await worktreeOf(top.id));
      git(root, 'branch', '-D', `task/${top.id}`);
    };
    await removeBranch();
    const early = await add({ parent_id: top.id });
    await tasks.start(early.id);
    expect(git(root, 'rev-parse', `task/${early.id}`)).toBe(git(root, 'rev-parse', 'main'));
    await tasks.setStatus(top.id, 'Pending');
    await tasks.start(top.id);
    writeFiles(await worktreeOf(top.id), { 'top.txt': 'x' });
    await tasks.submit(top.id, { message: 'Top' });
    await removeBranch();
    const late = await add({ parent_id: top.id });
    await tasks.start(late.id);
    expect(git(root, 'log', '-1', '--format=%s', `task/${late.id}`)).toBe('Top');
  });

  test('is not started twice, nor while it waits; nor submitted before it was started', async () => {
    const { add, branches } = await setUp();
    const blocker = await add();
    const waiting = await add({ blocked_by: [blocker.id] });
    expect(await refusal(tasks.start(waiting.id))).toMatchObject({
      error: 'blocked',
      details: { blockers: [{ id: blocker.id, status: 'Pending', of: waiting.id }] },
    });
    expect(await refusal(tasks.submit(waiting.id))).toMatchObject({
      error: 'invalid_state',
      details: { from: 'Pending', to: 'InReview' },
    });
    const many = await Promise.allSettled(Array.from({ length: 5 }, () => tasks.start(blocker.id)));
    expect(many.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await refusal(tasks.start(blocker.id))).toMatchObject({ error: 'invalid_state' });
    expect(branches()).toEqual(['main', `task/${blocker.id}`]);
    await tasks.setStatus(waiting.id, 'InProgress');
    expect(await refusal(tasks.submit(waiting.id))).toMatchObject({ error: 'invalid_state' });
  });

  test('is compared while and after it is worked on, and archived when it is done', async () => {
    const { repo_id, root, add, worktreeOf, branches } = await setUp();
    const { url } = app.current;
    const read = (path: string) => rest(url, 'GET', `/api/vcs/${path}`);
    const { id } = await add();
    expect((await read(`task/${id}`)).json).toBeNull();
    expect((await read(`diff/${id}`)).status).toBe(404);
    await tasks.start(id);
    writeFiles(await worktreeOf(id), { 'new.txt': 'a line\n' });
    const change = {
      path: 'new.txt',
      status: 'Added',
      additions: 1,
      hunks: [{ new_start: 1, lines: [{ kind: 'Add', content: 'a line' }] }],
    };
    expect((await read(`diff/${id}`)).json).toMatchObject({ head: null, truncated: false, files: [change] });
    await tasks.submit(id);
    const archive = () => rest(url, 'POST', `/api/vcs/task/${id}/archive`);
    expect((await archive()).json).toMatchObject({ error: 'invalid_state', details: { from: 'InReview' } });
    await tasks.complete(id);
    const archived = await archive();
    expect(archived.json).toMatchObject({
      task_id: id,
      worktree_path: null,
      archived_at: expect.any(String) as string,
    });
    expect((await archive()).json).toEqual(archived.json);
    expect((await read(`task/${id}`)).json).toEqual(archived.json);
    expect((await read(`task?repo_id=${repo_id}`)).json).toEqual([archived.json]);
    expect(branches()).toEqual(['main']);
    expect(git(root, 'worktree', 'list').split('\n')).toHaveLength(1);
    const { head } = (await read(`diff/${id}`)).json as { head: string };
    expect((await read(`diff/${id}`)).json).toMatchObject({ head: git(root, 'rev-parse', head), files: [change] });
    expect(await refusal(tasks.setStatus(id, 'Pending'))).toMatchObject({ error: 'invalid_state' });
    expect((await expectReduced(tasks, repo_id)).at(-1)).toMatchObject({ type: 'TaskArchived', task_id: id });
  });

  test('leaves nothing behind when it is deleted', async () => {
    const { root, add, worktreeOf, branches } = await setUp();
    const { id } = await add();
    await tasks.start(id);
    const worktree = await worktreeOf(id);
    await tasks.remove(id);
    await expect.poll(() => [branches(), existsSync(worktree)], { timeout: 30_000 }).toEqual([['main'], false]);
    await expect
      .poll(() => app.current.database.query('SELECT 1 FROM task_vcs WHERE task_id = $1', [id]), { timeout: 30_000 })
      .toEqual([]);
    expect(git(root, 'worktree', 'list').split('\n')).toHaveLength(1);
  });

  test('cancelled while git is at work is not started', async () => {
    const { add, branches } = await setUp();
    const { id } = await add();
    const [started, cancelled] = await Promise.allSettled([tasks.start(id), tasks.cancel(id)]);
    expect(cancelled.status).toBe('fulfilled');
    expect((await tasks.get(id)).task.status).toBe('Cancelled');
    // Where the cancel came first there is nothing; else the branch stays until it is archived.
    expect(branches()).toHaveLength(started.status === 'fulfilled' ? 2 : 1);
  });
});

describe('claim-next', () => {
  test('hands out one task each, in order, however many ask on two servers', { timeout: 120_000 }, async () => {
    const { apps } = await startTestApps({}, {});
    const clients = apps.map(({ url }) => createTasksClient(url));
    const [first] = clients;
    if (first === undefined) throw new Error('no server');
    const repo_id = await registerRepo(first.url, repos.repo());
    const made = await Promise.all(
      Array.from({ length: 50 }, (_, n) => first.create({ repo_id, priority: n % 4, description: `${n}` })),
    );
    const blocker = await first.create({ repo_id, priority: 3, description: 'last' });
    await first.create({ repo_id, blocked_by: [blocker.id] });
    const claims = await Promise.all(made.map((_, n) => clients[n % 2]?.claimNext({ repo_id })));
    const ids = claims.map((claim) => claim?.task.id);
    expect(new Set(ids).size).toBe(50);
    expect(claims.every((claim) => claim?.task.status === 'InProgress' && claim.vcs?.worktree_path)).toBe(true);
    // Of the least urgent ones the youngest is left.
    expect((await first.nextReady(`?repo_id=${repo_id}`))?.task.id).toBe(blocker.id);
    const listed = (await allTasks(first, repo_id)).filter(({ status }) => status === 'InProgress');
    expect(listed).toHaveLength(50);
    expect((await first.claimNext({ repo_id }))?.task.id).toBe(blocker.id);
    expect(await first.claimNext({ repo_id })).toBeNull();
  });

  test('one after the other, the most urgent first', async () => {
    const { repo_id, add } = await setUp();
    const [low, urgent, normal] = [await add({ priority: 3 }), await add({ priority: 0 }), await add()];
    const order: (string | undefined)[] = [];
    for (let n = 0; n < 4; n++) order.push((await tasks.claimNext({ repo_id }))?.task.id);
    expect(order).toEqual([urgent.id, normal.id, low.id, undefined]);
  });

  test('nobody is kept from the others by a task that cannot be started', async () => {
    const { root, repo_id, add, worktreeOf } = await setUp();
    const astray = await add({ priority: 0 });
    await tasks.start(astray.id);
    // What it began with is no longer in it.
    git(await worktreeOf(astray.id), 'checkout', '--quiet', '--orphan', 'anew');
    git(root, 'branch', '-D', `task/${astray.id}`);
    git(await worktreeOf(astray.id), 'commit', '--quiet', '--message', 'Anew');
    git(await worktreeOf(astray.id), 'branch', '--move', `task/${astray.id}`);
    await tasks.setStatus(astray.id, 'Pending');
    const next = await add();
    expect((await tasks.nextReady(`?repo_id=${repo_id}`))?.task.id).toBe(astray.id);
    expect((await tasks.claimNext({ repo_id }))?.task.id).toBe(next.id);
    // It is said once there is nothing else.
    const refused = { error: 'conflict', details: { branch: `task/${astray.id}` } };
    expect(await refusal(tasks.claimNext({ repo_id }))).toMatchObject(refused);
    expect((await tasks.get(astray.id)).task.status).toBe('Pending');
    git(root, 'update-ref', `refs/heads/task/${astray.id}`, 'main');
    expect((await tasks.claimNext({ repo_id }))?.task.id).toBe(astray.id);
    expect(await tasks.claimNext({ repo_id })).toBeNull();
  });

  test('a task that is cancelled meanwhile is not what is answered, but the next one', async () => {
    const { root, repo_id, add } = await setUp();
    const [first, second] = [await add({ priority: 0 }), await add()];
    const lock = path.join(root, '.git/refs/heads/task', `${first.id}.lock`);
    writeFiles(path.dirname(lock), { [path.basename(lock)]: '' });
    const claiming = tasks.claimNext({ repo_id });
    await until(
      'it is being started',
      async () => (await tasks.nextReady(`?repo_id=${repo_id}`))?.task.id === second.id,
    );
    await tasks.cancel(first.id);
    rmSync(lock);
    expect((await claiming)?.task.id).toBe(second.id);
  });

  test('a repository that is away gives its task back, each time', async () => {
    const { root, repo_id, add } = await setUp();
    const { id } = await add();
    renameSync(root, `${root}-away`);
    for (let n = 0; n < 3; n++) {
      expect(await refusal(tasks.claimNext({ repo_id }))).toMatchObject({ error: 'conflict', details: { path: root } });
    }
    renameSync(`${root}-away`, root);
    expect((await tasks.claimNext({ repo_id }))?.task.id).toBe(id);
  });

  test('a repository without a commit gives its task back', async () => {
    const repo_id = await registerRepo(app.current.url, repos.repo({}));
    const { id } = await tasks.create({ repo_id });
    expect(await refusal(tasks.claimNext({ repo_id }))).toMatchObject({ error: 'conflict' });
    expect((await tasks.nextReady(`?repo_id=${repo_id}`))?.task.id).toBe(id);
  });
});
