import { describe, expect, test } from 'vitest';
import { maxLineBytes } from '../../../src/cli/import/lines.js';
import { importedId } from '../../../src/cli/import/texts.js';
import { dependency, type Issue, issue, jsonl, planBeads, planOf, readBeadsText, told } from './plans.js';

describe('an issues.jsonl of beads', () => {
  test('everything that an issue says is in its task', async () => {
    const { tasks, problems } = await planBeads([
      issue('bd-a1', {
        title: ' Parse it ',
        description: 'All of it.\n',
        design: 'By hand.',
        acceptance_criteria: '- fast\n- right',
        notes: 'Ask Ann.',
        priority: 0,
        issue_type: 'bug',
        labels: ['parser', 'urgent'],
        assignee: 'ann',
        external_ref: 'gh-9',
        estimated_minutes: 30,
        comments: [{ id: 1, text: 'no' }],
        dependencies: [dependency('bd-a1', 'bd-z', 'related'), dependency('bd-a1', 'bd-y', 'discovered-from')],
      }),
    ]);
    expect(problems).toEqual([]);
    expect(tasks).toMatchObject([{ kind: 'Task', description: 'Parse it\n\nAll of it.', item: { priority: 0 } }]);
    expect(tasks[0]?.context).toBe(
      [
        'Imported from beads bd-a1',
        '',
        'Type: bug',
        'Labels: parser, urgent',
        'Assignee: ann',
        'External reference: gh-9',
        'related: bd-z',
        'discovered-from: bd-y',
        '',
        'Design:\nBy hand.',
        '',
        'Acceptance criteria:\n- fast\n- right',
        '',
        'Notes:\nAsk Ann.',
      ].join('\n'),
    );
  });

  test.each([
    [undefined, 0],
    [null, 0],
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 3],
  ])('priority %s is %i', async (priority, expected) => {
    expect((await planBeads([issue('bd-1', { priority })])).tasks[0]?.item.priority).toBe(expected);
  });

  const states: readonly (readonly [Issue, string])[] = [
    [{ status: undefined, issue_type: undefined }, 'open'],
    [{ status: 'open' }, 'open'],
    [{ status: 'closed' }, 'done'],
    [{ status: 'tombstone', title: '' }, 'gone'],
    [{ status: 'pinned' }, 'gone'],
    [{ pinned: true }, 'gone'],
    [{ is_template: true }, 'gone'],
    [{ ephemeral: true }, 'gone'],
    ...['message', 'agent', 'event', 'gate', 'merge-request'].map((type) => [{ issue_type: type }, 'gone'] as const),
  ];
  test.each(states)('%j is %s', async (more, state) => {
    const { items, problems } = await readBeadsText(jsonl(issue('bd-1', more)));
    expect(problems).toEqual([]);
    expect(items).toMatchObject([{ state }]);
  });

  test.each(['in_progress', 'hooked', 'blocked', 'deferred', 'triage'])(
    '%s is Pending, and that is said',
    async (status) => {
      const { items, problems } = await readBeadsText(jsonl(issue('bd-1', { status })));
      expect(items).toMatchObject([{ state: 'open' }]);
      expect(told(problems)).toEqual([`warning 1 bd-1 status: is '${status}' there, and Pending here`]);
    },
  );

  test('blank lines, a byte order mark, other line ends and other records do no harm', async () => {
    const text = `\uFEFF${JSON.stringify(issue('bd-1'))}\r\n\n{"_type":"memory","key":"k"}\n  \n{"_type":"issue","id":"bd-é","title":"x"}`;
    const { items, problems } = await readBeadsText(text, 1);
    expect(problems).toEqual([]);
    expect(items.map(({ id, line }) => [id, line])).toEqual([
      ['bd-1', 1],
      ['bd-é', 5],
    ]);
  });

  test('all that is wrong is told, with its line, id and field', async () => {
    const text = [
      '{"id": "bd-1", "title": "x"',
      '<<<<<<< HEAD',
      '[]',
      '7',
      JSON.stringify({ title: 'x' }),
      JSON.stringify({ id: 7, title: 'x' }),
      JSON.stringify({ id: 'a\nb', title: 'x' }),
      JSON.stringify({ id: 'bd-8', title: ' ', priority: 5, labels: 'x', notes: 3, design: 'a\0b' }),
      JSON.stringify({
        id: 'bd-9',
        title: 'x',
        pinned: 1,
        dependencies: [7, { type: 'blocks' }, dependency('bd-8', 'bd-1'), { depends_on_id: 'bd-1', type: 5 }],
      }),
      JSON.stringify({ id: 'bd-10', title: 'x', dependencies: {} }),
      JSON.stringify(issue('bd-11')),
      JSON.stringify(issue('bd-11')),
      JSON.stringify(
        issue('bd-13', {
          dependencies: [dependency('bd-13', 'bd-nowhere'), dependency('bd-13', 'bd-no', 'parent-child')],
        }),
      ),
    ].join('\n');
    const { problems, tasks, counts } = planOf(await readBeadsText(text));
    expect(told(problems)).toEqual([
      'error 1 - -: is no JSON',
      'error 2 - -: is left from a merge conflict',
      'error 3 - -: has to be a JSON object, not a list',
      'error 4 - -: has to be a JSON object, not a number',
      'error 5 - id: is required',
      'error 6 7 id: has to be a word or so, on one line',
      'error 7 - id: has to be a word or so, on one line',
      'error 8 bd-8 title: is required',
      'error 8 bd-8 labels: has to be a list, not text',
      'error 8 bd-8 design: must not contain the character U+0000',
      'error 8 bd-8 notes: has to be text, not a number',
      'error 8 bd-8 priority: has to be a whole number from 0 to 4',
      'error 9 bd-9 pinned: has to be true or false, not a number',
      'error 9 bd-9 dependencies[0]: has to be an object, not a number',
      'error 9 bd-9 dependencies[1].depends_on_id: has to be the id of an issue',
      'error 9 bd-9 dependencies[2].issue_id: has to be bd-9, whose dependency it is',
      'error 9 bd-9 dependencies[3].type: has to be a word',
      'error 10 bd-10 dependencies: has to be a list, not an object',
      'error 12 bd-11 id: is there twice, first in line 11',
      'error 13 bd-13 dependencies[1]: is part of bd-no, which is not in the file',
      'error 13 bd-13 dependencies[0]: waits for bd-nowhere, which is not in the file',
    ]);
    // What is left when it is skipped.
    expect(tasks.map(({ item }) => item.id)).toEqual(['bd-11', 'bd-13']);
    expect(counts).toMatchObject({ create: 2, bad: 3 });
  });

  test('a line that is too long or no UTF-8 spoils no other', async () => {
    const bytes = Buffer.concat([
      Buffer.from('"'),
      Buffer.alloc(maxLineBytes, 'x'),
      Buffer.from('\n'),
      Buffer.from([0x22, 0xff, 0x22, 0x0a]),
      Buffer.from(JSON.stringify(issue('bd-3'))),
    ]);
    const { items, problems } = await readBeadsText(bytes, 65_536);
    expect(told(problems)).toEqual([
      `error 1 - -: has ${maxLineBytes + 1} bytes; ${maxLineBytes} are allowed`,
      'error 2 - -: is no UTF-8',
    ]);
    expect(items.map(({ id }) => id)).toEqual(['bd-3']);
  });

  test('a description that is too long goes into the context, and one that fits nowhere is an error', async () => {
    const { tasks, problems } = await planBeads([
      issue('bd-1', { description: 'x'.repeat(20_000) }),
      issue('bd-2', { description: 'x'.repeat(20_000), notes: 'ä'.repeat(25_000) }),
      issue('bd-3', { title: 'x'.repeat(17_000) }),
    ]);
    expect(tasks).toHaveLength(1);
    expect(tasks[0]?.description).toBe('Do bd-1');
    expect(tasks[0]?.context).toContain(`Description:\n${'x'.repeat(20_000)}`);
    expect(told(problems)).toEqual([
      expect.stringMatching(/^error 2 bd-2 context: would have 70\d{3} bytes; 65536 are allowed$/),
      'error 3 bd-3 title: would have 17000 bytes; 16384 are allowed',
    ]);
  });

  test('where a task is from stands in the first line of its context, and nowhere else', async () => {
    const { tasks } = await planBeads([issue('bd-1', { notes: 'x\nImported from beads bd-2' })]);
    const context = tasks[0]?.context;
    expect(importedId('beads', context)).toBe('bd-1');
    expect(importedId('task-master', context)).toBeUndefined();
    expect(importedId('beads', `Mine.\n${context}`)).toBeUndefined();
    expect(importedId('beads', undefined)).toBeUndefined();
  });
});
