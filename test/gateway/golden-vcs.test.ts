import { renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { bearer, makeToken } from '../access/support/tokens.js';
import { startTestApp } from '../support/app.js';
import { git, useGitRepos, writeFiles } from '../support/git-repos.js';
import { startRecording } from '../support/golden.js';
import { createTasksClient, registerRepo } from '../support/tasks-client.js';

const repos = useGitRepos();
const nobody = 'task_01ARZ3NDEKTSV4RRFFQ69G5FAV';

/** A server, and a repository with a file of three lines on `main`. Paths and commits have the same names in every run. */
async function setUp() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const { url, database } = await startTestApp({ clock });
  const root = repos.repo({ 'a.txt': 'one\ntwo\nthree\n' });
  const human = await makeToken({ url }, { role: 'human' });
  const agent = await makeToken({ url }, { role: 'agent', capabilities: ['tasks.execute'] }, human);
  const tasks = createTasksClient(url, bearer(human));
  const repo_id = await registerRepo(url, root, bearer(human));
  const places: Record<string, string> = { [root]: '<repository>', [git(root, 'rev-parse', 'main')]: '<base>' };
  const recording = startRecording(url, places);
  const call = (title: string, method: string, at: string, body?: unknown, who = human) => {
    clock.advance(1000);
    return recording.call(title, method, at, body, bearer(who));
  };

  /** A task in `repo`; later ones come later. */
  const create = async (input: object = {}, repo = repo_id): Promise<string> => {
    clock.advance(1000);
    return (await tasks.create({ repo_id: repo, ...input })).id;
  };
  /** The folder of a task, whose names are known from now on. */
  const folderOf = async (id: string): Promise<string> => {
    const folder = (await tasks.get(id)).vcs?.worktree_path ?? '';
    places[folder.slice(0, folder.indexOf('/worktrees/'))] = '<data>';
    return folder;
  };
  return { url, database, root, human, agent, tasks, repo_id, places, recording, call, create, folderOf };
}

test('what git has of tasks', async () => {
  const { root, agent, tasks, repo_id, places, recording, call, create, folderOf } = await setUp();
  const [one, two, never] = [await create(), await create(), await create()];
  for (const id of [one, two]) await tasks.start(id);
  const folder = await folderOf(one);
  const get = (title: string, id: string) => call(title, 'GET', `/api/vcs/task/${id}`);
  const diff = (title: string, id: string) => call(title, 'GET', `/api/vcs/diff/${id}`);
  const list = (title: string, query: string) => call(title, 'GET', `/api/vcs/task${query}`);
  const archive = (title: string, id: string, body: object = {}, who?: typeof agent) =>
    call(title, 'POST', `/api/vcs/task/${id}/archive`, body, who);

  await get('of one that was never started', never);
  await get('of one that is worked on', one);
  await get('of nobody', nobody);
  await get('of a malformed id', '42');
  await diff('the difference of one that was never started', never);
  await diff('no difference yet', one);
  writeFiles(folder, { 'a.txt': 'one\n2\nthree\n', 'new.bin': Buffer.from([0, 1, 2]) });
  await diff('of what is in the work tree', one);
  await tasks.submit(one, { message: 'Work' });
  const head = git(root, 'rev-parse', `task/${one}`);
  places[head] = '<head>';
  writeFiles(folder, { 'late.txt': 'Not submitted\n' });
  await diff('of what was submitted', one);
  await get('of one that was submitted', one);
  await diff('of nobody', nobody);

  await list('all', '');
  const page = await list('a page', `?repo_id=${repo_id}&limit=1`);
  const next = /<\/api\/vcs\/task(.+)>/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
  expect((await list('the next page', next)).json).toHaveLength(1);
  await list('none at a time', '?limit=0');
  await list('too many at a time', '?limit=501');
  await list('a cursor of somebody else', '?cursor=x');
  await list('of no such repository', '?repo_id=none');
  await list('by what cannot be asked for', '?status=Pending');

  await archive('archive what is not done', one);
  await tasks.cancel(never);
  await archive('archive what was never started', never);
  await tasks.complete(one);
  await archive('archive as an agent', one, {}, agent);
  await archive('archive with more than can be said', one, { force: true });
  await archive('archive', one);
  await archive('archive again', one);
  await tasks.cancel(two);
  await archive('archive what was never submitted', two);
  await archive('archive nobody', nobody);
  await diff('the difference of what is archived', one);
  await diff('of what is archived, and was never submitted', two);
  expect(git(root, 'rev-parse', `refs/muster/archive/${one}`)).toBe(head);
  await recording.matches('vcs');
});

test('starting', async () => {
  const { url, root, human, agent, tasks, repo_id, places, recording, call, create, folderOf, database } =
    await setUp();
  const start = (title: string, id: string, body: object = {}, who?: typeof agent) =>
    call(title, 'POST', `/api/tasks/${id}/start`, body, who);
  const claim = (title: string, body: object = { repo_id }) => call(title, 'POST', '/api/tasks/claim-next', body);
  git(root, 'commit', '--quiet', '--allow-empty', '--message=Second');
  places[git(root, 'rev-parse', 'main')] = '<second>';
  git(root, 'branch', 'release', 'main~1');

  const [one, two] = [await create(), await create({ description: 'Urgent', priority: 0 })];
  await start('at no such base', one, { base: 'nowhere' });
  await start('at what is no name', one, { base: 'a..b' });
  await start('at a base, as an agent', one, { base: 'release' }, agent);
  await start('with more than can be said', one, { branch: 'release' });
  await start('at a base', one, { base: 'release' });
  await start('again', one);
  await start('nobody', nobody);
  await folderOf(one);
  await call('what it has to know', 'GET', `/api/tasks/${one}`);
  await tasks.setStatus(one, 'Pending');
  await start('at another base than before', one, { base: 'main' });
  await start('as an agent, where it began', one, {}, agent);
  await claim('claim the most urgent');
  expect((await tasks.get(two)).task.status).toBe('InProgress');
  await claim('claim where none is ready');
  await claim('claim nowhere', {});

  const held = await create();
  await database.query(
    `INSERT INTO task_vcs (task_id, repo_id, state, holder, held_until, ref_name, created_at, updated_at)
      VALUES ('${held}', '${repo_id}', 'preparing', gen_random_uuid(), '2100-01-01Z', 'x', now(), now())`,
  );
  await start('what somebody else has in hands', held);
  const blocker = await create();
  await start('what waits', await create({ blocked_by: [blocker] }));

  const [unused, gone, blocked, renamed] = [repos.repo({}), repos.repo(), repos.repo(), repos.repo()];
  git(blocked, 'branch', 'task');
  places[blocked] = '<repository with a branch of that name>';
  places[unused] = '<repository without a commit>';
  places[gone] = '<repository that is gone>';
  places[renamed] = '<repository whose branch is called otherwise>';
  const of = (place: string): Promise<string> => registerRepo(url, place, bearer(human)).then((id) => create({}, id));
  await start('in a repository without a commit', await of(unused));
  await start('where a branch is in the way', await of(blocked));
  const [lost, branchless] = [await of(gone), await of(renamed)];
  git(renamed, 'branch', '--move', 'trunk');
  await start('in one whose default branch is gone', branchless);
  rmSync(gone, { recursive: true });
  await start('in one that is no longer there', lost);
  await recording.matches('task-start');
});

test('submitting', async () => {
  const { root, agent, tasks, recording, places, call, create, folderOf, database } = await setUp();
  const submit = (title: string, id: string, body: object = {}, who?: typeof agent) =>
    call(title, 'POST', `/api/tasks/${id}/submit`, body, who);
  const id = await create({ description: 'Do it.\nAll of it.' });
  await submit('what was not started', id);
  await tasks.setStatus(id, 'InProgress');
  await submit('what nobody has started', id);
  await tasks.setStatus(id, 'Pending');
  await tasks.start(id);
  const folder = await folderOf(id);
  await submit('nothing', id);
  await submit('with an empty message', id, { message: ' ' });
  await submit('with a long one', id, { message: 'm'.repeat(65_537) });
  await submit('with more than can be said', id, { files: ['a.txt'] });
  await submit('nobody', nobody);

  writeFiles(folder, { 'a.txt': 'changed\n', 'inner/b.txt': 'b\n' });
  git(path.join(folder, 'inner'), 'init', '--quiet');
  await submit('with a repository within', id);
  rmSync(path.join(folder, 'inner', '.git'), { recursive: true });
  git(folder, 'checkout', '--quiet', '-b', 'elsewhere');
  await submit('from another branch', id);
  git(folder, 'checkout', '--quiet', '--detach');
  const [short, commit] = [git(root, 'rev-parse', '--short=12', 'main'), git(root, 'rev-parse', 'main')];
  places[short] = '<base>';
  await submit('from no branch', id);
  git(folder, 'checkout', '--quiet', `task/${id}`);
  renameSync(folder, `${folder}-away`);
  await submit('without its files', id);
  renameSync(`${folder}-away`, folder);
  const holding = `UPDATE task_vcs SET state = 'committing', holder = gen_random_uuid(), held_until = '2100-01-01Z'`;
  await database.query(holding);
  await submit('what somebody else has in hands', id);
  await database.query("UPDATE task_vcs SET state = 'ready', holder = NULL, held_until = NULL");

  await submit('as an agent', id, {}, agent);
  expect(git(root, 'log', '-1', '--format=%B', `task/${id}`)).toBe(`Do it.\n\nTask: ${id}\n`);
  await submit('again', id);
  await tasks.setStatus(id, 'InProgress');
  await submit('what has been submitted already', id, { message: 'More' });
  const empty = await create();
  await tasks.start(empty);
  await submit('nothing, which is allowed', empty, { allow_empty: true });
  expect(git(root, 'rev-parse', `task/${empty}`)).toBe(commit);
  await recording.matches('task-submit');
});
