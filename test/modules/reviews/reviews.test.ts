import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { bearer, makeToken, type TestToken } from '../../access/support/tokens.js';
import { git, useGitRepos, writeFiles, type Files } from '../../support/git-repos.js';
import { createHelpClient } from '../../support/help-client.js';
import { refusal } from '../../support/jobs-client.js';
import { createLearningsClient } from '../../support/learnings-client.js';
import { createReviewsClient, type RestReview, type ReviewsClient } from '../../support/reviews-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { registerRepo } from '../../support/tasks-client.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';

const app = sharedTestApp();
const repos = useGitRepos();
let owner: TestToken;
let human: ReviewsClient;

beforeAll(async () => {
  owner = await makeToken(app.current, { role: 'human' });
  human = createReviewsClient(app.current.url, bearer(owner));
});

async function agentWith(input: object): Promise<ReviewsClient> {
  const token = await makeToken(app.current, { role: 'agent', ...input }, owner);
  return createReviewsClient(app.current.url, bearer(token));
}

const reviewing = { capabilities: ['reviews.agent'] };

/** A task in review. */
async function setUp(files: Files = { 'new.txt': 'new\n' }, before: Files = { 'README.md': 'Hello\n' }) {
  const root = repos.repo(before);
  const repo_id = await registerRepo(app.current.url, root, bearer(owner));
  const { id } = await human.tasks.create({ repo_id });
  await human.tasks.start(id);
  const worktree = (await human.tasks.get(id)).vcs?.worktree_path ?? '';
  const review = await human.submit(id, files);
  return { root, repo_id, id, worktree, review };
}

function commitIn(worktree: string, ...args: readonly string[]): void {
  const who = ['-c', 'user.name=x', '-c', 'user.email=x@example.org'];
  git(worktree, ...who, 'commit', '--quiet', '--allow-empty', '--message=Mine', ...args);
}

describe('what a review is of', () => {
  test('the commit and the tree, and where the task began', async () => {
    const { root, id, review } = await setUp();
    expect(review).toMatchObject({
      base_commit: git(root, 'rev-parse', 'main'),
      head_commit: git(root, 'rev-parse', `task/${id}`),
      head_tree: git(root, 'rev-parse', `task/${id}^{tree}`),
    });
    expect((await human.tasks.get(id)).review).toEqual(review);
  });

  test('rounds stay comparable when their commits are on no branch any more', async () => {
    const { root, id, worktree, review } = await setUp();
    await human.requestChanges(review.id);
    git(worktree, 'reset', '--hard', '--quiet', review.base_commit);
    const second = await human.submit(id, { 'other.txt': 'x\n' });
    expect(second.head_commit).not.toBe(review.head_commit);
    await human.approve(second.id);
    await human.approve(second.id);
    const { status } = await fetch(`${app.current.url}/api/vcs/task/${id}/archive`, {
      method: 'POST',
      headers: bearer(owner),
    });
    expect(status).toBe(200);
    git(root, 'reflog', 'expire', '--expire=now', '--all');
    git(root, 'gc', '--quiet', '--prune=now');
    expect((await human.diff(review.id)).files.map((file) => file.path)).toEqual(['new.txt']);
    const between = await human.diff(second.id, `?since=${review.id}`);
    expect(between).toMatchObject({ base: review.head_commit, head: second.head_commit });
    expect(between.files.map((file) => file.path).sort()).toEqual(['new.txt', 'other.txt']);
    expect(await human.list(id)).toEqual([await human.get(review.id), await human.get(second.id)]);
  });
});

describe('stale', () => {
  test('when the branch has moved on, in either phase, and the review begins anew with where it is', async () => {
    const { id, worktree, review } = await setUp();
    const agent = await agentWith(reviewing);
    commitIn(worktree);
    const moved = git(worktree, 'rev-parse', 'HEAD');
    expect(await refusal(agent.approve(review.id))).toMatchObject({
      error: 'stale',
      code: 409,
      details: { head_commit: review.head_commit, branch_head: moved },
    });
    const begun = await human.get(review.id);
    expect(begun).toEqual({
      ...review,
      head_commit: moved,
      head_tree: git(worktree, 'rev-parse', 'HEAD^{tree}'),
      gates_completed_at: begun.updated_at,
      updated_at: begun.updated_at,
    });
    expect((await human.tasks.get(id)).vcs?.head_commit).toBe(moved);
    const approved = await agent.approve(review.id, { head_commit: moved });
    expect(approved).toMatchObject({ status: 'HumanPending', head_commit: moved });
    commitIn(worktree);
    expect(await refusal(human.approve(review.id))).toMatchObject({ error: 'stale' });
    expect(await human.get(review.id)).toMatchObject({ status: 'AgentPending', agent_completed_at: null });
    expect((await human.tasks.get(id)).task.status).toBe('InReview');
    await human.approve(review.id);
    expect((await human.approve(review.id)).status).toBe('Approved');
    expect((await human.get(review.id)).head_commit).toBe(git(worktree, 'rev-parse', 'HEAD'));
  });

  test('when the reviewer has seen another commit, and nothing is changed', async () => {
    const { review } = await setUp();
    const seen = review.base_commit;
    expect(await refusal(human.approve(review.id, { head_commit: seen }))).toMatchObject({
      error: 'stale',
      details: { field: 'head_commit', head_commit: review.head_commit, seen },
    });
    expect(await human.get(review.id)).toEqual(review);
  });

  test('when the branch is gone', async () => {
    const { root, id, worktree, review } = await setUp();
    git(worktree, 'checkout', '--quiet', '--detach');
    git(root, 'branch', '--quiet', '-D', `task/${id}`);
    expect(await refusal(human.approve(review.id))).toMatchObject({ error: 'stale', details: { branch_head: null } });
  });
});

describe('separation of duties', () => {
  const own = { error: 'forbidden', code: 403, details: { rule: 'separation_of_duties' } };

  async function expectRefused(agent: ReviewsClient, review: RestReview): Promise<void> {
    const [before, comments] = [await human.get(review.id), await human.comments(review.id)];
    const comment = await human.comment(review.id, { file_path: 'new.txt' });
    for (const call of [
      () => agent.approve(review.id),
      () => agent.requestChanges(review.id),
      () => agent.comment(review.id, { file_path: 'new.txt' }),
      () => agent.resolve(comment.id),
    ]) {
      expect(await refusal(call())).toMatchObject(own);
    }
    expect([await human.get(review.id), await human.comments(review.id)]).toEqual([before, [...comments, comment]]);
  }

  test('nobody reviews the task that their token is for', async () => {
    const { id, review } = await setUp();
    await expectRefused(await agentWith({ ...reviewing, task_id: id }), review);
    const other = await agentWith({ ...reviewing, task_id: (await setUp()).id });
    expect((await other.approve(review.id)).status).toBe('HumanPending');
  });

  test('nobody reviews what they have started or submitted, in any round', async () => {
    const both = { capabilities: ['reviews.agent', 'tasks.execute'] };
    const [starter, submitter] = [await agentWith(both), await agentWith(both)];
    const repo_id = await registerRepo(app.current.url, repos.repo(), bearer(owner));
    const { id } = await human.tasks.create({ repo_id });
    await starter.tasks.start(id);
    const review = await submitter.submit(id, { 'new.txt': 'x' });
    await expectRefused(starter, review);
    await expectRefused(submitter, review);
    await human.requestChanges(review.id);
    const second = await human.submit(id, { 'new.txt': 'y' });
    expect(await refusal(submitter.approve(second.id))).toMatchObject(own);
  });

  test('a human may do both, and is not told the rule', async () => {
    const { review } = await setUp();
    await human.approve(review.id);
    expect((await human.approve(review.id)).status).toBe('Approved');
  });
});

describe('phases', () => {
  test('an agent acts in its own only', async () => {
    const { review } = await setUp();
    const agent = await agentWith(reviewing);
    const comment = await agent.comment(review.id, { file_path: 'new.txt' });
    expect(comment.author).toBe('Agent');
    await human.approve(review.id);
    const refused = { error: 'forbidden', details: { rule: 'agent_phase_only', status: 'HumanPending' } };
    expect(await refusal(agent.approve(review.id))).toMatchObject(refused);
    expect(await refusal(agent.requestChanges(review.id))).toMatchObject(refused);
    expect(await refusal(agent.comment(review.id, { file_path: 'new.txt' }))).toMatchObject(refused);
    expect((await human.comment(review.id, { file_path: 'new.txt' })).author).toBe('Human');
    // It is dealt with, whoever's turn it is.
    expect((await agent.resolve(comment.id)).resolved_at).not.toBeNull();
  });

  test('while the task waits for an answer the review keeps its phase', async () => {
    const { id, review } = await setUp();
    const help = createHelpClient(app.current.url, bearer(owner));
    const asked = await help.ask(id);
    for (const call of [() => human.approve(review.id), () => human.requestChanges(review.id)]) {
      expect(await refusal(call())).toMatchObject({
        error: 'invalid_state',
        details: { from: 'AgentPending', task_status: 'AwaitingHuman' },
      });
    }
    await human.comment(review.id, { file_path: 'new.txt' });
    expect(await human.active(id)).toEqual(review);
    await help.respond(asked.id);
    await help.resume(id);
    expect((await human.approve(review.id)).status).toBe('HumanPending');
  });

  test('an approval releases what the task blocked, and hands its learnings up', async () => {
    const { repo_id } = await setUp();
    const top = await human.tasks.create({ repo_id, kind: 'Milestone' });
    const { id } = await human.tasks.create({ repo_id, parent_id: top.id });
    await human.tasks.start(id);
    const review = await human.submit(id, { f: 'x' });
    const waiting = await human.tasks.create({ repo_id, blocked_by: [id] });
    const learnings = createLearningsClient(app.current.url, bearer(owner));
    await learnings.add(id, 'It is so.');
    await human.approve(review.id);
    await human.approve(review.id);
    expect((await human.tasks.get(waiting.id)).task.effectively_blocked).toBe(false);
    expect(await learnings.list(top.id)).toMatchObject([{ content: 'It is so.', source_task_id: id }]);
    const told = (await ledgerOf(app.current.url, repo_id, bearer(owner))).filter((event) => event.task_id === id);
    expect(
      told
        .map(({ type }) => type)
        .filter((type) => type !== 'LearningBubbled')
        .slice(-3),
    ).toEqual(['ReviewPhaseChanged', 'TaskCompleted', 'ReviewApproved']);
    for (const event of told.filter(({ type }) => /^Review(Phase|Approved)/.test(type))) {
      expect(event.payload).toMatchObject({ head_commit: review.head_commit, head_tree: review.head_tree });
    }
  });
});

describe('comments are on what the diff has', () => {
  const lines = (count: number): string => Array.from({ length: count }, (_, n) => `line ${n + 1}\n`).join('');
  const before = { 'long.txt': lines(100), 'old name.txt': lines(20), 'gone.txt': 'a\nb', 'same.txt': 'x\n' };

  test.each([
    ['a line far from the hunks', { file_path: 'long.txt', line_start: 101 }, undefined],
    ['a line after the last', { file_path: 'long.txt', line_start: 102 }, 'line_start'],
    ['the other side, which is shorter', { file_path: 'long.txt', side: 'Left', line_start: 101 }, 'line_start'],
    ['a renamed file', { file_path: 'new: name*.txt', line_start: 21 }, undefined],
    ['a renamed file as it was', { file_path: 'new: name*.txt', side: 'Left', line_start: 20 }, undefined],
    [
      'lines that it did not have',
      { file_path: 'new: name*.txt', side: 'Left', line_start: 20, line_end: 21 },
      'line_end',
    ],
    ['the old name', { file_path: 'old name.txt' }, 'file_path'],
    ['a last line without an end', { file_path: 'gone.txt', side: 'Left', line_start: 2 }, undefined],
    ['a file that is gone', { file_path: 'gone.txt', line_start: 1 }, 'line_start'],
    ['that it is gone', { file_path: 'gone.txt' }, undefined],
    ['a binary file', { file_path: 'bin', line_start: 1 }, 'line_start'],
    ['a binary file as a whole', { file_path: 'bin' }, undefined],
    ['an empty file', { file_path: 'empty', line_start: 1 }, 'line_start'],
    ['a symbolic link', { file_path: 'link', line_start: 1 }, undefined],
    ['a file that is as it was', { file_path: 'same.txt' }, 'file_path'],
    ['a folder', { file_path: '.' }, 'file_path'],
    ['a pattern', { file_path: '*.txt' }, 'file_path'],
  ])('%s', async (_, input, field) => {
    const { review } = await shared;
    if (field === undefined) expect(await human.comment(review.id, input)).toMatchObject(input);
    else {
      expect(await refusal(human.comment(review.id, input))).toMatchObject({
        error: 'invalid_request',
        details: { field },
      });
    }
  });

  let shared: Promise<{ review: RestReview }>;
  beforeAll(() => {
    shared = (async () => {
      const { id, worktree, review } = await setUp({ x: 'x' }, before);
      await human.requestChanges(review.id);
      git(worktree, 'mv', 'old name.txt', 'new: name*.txt');
      git(worktree, 'rm', '--quiet', 'gone.txt');
      writeFiles(worktree, { 'new: name*.txt': `${lines(20)}more\n`, bin: Buffer.from([0, 1, 10, 2]), empty: '' });
      symlinkSync('same.txt', path.join(worktree, 'link'));
      return { review: await human.submit(id, { 'long.txt': lines(100).replace('line 3\n', 'LINE\n3\n') }) };
    })();
  });
});
