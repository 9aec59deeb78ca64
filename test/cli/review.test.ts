import { beforeAll, describe, expect, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { useGitRepos, writeFiles } from '../support/git-repos.js';
import { createReviewsClient, type ReviewsClient } from '../support/reviews-client.js';
import { sharedTestApp } from '../support/shared-app.js';
import { registerRepo } from '../support/tasks-client.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const inOneProcess = useOneProcess();
const repos = useGitRepos();
const app = sharedTestApp();
let reviews: ReviewsClient;

beforeAll(() => {
  reviews = createReviewsClient(app.current.url);
});

/** A task that has been started, and `muster review` in its work tree. */
async function setUp() {
  const root = repos.repo({ 'a.txt': 'one\ntwo\n' });
  const repo_id = await registerRepo(app.current.url, root);
  const { id } = await reviews.tasks.create({ repo_id });
  await reviews.tasks.start(id);
  const worktree = (await reviews.tasks.get(id)).vcs?.worktree_path ?? '';
  const env = { MUSTER_URL: app.current.url };
  const muster = (args: readonly string[], cwd = worktree) => inOneProcess(args, { env, cwd });
  const said = async (args: readonly string[], cwd = worktree): Promise<string> => {
    const { code, stdout, stderr } = await muster(args, cwd);
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
    return stdout.replace(/\n$/, '');
  };
  return { root, id, worktree, muster, said };
}

describe('muster review', () => {
  test('takes a task from the first submit to its end', { timeout: 120_000 }, async () => {
    const { root, id, worktree, muster, said } = await setUp();
    writeFiles(worktree, { 'a.txt': 'one\nTWO\n' });
    await said(['task', 'submit']);
    const { id: first = '', head_commit = '' } = (await reviews.active(id)) ?? {};
    expect(await said(['review', 'diff'])).toContain('\n-two\n+TWO');
    const made = await said([
      'review',
      'comment',
      '--file',
      'a.txt',
      '--line',
      '1-2',
      '--side',
      'left',
      '--body',
      'Why?',
    ]);
    const [comment] = await reviews.comments(first);
    expect(comment).toMatchObject({ side: 'Left', line_start: 1, line_end: 2, body: 'Why?' });
    expect(made).toBe(`a.txt:1-2 (left) ${comment?.id} Human\n  Why?`);
    expect(await said(['review', 'request-changes', '--summary', 'Not so.\nOtherwise.'])).toBe(
      `${first} is ChangesRequested`,
    );
    // Closed: it can be read, and nothing else.
    expect(await said(['review', 'show'])).toMatch(
      /status +ChangesRequested\n(.*\n)*summary +Not so\.\n +Otherwise\.\n/,
    );
    expect(await muster(['review', 'approve'])).toEqual({
      code: 1,
      stdout: '',
      stderr: `muster: not_found: ${id} has no open review; see muster review list\n`,
    });
    expect(await said(['review', 'resolve', comment?.id ?? ''])).toBe(`${comment?.id} is resolved`);
    writeFiles(worktree, { 'a.txt': 'one\n2\n' });
    await said(['task', 'submit']);
    expect(await said(['review', 'diff', id, '--since', first], root)).toContain('\n-TWO\n+2');
    expect(await muster(['review', 'approve', '--head-commit', head_commit])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('muster: stale: head_commit: ') as string,
    });
    const second = (await reviews.active(id))?.id ?? '';
    expect(await said(['review', 'approve', second], root)).toBe(`${second} is HumanPending`);
    expect(JSON.parse(await said(['review', 'approve', '--json']))).toEqual(await reviews.get(second));
    expect((await reviews.tasks.get(id)).task.status).toBe('Completed');
    const list = (await said(['review', 'list'])).split('\n').map((line) => line.split(/ {2,}/).slice(0, 2));
    expect(list).toEqual([
      ['ID', 'STATUS'],
      [first, 'ChangesRequested'],
      [second, 'Approved'],
    ]);
    expect(JSON.parse(await said(['review', 'list', '--json']))).toEqual(await reviews.list(id));
    expect(JSON.parse(await said(['review', 'show', first, '--json']))).toEqual({
      review: await reviews.get(first),
      comments: await reviews.comments(first),
      gate_results: [],
    });
    expect(await said(['review', 'show', first])).toContain(
      `\n\na.txt:1-2 (left) ${comment?.id} Human resolved\n  Why?`,
    );
  });

  test('says what is wrong', async () => {
    const { id, muster } = await setUp();
    expect(await muster(['review', 'show'])).toEqual({
      code: 1,
      stdout: '',
      stderr: `muster: not_found: ${id} was never submitted\n`,
    });
    for (const [args, stderr] of [
      [['--file', 'a', '--body', 'b', '--line', 'x'], "--line: 'x' is no line such as 12"],
      [['--file', 'a', '--body', 'b', '--side', 'top'], "--side: 'top' is neither left nor right"],
      [['--body', 'b'], '--file PATH is required'],
    ] as const) {
      expect(await muster(['review', 'comment', ...args])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining(stderr) as string,
      });
    }
  });
});
