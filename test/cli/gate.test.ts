import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { useBuiltServer } from '../support/built-server.js';
import { createGatesClient, type RestGateResult } from '../support/gates-client.js';
import { useGitRepos, writeFiles } from '../support/git-repos.js';
import { openRelay } from '../support/relay.js';
import { sharedTestApp } from '../support/shared-app.js';
import { registerRepo } from '../support/tasks-client.js';
import { type Ended, startMuster } from './support/muster.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const repos = useGitRepos();
const app = sharedTestApp();
const run = useOneProcess();

/** A task that has been started, and `muster` in its work tree. */
async function setUp() {
  const { url } = app.current;
  const client = createGatesClient(url);
  const root = repos.repo({ 'a.txt': 'one\n' });
  const repoId = await registerRepo(url, root);
  const { id } = await client.tasks.create({ repo_id: repoId });
  await client.tasks.start(id);
  const worktree = (await client.tasks.get(id)).vcs?.worktree_path ?? '';
  const muster = (lines: readonly (readonly string[])[], cwd = worktree) =>
    Promise.all(lines.map((line) => run(line, { env: { MUSTER_URL: url }, cwd })));
  /** What each has said; all have to end well. */
  const said = async (lines: readonly (readonly string[])[], cwd = worktree): Promise<readonly string[]> => {
    const ended = await muster(lines, cwd);
    expect(ended.filter(({ code, stderr }) => code !== 0 || stderr !== '')).toEqual([]);
    return ended.map(({ stdout }) => stdout.replace(/\n$/, ''));
  };
  return { url, client, root, repoId, id, worktree, muster, said };
}

/** The words of each line of a table. */
function cells(table: string | undefined): string[][] {
  return (table ?? '').split('\n').map((line) => line.split(/ {2,}/));
}

function stdoutOf(ended: Ended | undefined, code: number): string {
  expect(ended).toMatchObject({ code, stderr: '' });
  return ended?.stdout ?? '';
}

describe('muster gate', () => {
  test('adds, lists, changes and removes those of a task and of a repository', async () => {
    const { client, root, repoId, id, muster, said } = await setUp();
    const [none, effective, own, all] = await said([
      ['gate', 'list'],
      ['gate', 'effective'],
      // In the work tree of a task, that is meant.
      ['gate', 'add', 'unit', '--command', 'npm test\nsecond', '--timeout', '90', '--max-retries', '0'],
      [
        'gate',
        'add',
        'lint',
        '--command',
        'true',
        '--repo',
        repoId,
        '--poll-interval',
        '1m',
        '--max-pending',
        '2h',
        '--json',
      ],
    ]);
    expect([none, effective]).toEqual([`${id} has no gates of its own.`, `${id} has no gates to pass.`]);
    const [unit] = await client.list('task', id);
    const [lint] = await client.list('repo', repoId);
    expect(unit).toMatchObject({ id: own, command: 'npm test\nsecond', timeout_secs: 90, max_retries: 0 });
    expect(JSON.parse(all ?? '')).toEqual(lint);
    expect(lint).toMatchObject({ poll_interval_secs: 60, max_pending_secs: 7200, timeout_secs: 300, max_retries: 3 });
    const [table, json, both, shown] = await said([
      ['gate', 'list'],
      ['gate', 'list', '--json'],
      ['gate', 'effective', id],
      ['task', 'show'],
    ]);
    const head = ['NAME', 'OF', 'FROM', 'TIMEOUT', 'ATTEMPTS', 'COMMAND', 'ID'];
    const row = ['unit', id, 'Api', '1 min 30 s', '1', 'npm test', unit?.id];
    expect(cells(table)).toEqual([head, row]);
    expect(JSON.parse(json ?? '')).toEqual([unit]);
    expect(cells(both)).toEqual([head, ['lint', repoId, 'Api', '5 min 0 s', '3', 'true', lint?.id], row]);
    expect(shown).toMatch(/^gates +lint {2}true\n +unit {2}npm test$/m);
    // Elsewhere in a repository, that is meant.
    const inRepo = await muster(
      [
        ['gate', 'set', 'lint', '--name', 'style', '--timeout', '5m', '--command', 'false'],
        ['gate', 'set', unit?.id ?? '', '--max-retries', '2', '--json'],
        ['gate', 'set', 'lint', '--name', 'x'],
        ['gate', 'remove', 'style'],
        ['gate', 'list'],
      ],
      root,
    );
    expect(inRepo.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
      [1, `muster: not_found: ${repoId} has no gate 'lint'; see muster gate list\n`],
      [0, ''],
      [0, ''],
    ]);
    const [renamed, , , removed, left] = inRepo.map(({ stdout }) => stdout);
    expect(renamed).toBe(`${lint?.id} is changed\n`);
    expect(JSON.parse(inRepo[1]?.stdout ?? '')).toEqual({
      ...unit,
      max_retries: 2,
      updated_at: (await client.get(own ?? '')).updated_at,
    });
    expect([removed, left]).toEqual([`${lint?.id} is removed\n`, `${repoId} has no gates of its own.\n`]);
  });

  test('shows what gates find, from the first failure to a human and to the pass', async () => {
    const { client, id, worktree, muster } = await setUp();
    writeFiles(worktree, { bad: '' });
    const first = await muster([
      ['gate', 'add', 'lint', '--command', 'true'],
      [
        'gate',
        'add',
        'unit',
        '--max-retries',
        '2',
        '--command',
        'echo in; printf "\\033[31mred\\033[0m" >&2; test ! -e bad || exit 3',
      ],
      ['gate', 'results'],
      ['task', 'submit'],
      ['gate', 'watch'],
      ['gate', 'results'],
      ['gate', 'results', '--json'],
      ['review', 'show'],
      ['gate', 'rerun'],
    ]);
    const [, , never, submitted, watched, results, json, shown, rerun] = first;
    expect(never).toMatchObject({ code: 1, stderr: `muster: not_found: ${id} was never submitted\n` });
    expect(stdoutOf(submitted, 0)).toBe(`${id} is InReview\ngates run: lint, unit; muster gate watch ${id}\n`);
    const [review] = await client.reviews.list(id);
    const lines = stdoutOf(watched, 1).trimEnd().split('\n');
    expect(lines).toContain('unit | in');
    expect(lines).toContain('unit | red');
    expect(lines).toContainEqual(expect.stringMatching(/^lint {3}Passed in \d\S* s, attempt 1$/));
    expect(lines.at(-2)).toMatch(/^unit {3}Failed with exit code 3 in \d\S* s, attempt 1$|^lint {3}Passed/);
    expect(lines.at(-1)).toBe(`${review?.id} is ChangesRequested`);
    const told = await client.results(review?.id ?? '');
    expect(JSON.parse(stdoutOf(json, 0))).toEqual(told);
    const [table, printed] = stdoutOf(results, 0).split('\n\n');
    expect(cells(table).map((row) => row.filter((_, index) => index !== 4))).toEqual([
      ['GATE', 'STATUS', 'ATTEMPT', 'EXIT', 'RUNS', 'ROUND', 'STARTED'],
      ['lint', 'Passed', '1', '0', '1', '1', told[0]?.started_at],
      ['unit', 'Failed', '1', '3', '1', '1', told[1]?.started_at],
    ]);
    expect(printed).toMatch(/^unit Failed with exit code 3 in .*\n {2}stdout\n {4}in\n {2}stderr\n {4}red\n$/);
    expect(stdoutOf(shown, 0)).toMatch(
      /^gates +lint {2}Passed in .*\n +unit {2}Failed with exit code 3 in .*\ngates_completed_at +20(.*\n)+summary +Gate 'unit' failed/m,
    );
    expect(rerun).toMatchObject({ code: 1, stderr: expect.stringContaining('has no open review') as string });

    const second = await muster([
      ['task', 'submit', '--allow-empty'],
      ['gate', 'watch', '--json'],
      ['gate', 'watch'],
      ['review', 'show'],
      ['gate', 'rerun'],
      ['gate', 'watch'],
    ]);
    const [, asJson, escalated, waits, again, afterwards] = second;
    const news = stdoutOf(asJson, 1)
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as News);
    const open = (await client.reviews.list(id))[1]?.id ?? '';
    const [, , ...round2] = await client.results(open);
    expect(news.filter(({ result }) => result !== undefined && result.completed_at !== null)).toHaveLength(2);
    const hint = /^A gate has failed as often as it may(.*\n)+.*muster gate rerun\.$/m;
    expect(stdoutOf(escalated, 1)).toMatch(hint);
    expect(stdoutOf(escalated, 1)).toMatch(
      /^unit \| in\nunit \| red\nunit {3}Escalated with exit code 3 in .*, attempt 2$/m,
    );
    expect(stdoutOf(waits, 0)).toMatch(hint);
    expect(stdoutOf(again, 0)).toBe(`${open} has its gates run again; follow them: muster gate watch ${open}\n`);
    // Of the round before nothing is told.
    expect(stdoutOf(afterwards, 1)).toMatch(/^unit {3}Failed with exit code 3 in .*, attempt 1$/m);
    expect(stdoutOf(afterwards, 1)).not.toContain('attempt 2');
    expect(round2.map(({ name, round, attempt }) => ({ name, round, attempt }))).toEqual([
      { name: 'lint', round: 2, attempt: 1 },
      { name: 'unit', round: 2, attempt: 1 },
    ]);

    rmSync(path.join(worktree, 'bad'));
    const third = await muster([
      ['task', 'submit'],
      ['gate', 'watch'],
      ['gate', 'results', '--output'],
      ['gate', 'remove', 'unit'],
    ]);
    expect(stdoutOf(third[1], 0)).toMatch(/^rev_\w+ is AgentPending$/m);
    expect(stdoutOf(third[2], 0)).toMatch(
      /\n\nlint Passed in .*\n {2}It has printed nothing\.\n\nunit Passed in .*\n {2}stdout\n {4}in\n/,
    );
    expect(third[3]).toMatchObject({ code: 1, stderr: expect.stringMatching(/^muster: review_open: /) as string });
  });

  test('has nothing to watch where there is no gate', async () => {
    const { id, worktree, client, said } = await setUp();
    writeFiles(worktree, { b: '' });
    const [submitted, watched, results, shown] = await said([
      ['task', 'submit'],
      ['gate', 'watch'],
      ['gate', 'results'],
      ['review', 'show'],
    ]);
    const review = (await client.reviews.active(id))?.id;
    expect(submitted).toBe(`${id} is InReview`);
    expect(watched).toBe(`${review} is AgentPending, and has no gates to pass`);
    expect(results).toBe(`${review} has no gates to pass.`);
    expect(shown).not.toContain('gates');
  });

  test('tells what a gate prints while it prints it, and nothing twice when the connection is lost', async () => {
    const { url, client, id, worktree } = await setUp();
    const signals = repos.folder();
    const wait = (name: string): string => `while [ ! -e ${path.join(signals, name)} ]; do sleep 0.05; done`;
    const command = `echo begun; ${wait('more')}; echo more; ${wait('go')}; echo "half; no end"; printf last`;
    await client.add({ type: 'Task', id }, { name: 'slow', command });
    await client.reviews.submit(id, { b: '' });
    const relay = await openRelay(url);
    const watch = startMuster(['gate', 'watch'], { env: { MUSTER_URL: relay.url }, cwd: worktree });
    await watch.line('the beginning', (line) => line === 'slow | begun');
    const asJson = startMuster(['gate', 'watch', '--json'], { env: { MUSTER_URL: url }, cwd: worktree });
    await asJson.line('the beginning', (line) => line.includes('begun'));
    relay.cut();
    writeFileSync(path.join(signals, 'more'), '');
    // By then it has been told anew what runs.
    await watch.line('more', (line) => line === 'slow | more');
    writeFileSync(path.join(signals, 'go'), '');
    const { code, stdout, stderr } = await watch.ended;
    expect(stderr).toMatch(/^muster: lost http:.*; trying again in .*\n$/);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines.filter((line) => line.includes('|')).map((line) => line.slice(7))).toEqual([
      'begun',
      'more',
      'half; no end',
      'last',
    ]);
    expect(lines.filter((line) => line.includes('Running'))).toHaveLength(1);
    expect(lines.at(-2)).toMatch(/^slow {3}Passed in /);
    expect(lines.at(-1)).toMatch(/^rev_\w+ is AgentPending$/);
    const told = (await asJson.ended).stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as News);
    const printed = told.map(({ output }) => output?.text ?? '').join('');
    expect(printed).toBe('begun\nmore\nhalf; no end\nlast');
    expect(told.map(({ result }) => result?.status).filter((status) => status !== undefined)).toEqual([
      'Running',
      'Passed',
    ]);
  });
});

interface News {
  readonly result?: RestGateResult;
  readonly output?: { readonly name: string; readonly text: string };
}
