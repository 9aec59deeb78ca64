import { expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { bearer, makeToken } from '../access/support/tokens.js';
import { startTestApp } from '../support/app.js';
import { git, useGitRepos, writeFiles } from '../support/git-repos.js';
import { startRecording } from '../support/golden.js';
import { createReviewsClient } from '../support/reviews-client.js';
import { registerRepo } from '../support/tasks-client.js';

const repos = useGitRepos();
const nobody = 'rev_01ARZ3NDEKTSV4RRFFQ69G5FAV';
const noTask = 'task_01ARZ3NDEKTSV4RRFFQ69G5FAV';

/** A task in review: one line of a file of three is changed, and a file is new. */
async function setUp() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const { url } = await startTestApp({ clock });
  const root = repos.repo({ 'a.txt': 'one\ntwo\nthree\n' });
  const human = await makeToken({ url }, { role: 'human' });
  const agent = await makeToken({ url }, { role: 'agent', capabilities: ['reviews.agent'] }, human);
  const reviews = createReviewsClient(url, bearer(human));
  const repo_id = await registerRepo(url, root, bearer(human));
  const { id } = await reviews.tasks.create({ repo_id });
  await reviews.tasks.start(id);
  const worktree = (await reviews.tasks.get(id)).vcs?.worktree_path ?? '';
  const review = await reviews.submit(id, { 'a.txt': 'one\nTWO\nthree\n', 'new.txt': 'new\n' });
  const places = { [review.base_commit]: '<base>', [review.head_commit]: '<head>', [review.head_tree ?? '']: '<tree>' };
  const recording = startRecording(url, places);
  const call = (title: string, method: string, path: string, body?: unknown, who = human) =>
    recording.call(title, method, path, body, bearer(who));
  return { clock, url, reviews, agent, id, worktree, review, call, recording, places };
}

test('comments', async () => {
  const made = await setUp();
  const { clock, call, review, recording } = made;
  const add = (title: string, body: unknown) => call(title, 'POST', `/api/reviews/${review.id}/comments`, body);
  const on = { file_path: 'a.txt', side: 'Right', body: 'Why "TWO"?' };
  const { json } = await add('on a line', { ...on, line_start: 2 });
  const { id } = json as { id: string };
  await add('on lines of the left side', { ...on, side: 'Left', line_start: 1, line_end: 3 });
  await add('on a file', { ...on, file_path: 'new.txt', line_start: null, line_end: null });
  await add('nothing', {});
  await add('without a side', { file_path: 'a.txt', body: 'b' });
  await add('on no such side', { ...on, side: 'Middle' });
  await add('of nothing', { ...on, body: ' ' });
  await add('of too much', { ...on, body: 'b'.repeat(16_385) });
  await add('on a file that is not in the diff', { ...on, file_path: 'b.txt' });
  await add('on a line that there is not', { ...on, line_start: 4 });
  await add('beyond the last line', { ...on, line_start: 2, line_end: 4 });
  await add('on a side without lines', { ...on, file_path: 'new.txt', side: 'Left', line_start: 1 });
  await add('on line 0', { ...on, line_start: 0 });
  await add('from the end to the beginning', { ...on, line_start: 2, line_end: 1 });
  await add('to the end from nowhere', { ...on, line_end: 1 });
  await add('what cannot be set', { ...on, resolved_at: null });
  await call('on nobody', 'POST', `/api/reviews/${nobody}/comments`, on);
  clock.advance(1000);
  await call('resolve', 'POST', `/api/comments/${id}/resolve`, {});
  clock.advance(1000);
  await call('resolve again', 'POST', `/api/comments/${id}/resolve`, {});
  await call('resolve nobody', 'POST', `/api/comments/cmt_01ARZ3NDEKTSV4RRFFQ69G5FAV/resolve`, {});
  await call('resolve 42', 'POST', `/api/comments/42/resolve`, {});
  await call('list', 'GET', `/api/reviews/${review.id}/comments`);
  const page = await call('a page', 'GET', `/api/reviews/${review.id}/comments?limit=2`);
  const next = /<(.+)>/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
  expect((await call('the next page', 'GET', next)).json).toHaveLength(1);
  await call('too many at a time', 'GET', `/api/reviews/${review.id}/comments?limit=501`);
  await call('a cursor of somebody else', 'GET', `/api/reviews/${review.id}/comments?cursor=x`);
  await call('list nobody', 'GET', `/api/reviews/${nobody}/comments`);
  await recording.matches('comments');
});

test('from round to round', async () => {
  const made = await setUp();
  const { clock, reviews, agent, id, worktree, review, call, recording, places } = made;
  const post = (title: string, verb: string, of: string, body: unknown = {}, who?: typeof agent) =>
    call(title, 'POST', `/api/reviews/${of}/${verb}`, body, who);
  await call('get', 'GET', `/api/reviews/${review.id}`);
  await call('get the open one', 'GET', `/api/tasks/${id}/reviews/active`);
  await call('what is reviewed', 'GET', `/api/reviews/${review.id}/diff`);
  clock.advance(1000);
  const remark = { file_path: 'a.txt', side: 'Right', body: 'b', line_start: 1 };
  await post('request changes of what is not there', 'request-changes', review.id, {
    comments: [remark, { ...remark, line_start: 9 }],
    summary: 'No.',
  });
  await post('request changes', 'request-changes', review.id, { comments: [remark], summary: 'Not yet.' }, agent);
  await post('request them again', 'request-changes', review.id);
  await post('approve what is closed', 'approve', review.id);
  await post('comment on what is closed', 'comments', review.id, remark);
  await call('get what is open: nothing', 'GET', `/api/tasks/${id}/reviews/active`);
  clock.advance(1000);
  const second = await reviews.submit(id, { 'a.txt': 'one\n2\nthree\n' });
  places[second.head_commit] = '<head 2>';
  places[second.head_tree ?? ''] = '<tree 2>';
  await call('what has come between', 'GET', `/api/reviews/${second.id}/diff?since=${review.id}`);
  await call('since a later one', 'GET', `/api/reviews/${review.id}/diff?since=${second.id}`);
  await call('since nobody', 'GET', `/api/reviews/${second.id}/diff?since=${nobody}`);
  await call('the rounds', 'GET', `/api/tasks/${id}/reviews`);
  const page = await call('a page', 'GET', `/api/tasks/${id}/reviews?limit=1`);
  expect((await call('the next', 'GET', /<(.+)>/.exec(page.headers.get('link') ?? '')?.[1] ?? '')).json).toHaveLength(
    1,
  );
  await post('approve what was seen before', 'approve', second.id, { head_commit: review.head_commit });
  await post('approve half a commit', 'approve', second.id, { head_commit: 'abc' });
  clock.advance(1000);
  await post('approve', 'approve', second.id, { head_commit: second.head_commit }, agent);
  await post('approve as the wrong one', 'approve', second.id, {}, agent);
  writeFiles(worktree, { 'late.txt': 'x' });
  git(worktree, 'add', '--all');
  git(worktree, '-c', 'user.name=x', '-c', 'user.email=x@example.org', 'commit', '--quiet', '-m', 'Late');
  const late = git(worktree, 'rev-parse', 'HEAD');
  places[late] = '<late>';
  await post('approve while the branch is elsewhere', 'approve', second.id);
  await post('approve where it is', 'approve', second.id, {}, agent);
  const child = await reviews.tasks.create({
    repo_id: (await reviews.tasks.get(id)).task.repo_id,
    kind: 'Subtask',
    parent_id: id,
  });
  await post('approve before the children are done', 'approve', second.id);
  await reviews.tasks.cancel(child.id);
  clock.advance(1000);
  await post('approve as a human', 'approve', second.id);
  await post('approve again', 'approve', second.id);
  expect((await reviews.tasks.get(id)).task).toMatchObject({ status: 'Completed' });
  for (const path of [`/api/reviews/${nobody}`, '/api/reviews/42', `/api/reviews/${nobody}/diff`]) {
    await call('nobody', 'GET', path);
  }
  for (const path of ['reviews', 'reviews/active']) await call('no task', 'GET', `/api/tasks/${noTask}/${path}`);
  for (const verb of ['approve', 'request-changes']) await post(`${verb} nobody`, verb, nobody);
  await recording.matches('reviews');
});
