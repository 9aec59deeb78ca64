import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { createMusterClient, emptyLedgerState, reduceEvents } from '../../../src/client/index.js';
import { createGatesClient, type GatesClient, type RestGate, type RestGateResult } from '../../support/gates-client.js';
import { git, useGitRepos, writeFiles, type Files } from '../../support/git-repos.js';
import { createHelpClient } from '../../support/help-client.js';
import { refusal } from '../../support/jobs-client.js';
import { rest } from '../../support/rest.js';
import type { RestReview } from '../../support/reviews-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { registerRepo } from '../../support/tasks-client.js';
import { until } from '../../support/until.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';

const app = sharedTestApp();
const repos = useGitRepos();

interface Place {
  readonly client: GatesClient;
  readonly root: string;
  readonly repoId: string;
  /** A task that is started. */
  readonly id: string;
  readonly worktree: string;
  /** Submits with files that are new each time. */
  submit(files?: Files): Promise<RestReview>;
  add(command: string, input?: object): Promise<RestGate>;
}

let rounds = 0;

async function setUp(files: Files = { 'README.md': 'Hello\n', '.gitignore': '*.log\n' }): Promise<Place> {
  const { url } = app.current;
  const client = createGatesClient(url);
  const root = repos.repo(files);
  const repoId = await registerRepo(url, root);
  const { id } = await client.tasks.create({ repo_id: repoId });
  await client.tasks.start(id);
  const worktree = (await client.tasks.get(id)).vcs?.worktree_path ?? '';
  return {
    ...{ client, root, repoId, id, worktree },
    submit: (changed = { 'new.txt': `${(rounds += 1)}\n` }) => client.reviews.submit(id, changed),
    add: (command, input = {}) => client.add({ type: 'Task', id }, { command, ...input }),
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('what a gate is', () => {
  test('it is made, read, changed and removed', async () => {
    const { client, id, repoId } = await setUp();
    const gate = await client.add({ type: 'Task', id }, { name: 'lint', command: 'npm run lint', timeout_secs: 5 });
    expect(gate).toEqual({
      id: expect.stringMatching(/^gate_[0-9A-Z]{26}$/) as string,
      scope: { type: 'Task', id },
      ...{ source: 'Api', name: 'lint', command: 'npm run lint', timeout_secs: 5 },
      ...{ max_retries: 3, poll_interval_secs: 30, max_pending_secs: 86_400 },
      created_at: gate.created_at,
      updated_at: gate.created_at,
    });
    expect(await client.get(gate.id)).toEqual(gate);
    const changed = await client.update(gate.id, { max_retries: 1, name: null });
    expect(changed).toEqual({ ...gate, max_retries: 1, updated_at: changed.updated_at });
    expect(await client.list('task', id)).toEqual([changed]);
    expect(await client.list('repo', repoId)).toEqual([]);
    expect((await client.tasks.get(id)).gates).toEqual([changed]);
    expect(await client.remove(gate.id)).toEqual({ ok: true });
    expect(await refusal(client.get(gate.id))).toMatchObject({ error: 'not_found', code: 404 });
    expect(await client.list('task', id)).toEqual([]);
  });

  test('it is handed down, from the repository to the subtask', async () => {
    const { client, repoId } = await setUp();
    const milestone = await client.tasks.create({ repo_id: repoId, kind: 'Milestone' });
    const task = await client.tasks.create({ repo_id: repoId, parent_id: milestone.id });
    const subtask = await client.tasks.create({ repo_id: repoId, parent_id: task.id, kind: 'Subtask' });
    const scopes = [
      { type: 'Task', id: subtask.id },
      { type: 'Task', id: milestone.id },
      { type: 'Repo', id: repoId },
      { type: 'Task', id: task.id },
    ] as const;
    // Of one name: neither switches the other off.
    const [own, above, all, parents] = await Promise.all(scopes.map((scope) => client.add(scope, {})));
    expect(await client.effective(subtask.id)).toEqual([all, above, parents, own]);
    expect(await client.effective(task.id)).toEqual([all, above, parents]);
    expect(await client.effective(milestone.id)).toEqual([all, above]);
    expect((await client.tasks.get(subtask.id)).gates).toEqual([all, above, parents, own]);
  });

  test.each([
    [{ name: 'unit' }, { error: 'conflict', details: { field: 'name' } }],
    [{ name: '-x' }, { error: 'invalid_request', details: { field: 'name' } }],
    [
      { name: 'x', command: ' ' },
      { error: 'invalid_request', details: { field: 'command' } },
    ],
    [
      { name: 'x', timeout_secs: 0 },
      { error: 'invalid_request', details: { field: 'timeout_secs' } },
    ],
    [
      { name: 'x', scope: { type: 'Task', id: 'task_x' } },
      { error: 'invalid_request', details: { field: 'scope.id' } },
    ],
    [
      { name: 'x', scope: { id: 'task_x' } },
      { error: 'invalid_request', details: { field: 'scope.type' } },
    ],
  ])('%o is refused', async (input, expected) => {
    const { client, id } = await setUp();
    const gate = await client.add({ type: 'Task', id }, {});
    expect(await refusal(client.add({ type: 'Task', id }, input))).toMatchObject(expected);
    expect(await client.list('task', id)).toEqual([gate]);
  });

  test('while a review is open that has to pass it, it stays as it is', async () => {
    const { client, id, repoId, submit } = await setUp();
    const gates = [
      await client.add({ type: 'Repo', id: repoId }, { command: 'true' }),
      await client.add({ type: 'Task', id }, { command: 'true' }),
    ];
    const other = await client.tasks.create({ repo_id: repoId });
    const review = await submit();
    const expected = { error: 'review_open', code: 409, details: { review_ids: [review.id] } };
    for (const gate of gates) {
      expect(await refusal(client.update(gate.id, { command: 'false' }))).toMatchObject(expected);
      expect(await refusal(client.remove(gate.id))).toMatchObject(expected);
      expect(await refusal(client.add(gate.scope, { name: 'more' }))).toMatchObject(expected);
    }
    // It is none of the review's.
    await client.add({ type: 'Task', id: other.id }, {});
    await client.ended(review.id);
    expect(await refusal(client.remove(gates[0]?.id ?? ''))).toMatchObject(expected);
    await client.reviews.requestChanges(review.id);
    await client.remove(gates[0]?.id ?? '');
    expect(await client.effective(id)).toEqual([gates[1]]);
  });
});

describe('a verdict', () => {
  test('all pass: the review goes on, and each result names what it saw', async () => {
    const { client, id, root, submit, add } = await setUp();
    const gates = [await add('echo out; echo err >&2', { name: 'one' }), await add('true', { name: 'two' })];
    const review = await submit();
    expect(review).toMatchObject({ status: 'GatesPending', gates_completed_at: null });
    const after = await client.ended(review.id);
    expect(after.review).toMatchObject({ status: 'AgentPending', gates_completed_at: expect.any(String) as string });
    expect(after.results.map(({ gate_id }) => gate_id)).toEqual(gates.map((gate) => gate.id));
    expect(after.results[0]).toEqual({
      gate_id: gates[0]?.id,
      ...{ name: 'one', task_id: id, review_id: review.id, status: 'Passed', stdout: 'out\n', stderr: 'err\n' },
      ...{ exit_code: 0, attempt: 1, runs: 1, round: 1, next_run_at: null, command: 'echo out; echo err >&2' },
      head_commit: git(root, 'rev-parse', `task/${id}`),
      head_tree: git(root, 'rev-parse', `task/${id}^{tree}`),
      started_at: expect.any(String) as string,
      completed_at: expect.any(String) as string,
    });
    expect((await client.tasks.get(id)).task.status).toBe('InReview');
  });

  test('one fails: the task goes back with the output, and attempts count up to the last', async () => {
    const { client, id, submit, add } = await setUp();
    await add('echo checked; test -f good.txt || { echo no good.txt >&2; exit 3; }', { max_retries: 2 });
    const first = await client.ended((await submit()).id);
    expect(first.results).toMatchObject([{ status: 'Failed', exit_code: 3, attempt: 1 }]);
    expect(first.review.status).toBe('ChangesRequested');
    expect(first.review.summary).toBe("Gate 'unit' failed with exit code 3 (attempt 1 of 2).\nchecked\nno good.txt");
    expect((await client.tasks.get(id)).task.status).toBe('InProgress');

    const second = await client.ended((await submit()).id);
    expect(second.results).toMatchObject([{ status: 'Escalated', exit_code: 3, attempt: 2 }]);
    expect(second.review).toMatchObject({ status: 'GatesEscalated', gates_completed_at: null });
    expect((await client.tasks.get(id)).task.status).toBe('InReview');
    expect((await client.reviews.requestChanges(second.review.id)).status).toBe('ChangesRequested');

    const third = await client.ended((await submit({ 'good.txt': 'x\n' })).id);
    expect(third.results).toMatchObject([{ status: 'Passed', attempt: 3 }]);
    await client.reviews.requestChanges(third.review.id);
    const fourth = await client.ended((await submit({ 'good.txt': 'y\n' })).id);
    expect(fourth.results).toMatchObject([{ status: 'Passed', attempt: 1 }]);
  });

  test('a human lets an escalated one pass, or has the gates run again', async () => {
    const { client, root, submit, add } = await setUp();
    // Outside of what is submitted: what the gate depends on has been put right meanwhile.
    await add(`test -e '${root}/ready.log'`, { max_retries: 0 });
    const { review } = await client.ended((await submit()).id);
    expect(review.status).toBe('GatesEscalated');
    writeFileSync(path.join(root, 'ready.log'), '');
    expect(await client.rerun(review.id)).toEqual({ ok: true });
    const again = await client.ended(review.id);
    expect(again.review).toMatchObject({ id: review.id, status: 'AgentPending' });
    expect(again.results).toMatchObject([
      { status: 'Escalated', attempt: 1, round: 1 },
      { status: 'Passed', attempt: 1, round: 2 },
    ]);
    expect(await refusal(client.rerun(review.id))).toMatchObject({
      error: 'invalid_state',
      details: { from: 'AgentPending', to: 'GatesPending' },
    });
  });

  test('an escalated one that a human approves goes on to the agent', async () => {
    const { client, submit, add } = await setUp();
    await add('exit 1', { max_retries: 1 });
    const { review } = await client.ended((await submit()).id);
    const approved = await client.reviews.approve(review.id);
    expect(approved).toMatchObject({ status: 'AgentPending', gates_completed_at: expect.any(String) as string });
  });

  test('75 is asked again, until it is something else', async () => {
    const { client, worktree, submit, add } = await setUp();
    await add('echo x >> asked.log; test $(wc -l < asked.log) -ge 3 || exit 75', { poll_interval_secs: 1 });
    const { review, results } = await client.ended((await submit()).id);
    expect(review.status).toBe('AgentPending');
    expect(results).toMatchObject([{ status: 'Passed', attempt: 1, runs: 3, exit_code: 0 }]);
    expect(readFileSync(path.join(worktree, 'asked.log'), 'utf8')).toBe('x\nx\nx\n');
  });

  test('75 for too long is a timeout', async () => {
    const { client, submit, add } = await setUp();
    await add('exit 75', { poll_interval_secs: 1, max_pending_secs: 1 });
    const { review, results } = await client.ended((await submit()).id);
    expect(review.status).toBe('ChangesRequested');
    expect(results).toMatchObject([{ status: 'Timeout', exit_code: 75, runs: 2 }]);
    expect(results[0]?.stderr).toContain('after 1 s');
  });

  test('while the task waits for a human, the review waits, too', async () => {
    const { client, id, root, submit, add } = await setUp();
    const help = createHelpClient(app.current.url);
    await add(`until test -e '${root}/go.log'; do sleep 0.02; done; exit 1`);
    const review = await submit();
    const asked = await help.ask(id);
    writeFileSync(path.join(root, 'go.log'), '');
    const waiting = await client.ended(review.id);
    expect(waiting.results).toMatchObject([{ status: 'Failed' }]);
    expect(waiting.review.status).toBe('GatesPending');
    expect((await client.tasks.get(id)).task.status).toBe('AwaitingHuman');
    await help.respond(asked.id, { response: 'Go on.' });
    await help.resume(id);
    expect((await client.reviews.get(review.id)).status).toBe('ChangesRequested');
    expect((await client.tasks.get(id)).task.status).toBe('InProgress');
  });
});

describe('what is judged', () => {
  test('a gate that changes the work tree does not pass', async () => {
    const { client, submit, add } = await setUp();
    await add('echo more > made.txt');
    const { review, results } = await client.ended((await submit()).id);
    expect(review.status).toBe('ChangesRequested');
    expect(results).toMatchObject([{ status: 'Failed', exit_code: 0 }]);
    expect(results[0]?.stderr).toContain('made.txt');
    expect(review.summary).toMatch(
      /^Gate 'unit' ended with exit code 0, but the work tree is no longer as it was submitted \(attempt 1 of 3\)\.\n.*made\.txt/,
    );
  });

  test('a gate that deletes the work tree fails, and another one can be submitted after a start', async () => {
    const { client, worktree, submit, add } = await setUp();
    await add('rm -rf "$MUSTER_WORKTREE"');
    const { review, results } = await client.ended((await submit()).id);
    expect(review.status).toBe('ChangesRequested');
    expect(results[0]?.status).toBe('Failed');
    expect(existsSync(worktree)).toBe(false);
  });

  test('what was changed since the submit is not judged', async () => {
    const { client, worktree, root, submit, add } = await setUp();
    await add(`until test -e '${root}/go.log'; do sleep 0.02; done`, { name: 'slow' });
    const review = await submit();
    writeFiles(worktree, { 'README.md': 'Other\n' });
    writeFileSync(path.join(root, 'go.log'), '');
    const { results } = await client.ended(review.id);
    expect(results).toMatchObject([{ status: 'Failed' }]);
    expect(results[0]?.stderr).toContain('README.md');
  });

  test('approving what the branch has left behind is stale, and the gates run again', async () => {
    const { client, id, worktree, root, submit, add } = await setUp();
    await add('true');
    const { review } = await client.ended((await submit()).id);
    await client.reviews.approve(review.id);
    git(worktree, 'commit', '--quiet', '--allow-empty', '--message=Mine');
    const head = git(root, 'rev-parse', `task/${id}`);
    expect(await refusal(client.reviews.approve(review.id))).toMatchObject({
      error: 'stale',
      details: { head_commit: review.head_commit, branch_head: head },
    });
    const again = await client.ended(review.id);
    expect(again.review).toMatchObject({ id: review.id, status: 'AgentPending', head_commit: head });
    expect(again.review.agent_completed_at).toBeNull();
    expect(again.results).toMatchObject([
      { round: 1, head_commit: review.head_commit },
      { round: 2, head_commit: head, status: 'Passed' },
    ]);
    expect((await client.tasks.get(id)).vcs?.head_commit).toBe(head);
  });
});

describe('the file of the repository', () => {
  const file = '.muster/gates.toml';
  const gate = (name: string, command: string): string => `[[gate]]\nname = "${name}"\ncommand = "${command}"\n`;

  test('is read from the default branch, never from the work tree', async () => {
    const { client, id, repoId, root, submit } = await setUp({ [file]: gate('unit', 'exit 4') });
    const [listed] = await client.list('repo', repoId);
    expect(listed).toMatchObject({ source: 'File', name: 'unit', command: 'exit 4' });
    expect(await refusal(client.remove(listed?.id ?? ''))).toMatchObject({ error: 'conflict', details: { file } });
    const first = await client.ended((await submit({ [file]: '' })).id);
    expect(first.results).toMatchObject([{ gate_id: listed?.id, status: 'Failed', exit_code: 4 }]);

    writeFiles(root, { [file]: gate('unit', 'true') + gate('more', 'true') });
    git(root, 'commit', '--quiet', '--all', '--message=More');
    const second = await client.ended((await submit()).id);
    expect(second.review.status).toBe('AgentPending');
    expect(second.results.map(({ gate_id, name }) => [gate_id === listed?.id, name])).toEqual([
      [true, 'unit'],
      [false, 'more'],
    ]);
    expect((await client.effective(id)).map(({ name }) => name)).toEqual(['unit', 'more']);
  });

  test('is read from whatever has become the default branch', async () => {
    const { client, id, repoId, root, submit } = await setUp({ [file]: gate('unit', 'exit 4') });
    const commands = async () => (await client.effective(id)).map(({ command }) => command);
    expect(await commands()).toEqual(['exit 4']);
    git(root, 'branch', '--move', 'trunk');
    writeFiles(root, { [file]: gate('unit', 'true') + gate('more', 'true') });
    git(root, 'commit', '--quiet', '--all', '--message=More');
    git(root, 'branch', 'stable', 'trunk~1');
    // They do not go because somebody has renamed the branch.
    expect(await commands()).toEqual(['exit 4']);
    const change = (branch: string) =>
      rest(app.current.url, 'PATCH', `/api/repos/${repoId}`, { default_branch: branch });
    expect(await change('trunk')).toMatchObject({ status: 200 });
    const { review, results } = await client.ended((await submit()).id);
    expect(results.map(({ name, status }) => [name, status])).toEqual([
      ['unit', 'Passed'],
      ['more', 'Passed'],
    ]);
    await client.reviews.requestChanges(review.id);
    // Older than what was read last.
    expect(await change('stable')).toMatchObject({ status: 200 });
    expect((await client.ended((await submit()).id)).results).toMatchObject([{ name: 'unit', status: 'Failed' }]);
  });

  test('that cannot be read refuses the submit, with its place', async () => {
    const { client, id, root, submit } = await setUp({ [file]: gate('unit', 'true') + gate('unit', 'false') });
    const expected = { error: 'conflict', details: { file, commit: git(root, 'rev-parse', 'main') } };
    expect(await refusal(submit())).toMatchObject(expected);
    expect(await refusal(client.effective(id))).toMatchObject(expected);
    expect((await client.tasks.get(id)).task.status).toBe('InProgress');
    writeFiles(root, { [file]: gate('unit', 'true') });
    git(root, 'commit', '--quiet', '--all', '--message=Better');
    expect((await client.ended((await submit()).id)).review.status).toBe('AgentPending');
  });
});

describe('while it runs', () => {
  test('its output is there before it ends, on the stream and in the ledger', async () => {
    const { client, id, root, submit, add } = await setUp();
    await add(`echo first; until test -e '${root}/go.log'; do sleep 0.02; done; echo last >&2`);
    const review = await submit();
    const muster = createMusterClient({ url: app.current.url });
    const seen: string[] = [];
    for await (const { item } of muster.gates.watchGates({ reviewId: review.id })) {
      if (item.case === 'output') {
        seen.push(item.value.text);
        writeFileSync(path.join(root, 'go.log'), '');
      } else if (item.case === 'result') seen.push(String(item.value.status));
    }
    muster.close();
    expect(seen.filter((text) => !/^\d$/.test(text))).toEqual(['first\n', 'last\n']);
    expect((await client.reviews.get(review.id)).status).toBe('AgentPending');
    const printed = (await ledgerOf(app.current.url, (await client.tasks.get(id)).task.repo_id)).filter(
      ({ type }) => type === 'GateOutput',
    );
    expect(printed.map(({ payload }) => [payload['stream'], payload['text']])).toEqual([
      ['stdout', 'first\n'],
      ['stderr', 'last\n'],
    ]);
  });

  test('cancelling the task ends it, with all that it has started', async () => {
    const { client, id, root, submit, add } = await setUp();
    const pids = path.join(root, 'pids.log');
    await add(
      `setsid sleep 1000 & echo $! > '${pids}.part'; echo $$ >> '${pids}.part'; mv '${pids}.part' '${pids}'; wait`,
    );
    const review = await submit();
    await until('it runs', () => existsSync(pids));
    await client.tasks.cancel(id);
    expect(await client.results(review.id)).toMatchObject([{ status: 'Cancelled', exit_code: null }]);
    const [child = 0, shell = 0] = readFileSync(pids, 'utf8').trim().split('\n').map(Number);
    await until('both are gone', () => !isAlive(child) && !isAlive(shell));
    expect((await client.reviews.get(review.id)).status).toBe('ChangesRequested');
  });

  test('deleting the task ends it, too', async () => {
    const { client, id, root, submit, add } = await setUp();
    const pid = path.join(root, 'pid.log');
    await add(`echo $$ > '${pid}.part'; mv '${pid}.part' '${pid}'; exec sleep 1000`);
    await submit();
    await until('it runs', () => existsSync(pid));
    await client.tasks.remove(id);
    await until('it is gone', () => !isAlive(Number(readFileSync(pid, 'utf8'))));
  });
});

test('results come in pages, which end sooner when much was printed', async () => {
  const { submit, add } = await setUp();
  for (let n = 0; n < 12; n += 1) await add('yes | head -c 65536; yes | head -c 65536 >&2', { name: `gate-${n}` });
  const review = await submit();
  const client = createGatesClient(app.current.url);
  await client.ended(review.id);
  const names: string[][] = [];
  let next: string | undefined = `/api/gates/results/${review.id}?limit=11`;
  while (next !== undefined) {
    const answer = await rest(app.current.url, 'GET', next);
    expect(answer.status).toBe(200);
    names.push((answer.json as RestGateResult[]).map(({ name }) => name));
    next = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  // Eight of them have printed 1 MiB.
  expect(names.map((page) => page.length)).toEqual([8, 4]);
  expect(names.flat()).toEqual(Array.from({ length: 12 }, (_, n) => `gate-${n}`));
  for (const [query, field] of [
    ['limit=0', 'limit'],
    ['cursor=x', 'cursor'],
  ]) {
    const { json } = await rest(app.current.url, 'GET', `/api/gates/results/${review.id}?${query}`);
    expect(json).toMatchObject({ error: 'invalid_request', details: { field } });
  }
});

test('jobs of gates are nobody else’s', async () => {
  const { client, root, submit, add } = await setUp();
  await add(`until test -e '${root}/go.log'; do sleep 0.02; done`);
  const review = await submit();
  const { url } = app.current;
  const listed = (await rest(url, 'GET', '/v1/jobs?kind=muster.gate&status=queued&status=running')).json;
  const [{ id }] = listed as [{ readonly id: string }];
  const post = async (where: string, body: object) => (await rest(url, 'POST', where, body)).json;
  expect((await rest(url, 'DELETE', `/v1/jobs/${id}`)).json).toMatchObject({
    error: 'forbidden',
    details: { rule: 'own_jobs' },
  });
  const kind = 'muster.gate';
  expect(await post('/v1/jobs', { kind })).toMatchObject({ error: 'invalid_request', details: { field: 'kind' } });
  expect(await post('/v1/jobs/claim', { worker_id: 'x', kinds: [kind] })).toMatchObject({
    error: 'invalid_request',
    details: { field: 'kinds[0]' },
  });
  writeFileSync(path.join(root, 'go.log'), '');
  expect((await client.ended(review.id)).review.status).toBe('AgentPending');
});

test('the ledger tells all of it', async () => {
  const { client, id, repoId, submit, add } = await setUp();
  const kept = await add('exit 75', { name: 'kept', poll_interval_secs: 1, max_pending_secs: 1, max_retries: 1 });
  const gone = await client.add({ type: 'Repo', id: repoId }, { name: 'gone' });
  const { review } = await client.ended((await submit()).id);
  await client.rerun(review.id);
  await client.ended(review.id);
  await client.reviews.requestChanges(review.id);
  await client.update(kept.id, { command: 'sleep 1000' });
  const second = await submit();
  await client.tasks.setStatus(id, 'InProgress');
  await client.remove(gone.id);
  const state = reduceEvents(emptyLedgerState({ filtered: true }), await ledgerOf(app.current.url, repoId));
  expect([...state.gates.values()]).toEqual([await client.get(kept.id)]);
  for (const each of [review.id, second.id]) {
    const results = (await client.results(each)).map(({ stdout: _stdout, stderr: _stderr, ...rest }) => rest);
    expect(state.gateResults.get(each)).toEqual(results);
    expect(state.reviews.get(each)).toEqual(await client.reviews.get(each));
  }
});
