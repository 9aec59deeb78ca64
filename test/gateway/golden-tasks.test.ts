import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp } from '../support/app.js';
import { useGitRepos } from '../support/git-repos.js';
import { startRecording } from '../support/golden.js';
import { registerRepo } from '../support/tasks-client.js';

const repos = useGitRepos();
const nobody = 'task_01ARZ3NDEKTSV4RRFFQ69G5FAV';

async function setUp() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const { url } = await startTestApp({ clock });
  const root = repos.repo();
  const repo_id = await registerRepo(url, root);
  const { call, matches } = startRecording(url);
  const add = async (title: string, input: object): Promise<string> =>
    ((await call(title, 'POST', '/api/tasks', { repo_id, ...input })).json as { id: string }).id;
  const simple = (input: object = {}) => add('create', { kind: 'Task', description: 'd', ...input });
  return { clock, url, repo_id, call, matches, add, simple };
}

test('create, get and change', async () => {
  const { clock, repo_id, call, matches, add } = await setUp();
  const top = await add('a milestone', { kind: 'Milestone', description: 'Release 1', context: 'Mind the gap.' });
  const one = await add('a task with every field', {
    kind: 'Task',
    description: 'Write "it".\nAll of it.',
    parent_id: top,
    context: 'é',
    priority: 0,
    blocked_by: [],
  });
  const two = await add('one that waits', { kind: 'Task', description: 'd', parent_id: top, blocked_by: [one] });
  await add('nulls are as good as absent', {
    kind: 'Subtask',
    description: 'd',
    parent_id: two,
    context: null,
    priority: null,
    blocked_by: null,
  });
  await call('get', 'GET', `/api/tasks/${two}`);
  await call('nothing', 'POST', '/api/tasks', {});
  await call('no kind', 'POST', '/api/tasks', { repo_id, description: 'd' });
  await call('an unknown field', 'POST', '/api/tasks', { repo_id, kind: 'Task', description: 'd', status: 'Pending' });
  await call('a wrong parent', 'POST', '/api/tasks', { repo_id, kind: 'Subtask', description: 'd', parent_id: top });
  await call('no such parent', 'POST', '/api/tasks', { repo_id, kind: 'Subtask', description: 'd', parent_id: nobody });
  await call('no such blocker', 'POST', '/api/tasks', {
    repo_id,
    kind: 'Task',
    description: 'd',
    blocked_by: [nobody],
  });
  await call('no such repository', 'POST', '/api/tasks', { repo_id: nobody, kind: 'Task', description: 'd' });
  await call('a long description', 'POST', '/api/tasks', { repo_id, kind: 'Task', description: 'd'.repeat(16_385) });
  clock.advance(1000);
  await call('change one field', 'PATCH', `/api/tasks/${one}`, { priority: 3 });
  await call('clear one', 'PATCH', `/api/tasks/${one}`, { context: null });
  await call('change nothing', 'PATCH', `/api/tasks/${one}`, {});
  await call('clear what has to be there', 'PATCH', `/api/tasks/${one}`, { description: null });
  await call('what cannot be changed', 'PATCH', `/api/tasks/${one}`, { parent_id: null });
  await call('change nobody', 'PATCH', `/api/tasks/${nobody}`, { priority: 3 });
  await call('an unknown id', 'GET', `/api/tasks/${nobody}`);
  await call('a malformed id', 'GET', '/api/tasks/42');
  await call('delete', 'DELETE', `/api/tasks/${one}`);
  await call('delete again', 'DELETE', `/api/tasks/${one}`);
  await call('what it blocked', 'GET', `/api/tasks/${two}`);
  await matches('tasks');
});

test('lists, trees and progress', async () => {
  const { clock, repo_id, call, matches, simple, add } = await setUp();
  const top = await add('create', { kind: 'Milestone', description: 'Release' });
  for (let n = 0; n < 3; n++) {
    clock.advance(1000);
    await simple(n === 0 ? {} : { parent_id: top, priority: n });
  }
  const list = (title: string, query: string) => call(title, 'GET', `/api/tasks?${query}`);
  await list('all of the repository', `repo_id=${repo_id}`);
  await list('by kind and status', `kind=Task&kind=Subtask&status=Pending&status=InReview&ready=true&archived=false`);
  await list('roots', `repo_id=${repo_id}&parent_id=none`);
  await list('children', `parent_id=${top}&limit=1`);
  await list('none', 'status=Cancelled');
  const page = await list('a page', 'limit=3');
  const next = /<(.+)>/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
  expect((await call('the next page', 'GET', next)).json).toHaveLength(1);
  await list('no such repository', 'repo_id=none');
  await list('no such parent', `parent_id=${nobody}`);
  await list('no such status', 'status=Done');
  await list('a cursor of somebody else', 'cursor=x');
  await list('too many at a time', 'limit=501');
  await call('a tree', 'GET', `/api/tasks/tree?root_id=${top}`);
  await call('all trees', 'GET', `/api/tasks/tree?repo_id=${repo_id}`);
  await call('the tree of nobody', 'GET', `/api/tasks/tree?root_id=${nobody}`);
  await call('progress', 'GET', `/api/tasks/progress?repo_id=${repo_id}`);
  await call('progress of one', 'GET', `/api/tasks/progress?root_id=${top}`);
  await call('progress of nothing', 'GET', '/api/tasks/progress');
  await call('what is next', 'GET', `/api/tasks/next-ready?repo_id=${repo_id}`);
  await call('what is next in nothing', 'GET', '/api/tasks/next-ready');
  await matches('task-lists');
});

test('moves', async () => {
  const { clock, url, repo_id, call, matches, simple, add } = await setUp();
  const [one, two] = [await simple(), await simple()];
  const move = (title: string, id: string, verb: string, body: object = {}) =>
    call(title, 'POST', `/api/tasks/${id}/${verb}`, body);
  await move('block', two, 'block', { blocker_id: one });
  await move('block again', two, 'block', { blocker_id: one });
  await move('a cycle', one, 'block', { blocker_id: two });
  await move('blocked by nobody', one, 'block', { blocker_id: nobody });
  await move('start what waits', two, 'start');
  clock.advance(1000);
  await move('start', one, 'start');
  await move('start again', one, 'start');
  await move('submit nothing', one, 'submit');
  // Not recorded: where its work tree is differs from run to run, and so do commits.
  const worked = (await (await fetch(`${url}/api/tasks/${one}`)).json()) as { vcs: { worktree_path: string } };
  writeFileSync(path.join(worked.vcs.worktree_path, 'new.txt'), 'x');
  await move('submit', one, 'submit', { message: 'Mine' });
  await move('submit what is not in progress', two, 'submit');
  clock.advance(1000);
  await move('force-complete', one, 'force-complete');
  await move('cancel what is completed', one, 'cancel');
  await move('unblock', two, 'unblock', { blocker_id: one });
  const child = await add('create', { kind: 'Subtask', description: 'd', parent_id: two });
  await move('complete before its children', two, 'force-complete');
  await move('cancel with its children', two, 'cancel');
  await move('cancel again', two, 'cancel');
  await move('set a status', child, 'set-status', { status: 'Pending' });
  await move('set it again', child, 'set-status', { status: 'Pending' });
  await move('to what only help leads', child, 'set-status', { status: 'AwaitingHuman' });
  await move('to InReview without a review', child, 'set-status', { status: 'InReview' });
  await move('to nothing', child, 'set-status');
  await call('claim where none is ready', 'POST', '/api/tasks/claim-next', { repo_id });
  await call('claim nowhere', 'POST', '/api/tasks/claim-next', {});
  for (const verb of ['start', 'submit', 'cancel', 'force-complete']) await move(`${verb} nobody`, nobody, verb);
  await matches('task-moves');
});
