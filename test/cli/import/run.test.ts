import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { createBeadsParser } from '../../../src/cli/import/beads.js';
import { applyImport, findImported } from '../../../src/cli/import/runner.js';
import { createMusterClient } from '../../../src/client/index.js';
import { useBuiltServer } from '../../support/built-server.js';
import { useGitRepos, writeFiles } from '../../support/git-repos.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { createTasksClient, registerRepo, type RestTask, type TasksClient } from '../../support/tasks-client.js';
import { runMuster, startMuster } from '../support/muster.js';
import { useOneProcess } from '../support/one-process.js';
import { dependency, issue, jsonl, planOf } from './plans.js';

useBuiltServer();
const inOneProcess = useOneProcess();
const repos = useGitRepos();
const app = sharedTestApp({ flags: { 'data-dir': path.join(repos.folder(), 'data') } });
let tasks: TasksClient;

beforeAll(() => {
  tasks = createTasksClient(app.current.url);
});

/** A registered repository with a plan in it, and `muster import` of that. */
async function setUp(format: 'beads' | 'task-master', content: string) {
  const root = repos.repo();
  const repoId = await registerRepo(app.current.url, root);
  const name = format === 'beads' ? 'issues.jsonl' : 'tasks.json';
  writeFiles(root, { [name]: content });
  const file = path.join(root, name);
  const args = ['import', format, file, '--repo', root];
  const env = { MUSTER_URL: app.current.url };
  const all = async (): Promise<readonly RestTask[]> => {
    const found: RestTask[] = [];
    for (let query: string | undefined = `?repo_id=${repoId}&limit=500`; query !== undefined;) {
      const page: Awaited<ReturnType<TasksClient['list']>> = await tasks.list(query);
      found.push(...page.tasks);
      query = page.next;
    }
    return found.reverse();
  };
  return {
    repoId,
    file,
    all,
    /** By the ids that they have in the file, in the order of their creation. */
    facts: async () => factsOf(await all()),
    run: (...more: string[]) => inOneProcess([...args, ...more], { env }),
    start: (...more: string[]) => startMuster([...args, ...more], { env }),
  };
}

function factsOf(all: readonly RestTask[]) {
  const names = new Map(all.map(({ id, context }) => [id, context?.split('\n')[0]?.split(' ').at(-1) ?? '']));
  return all.map(({ id, kind, parent_id: parent, blocked_by: blockers, priority, status }) => [
    names.get(id),
    kind,
    parent === null ? null : (names.get(parent) ?? parent),
    blockers.map((each) => names.get(each)),
    priority,
    status,
  ]);
}

const below = (id: string, parent: string) => dependency(id, parent, 'parent-child');
const beads = jsonl(
  issue('bd-2', { title: 'Release', issue_type: 'epic', priority: 1 }),
  issue('bd-2.1', { title: 'Write', dependencies: [below('bd-2.1', 'bd-2'), dependency('bd-2.1', 'bd-9')] }),
  issue('bd-2.1.1', { title: 'Parse', status: 'in_progress', dependencies: [below('bd-2.1.1', 'bd-2.1')] }),
  issue('bd-2.2', { title: 'Read', dependencies: [below('bd-2.2', 'bd-2'), dependency('bd-2.2', 'bd-2.1.1')] }),
  issue('bd-3', { title: 'Long ago', status: 'closed', dependencies: [below('bd-3', 'bd-2')] }),
  issue('bd-9', { title: 'Ask', priority: 0, dependencies: [dependency('bd-9', 'bd-3')] }),
);

describe('muster import beads', () => {
  test('shows what would be made, makes it, and makes it once', async () => {
    const { run, facts, repoId, file } = await setUp('beads', beads);
    const warning = `${file}:3: bd-2.1.1: status: warning: is 'in_progress' there, and Pending here\n`;
    expect(await run()).toEqual({
      code: 0,
      stdout: [
        'Release      Milestone  high    bd-2',
        '├─ Write     Task       normal  bd-2.1    after bd-9',
        '│  └─ Parse  Subtask    normal  bd-2.1.1',
        '└─ Read      Task       normal  bd-2.2    after bd-2.1.1',
        'Ask          Task       urgent  bd-9',
        '5 to create, 1 closed and left out, 1 dependency on what is done, 1 warning',
        '',
      ].join('\n'),
      stderr: `${warning}Nothing has been made; --apply makes it.\n`,
    });
    expect(await facts()).toEqual([]);

    const made = await run('--apply');
    expect(made).toMatchObject({ code: 0, stderr: warning });
    const expected = [
      ['bd-2', 'Milestone', null, [], 1, 'Pending'],
      ['bd-9', 'Task', null, [], 0, 'Pending'],
      ['bd-2.1', 'Task', 'bd-2', ['bd-9'], 2, 'Pending'],
      ['bd-2.1.1', 'Subtask', 'bd-2.1', [], 2, 'Pending'],
      ['bd-2.2', 'Task', 'bd-2', ['bd-2.1.1'], 2, 'Pending'],
    ];
    expect(await facts()).toEqual(expected);
    const [, next] = (await tasks.list(`?repo_id=${repoId}`)).tasks.reverse();
    expect(made.stdout.split('\n')[2]).toBe(`${next?.id} is bd-9`);

    const again = await run('--apply');
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).toBe('5 there already, 1 closed and left out, 1 dependency on what is done\n');
    expect(await facts()).toEqual(expected);
    const shown = JSON.parse((await run('--json')).stdout) as { tasks: { action: string; id: string }[] };
    expect(shown).toMatchObject({
      source: 'beads',
      repo_id: repoId,
      applied: false,
      counts: { create: 0, imported: 5 },
    });
    expect(shown.tasks.map(({ action }) => action)).toEqual(Array<string>(5).fill('none'));
  });

  test('killed on the way, it goes on where it was', { timeout: 120_000 }, async () => {
    const count = 120;
    const issues = Array.from({ length: count }, (_, n) =>
      issue(
        `bd-${n}`,
        n % 4 === 0
          ? {}
          : {
              dependencies: [
                below(`bd-${n}`, `bd-${n - (n % 4)}`),
                ...(n % 4 > 1 ? [dependency(`bd-${n}`, `bd-${n - 1}`)] : []),
              ],
            },
      ),
    );
    const { run, start, facts } = await setUp('beads', jsonl(...issues));
    const first = start('--apply');
    await first.line('some that are made', (line) => line.endsWith(' is bd-5'));
    first.kill('SIGKILL');
    expect((await first.ended).code).toBe('SIGKILL');
    const second = await run('--apply');
    expect(second).toMatchObject({ code: 0, stderr: '' });
    expect(second.stdout).toMatch(/^\d+ to create, \d+ there already\n/);
    const parentOf = (n: number) => (n % 4 === 0 ? null : `bd-${n - (n % 4)}`);
    expect(await facts()).toEqual(
      issues.map((_, n) => [
        `bd-${n}`,
        n % 4 === 0 ? 'Task' : 'Subtask',
        parentOf(n),
        n % 4 > 1 ? [`bd-${n - 1}`] : [],
        2,
        'Pending',
      ]),
    );
  });

  test('errors keep all of it back, unless they are skipped', async () => {
    const { run, facts, file } = await setUp(
      'beads',
      `{"id"\n${jsonl(issue('bd-1'), issue('bd-2', { priority: 'x' }))}`,
    );
    const problems = [
      `${file}:1: error: is no JSON`,
      `${file}:3: bd-2: priority: error: has to be a whole number from 0 to 4`,
    ];
    for (const [more, end] of [
      [[], '--apply would make nothing because of the errors; --skip-bad leaves out what is wrong.'],
      [['--apply'], 'Nothing has been made because of the errors; --skip-bad leaves out what is wrong.'],
    ] as const) {
      const { code, stderr } = await run(...more);
      expect([code, stderr.trimEnd().split('\n')]).toEqual([1, [...problems, end]]);
    }
    expect(await facts()).toEqual([]);
    expect(await run('--apply', '--skip-bad')).toMatchObject({ code: 0, stderr: `${problems.join('\n')}\n` });
    expect(await facts()).toEqual([['bd-1', 'Task', null, [], 2, 'Pending']]);
  });

  test('--with-closed closes what is closed there, once', async () => {
    const { run, facts } = await setUp(
      'beads',
      jsonl(
        issue('bd-1', { issue_type: 'epic', status: 'closed' }),
        issue('bd-1.1', { status: 'closed', dependencies: [below('bd-1.1', 'bd-1')] }),
        issue('bd-2', { dependencies: [dependency('bd-2', 'bd-1.1')] }),
      ),
    );
    expect(await run('--apply', '--with-closed')).toMatchObject({ code: 0, stderr: '' });
    const expected = [
      ['bd-1', 'Milestone', null, [], 2, 'Completed'],
      ['bd-1.1', 'Task', 'bd-1', [], 2, 'Completed'],
      ['bd-2', 'Task', null, ['bd-1.1'], 2, 'Pending'],
    ];
    expect(await facts()).toEqual(expected);
    expect(await run('--apply', '--with-closed')).toMatchObject({ code: 0, stderr: '' });
    expect(await facts()).toEqual(expected);
  });

  test('from stdin, into the repository of the current directory; a file that is not there', async () => {
    const { file, repoId, facts } = await setUp('beads', beads);
    const env = { MUSTER_URL: app.current.url };
    const cwd = path.dirname(file);
    const args = ['import', 'beads', '-', '--apply'];
    expect(await runMuster(args, { env, cwd, stdin: jsonl(issue('bd-1')) })).toMatchObject({ code: 0 });
    expect(await facts()).toEqual([['bd-1', 'Task', null, [], 2, 'Pending']]);
    expect(await inOneProcess(['import', 'beads', `${file}x`, '--repo', repoId], { env })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`FILE: '${file}x' ENOENT`) as string,
    });
  });
});

describe('muster import task-master', () => {
  const plan = {
    master: {
      tasks: [
        { id: 1, title: 'Begin', status: 'done', priority: 'high', dependencies: [], subtasks: [] },
        {
          id: 2,
          title: 'Build',
          status: 'pending',
          priority: 'high',
          dependencies: [1],
          subtasks: [
            { id: 1, title: 'One', status: 'pending', dependencies: [] },
            { id: 2, title: 'Two', status: 'cancelled', dependencies: ['2.1'] },
          ],
        },
        { id: 3, title: 'End', status: 'pending', priority: 'low', dependencies: [2, '2.2'], details: 'Well.' },
      ],
      metadata: { created: '2026-01-01T00:00:00.000Z' },
    },
  };

  test('shows what would be made, makes it below a milestone, and makes it once', async () => {
    const { run, facts, repoId, file } = await setUp('task-master', JSON.stringify(plan));
    const top = await tasks.create({ repo_id: repoId, kind: 'Milestone', context: 'Not from anywhere' });
    const warning = `${file}: 3: dependencies[1]: warning: waits for 2.2, which is cancelled; so it does not wait\n`;
    expect(await run('--milestone', top.id)).toEqual({
      code: 0,
      stdout: [
        'Build   Task     high  2',
        '└─ One  Subtask  high  2.1',
        'End     Task     low   3    after 2',
        '3 to create, 2 closed and left out, 1 dependency on what is done, 1 warning',
        '',
      ].join('\n'),
      stderr: `${warning}Nothing has been made; --apply makes it.\n`,
    });
    expect(await facts()).toHaveLength(1);
    const expected = [
      ['anywhere', 'Milestone', null, [], 2, 'Pending'],
      ['2', 'Task', 'anywhere', [], 1, 'Pending'],
      ['2.1', 'Subtask', '2', [], 1, 'Pending'],
      ['3', 'Task', 'anywhere', ['2'], 3, 'Pending'],
    ];
    for (const stderr of [warning, '']) {
      expect(await run('--milestone', top.id, '--apply')).toMatchObject({ code: 0, stderr });
      expect(await facts()).toEqual(expected);
    }
    expect(await run('--apply', '--with-closed')).toMatchObject({ code: 0 });
    expect((await facts()).slice(4)).toEqual([
      ['1', 'Task', null, [], 1, 'Completed'],
      ['2.2', 'Subtask', '2', [], 1, 'Cancelled'],
    ]);
    const [task] = (await tasks.list(`?repo_id=${repoId}&kind=Subtask`)).tasks;
    expect(await run('--milestone', task?.id ?? '')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`--milestone: ${task?.id} is a Subtask`) as string,
    });
  });

  test('killed on the way, it goes on where it was', { timeout: 120_000 }, async () => {
    const many = Array.from({ length: 40 }, (_, n) => ({
      id: n + 1,
      title: `Task ${n + 1}`,
      status: n % 2 === 0 ? 'pending' : 'done',
      dependencies: n === 0 ? [] : [n],
      subtasks: [1, 2].map((id) => ({
        id,
        title: 'x',
        status: n % 2 === 0 ? 'pending' : 'done',
        dependencies: id === 1 ? [] : [1],
      })),
    }));
    const { run, start, all } = await setUp('task-master', JSON.stringify({ tasks: many }));
    const first = start('--apply', '--with-closed');
    await first.line('some that are made', (line) => line.endsWith(' is Completed'));
    first.kill('SIGKILL');
    expect((await first.ended).code).toBe('SIGKILL');
    expect(await run('--apply', '--with-closed')).toMatchObject({ code: 0, stderr: '' });
    const found = await all();
    expect(new Set(found.map(({ context }) => context?.split('\n')[0])).size).toBe(120);
    expect([found.length, found.filter(({ status }) => status === 'Completed').length]).toEqual([120, 60]);
  });
});

describe('two imports at the same time, or one that does not see what is there', () => {
  const parser = () => {
    const read = createBeadsParser();
    jsonl(issue('bd-1'), issue('bd-2', { dependencies: [below('bd-2', 'bd-1')] }))
      .split('\n')
      .forEach((text, index) => read.add({ number: index + 1, text }));
    return planOf(read.plan());
  };

  test('make each task once; and anew when it has been deleted', async () => {
    const { repoId, all } = await setUp('beads', '');
    const client = createMusterClient({ url: app.current.url });
    try {
      const apply = () => applyImport(client, repoId, parser(), () => undefined);
      const [one, two] = await Promise.all([apply(), apply()]);
      expect(two).toEqual(one);
      expect((await all()).map(({ id }) => id)).toEqual([...one.values()]);
      await tasks.remove(one.get('bd-1') ?? '');
      expect(await all()).toEqual([]);
      const three = await apply();
      expect((await all()).map(({ id }) => id)).toEqual([...three.values()]);
      expect(await apply()).toEqual(three);
      expect([...(await findImported(client, repoId, 'beads')).keys()].sort()).toEqual(['bd-1', 'bd-2']);
      expect(await findImported(client, repoId, 'task-master')).toEqual(new Map());
    } finally {
      client.close();
    }
  });
});
