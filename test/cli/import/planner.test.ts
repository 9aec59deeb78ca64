import { describe, expect, test } from 'vitest';
import type { Imported } from '../../../src/cli/import/plan.js';
import { dependency, issue, outline, planBeads, told } from './plans.js';

const below = (id: string, parent: string) => dependency(id, parent, 'parent-child');
const imported = (entries: Readonly<Record<string, Imported>>) => new Map(Object.entries(entries));

describe('the hierarchy', () => {
  test('an epic is a Milestone, and so is what has grandchildren; what is deeper is put beside its parent', async () => {
    const plan = await planBeads([
      issue('a', { issue_type: 'epic' }),
      issue('b', { issue_type: 'feature' }),
      issue('b.1', { issue_type: 'epic', dependencies: [below('b.1', 'b')] }),
      issue('b.1.1', { dependencies: [below('b.1.1', 'b.1')] }),
      // Its parent waits for it; both are Subtasks.
      issue('b.1.1.1', { dependencies: [below('b.1.1.1', 'b.1.1'), dependency('b.1.1.1', 'b.1.1')] }),
      issue('c'),
      issue('c.1', { dependencies: [below('c.1', 'c')] }),
    ]);
    expect(outline(plan)).toEqual([
      'Milestone a',
      'Milestone b',
      'Task b.1 < b',
      'Subtask b.1.1 < b.1',
      'Subtask b.1.1.1 < b.1 after b.1.1',
      'Task c',
      'Subtask c.1 < c',
    ]);
    expect(told(plan.problems)).toEqual([
      'warning 5 b.1.1.1 -: is too deep below b.1.1 for Muster, and is put beside it',
    ]);
    expect(plan.tasks[4]?.context).toContain('Part of: b.1.1');
  });

  test('--milestone takes what would stand alone', async () => {
    const { tasks } = await planBeads(
      [issue('a', { issue_type: 'epic' }), issue('b'), issue('c', { dependencies: [below('c', 'b')] })],
      { milestoneId: 'ms_1' },
    );
    expect(tasks.map(({ kind, parentId }) => [kind, parentId])).toEqual([
      ['Milestone', undefined],
      ['Task', 'ms_1'],
      ['Subtask', undefined],
    ]);
  });

  test('what is left out hands its children on', async () => {
    const plan = await planBeads([
      issue('a', { issue_type: 'epic' }),
      issue('b', { status: 'closed', dependencies: [below('b', 'a')] }),
      issue('c', { status: 'tombstone', dependencies: [below('c', 'b')] }),
      issue('d', { dependencies: [below('d', 'c')] }),
      issue('e', { dependencies: [below('e', 'f')] }),
      issue('f', { priority: 9 }),
    ]);
    expect(outline(plan)).toEqual(['Milestone a', 'Task d < a', 'Task e']);
    expect(told(plan.problems)).toEqual([
      'error 6 f priority: has to be a whole number from 0 to 4',
      'warning 4 d -: is part of c, which is left out; it goes below a',
      'warning 5 e -: is part of f, which is left out; it goes to the top',
    ]);
  });

  test('two parents, and parents in a circle', async () => {
    const plan = await planBeads([
      issue('a'),
      issue('b', { dependencies: [below('b', 'a'), below('b', 'c')] }),
      issue('c', { dependencies: [below('c', 'd')] }),
      issue('d', { dependencies: [below('d', 'c')] }),
      issue('e', { dependencies: [below('e', 'e')] }),
      // A circle of what is left out.
      issue('f', { dependencies: [below('f', 'g')] }),
      issue('g', { status: 'closed', dependencies: [below('g', 'h')] }),
      issue('h', { status: 'closed', dependencies: [below('h', 'g')] }),
    ]);
    expect(told(plan.problems).filter((line) => line.startsWith('error'))).toEqual([
      'error 4 d dependencies[0]: is part of c, which is a part of it',
      'error 5 e dependencies[0]: is part of e, which is a part of it',
      'error 8 h dependencies[0]: is part of g, which is a part of it',
    ]);
    expect(told(plan.problems)).toContain(
      'warning 2 b dependencies[1]: is part of a, too; c is only told in the context',
    );
    expect(outline(plan)).toEqual(['Task a', 'Subtask b < a', 'Task d', 'Subtask c < d', 'Task e', 'Task f']);
  });
});

describe('blockers', () => {
  test('what goes first is made first, else what is older', async () => {
    const at = (minute: number) => ({ created_at: `2026-01-01T00:0${minute}:00.123456789-08:00` });
    const plan = await planBeads([
      issue('a', {
        ...at(3),
        dependencies: [dependency('a', 'd'), dependency('a', 'd'), dependency('a', 'b', 'waits-for')],
      }),
      issue('b', at(2)),
      issue('c', at(1)),
      issue('d', at(4)),
      issue('e', { created_at: 'someday' }),
    ]);
    expect(outline(plan)).toEqual(['Task c', 'Task b', 'Task d', 'Task a after d b', 'Task e']);
    expect(plan.problems).toEqual([]);
  });

  test('what is done releases, what is cancelled or gone is told of', async () => {
    const issues = [
      issue('a', { dependencies: ['b', 'c', 'd', 'e'].map((id) => dependency('a', id)) }),
      issue('b', { status: 'closed' }),
      issue('c', { status: 'tombstone' }),
      issue('d', { title: '' }),
      issue('e', { dependencies: [dependency('e', 'b', 'conditional-blocks')] }),
    ];
    const plan = await planBeads(issues);
    expect(outline(plan)).toEqual(['Task e', 'Task a after e']);
    expect(plan.counts).toEqual({ create: 2, imported: 0, close: 0, closed: 1, gone: 1, bad: 1, released: 1 });
    expect(told(plan.problems)).toEqual([
      'error 4 d title: is required',
      'warning 1 a dependencies[1]: waits for c, which is nothing to be done; so it does not wait',
      'warning 1 a dependencies[2]: waits for d, which is left out for what is wrong with it',
      'warning 5 e dependencies[0]: waits for b to fail, which nothing here can; it is only told in the context',
    ]);
    expect(outline(await planBeads(issues, { withClosed: true }))).toEqual([
      'Task b Completed',
      'Task e',
      'Task a after b e',
    ]);
  });

  test('circles are cut where they close, also those through parents', async () => {
    const plan = await planBeads([
      issue('a', { dependencies: [dependency('a', 'b')] }),
      issue('b', { dependencies: [dependency('b', 'c')] }),
      issue('c', { dependencies: [dependency('c', 'a')] }),
      issue('p', { dependencies: [dependency('p', 'q.1'), dependency('p', 'p.1')] }),
      issue('p.1', { dependencies: [below('p.1', 'p')] }),
      issue('q', { dependencies: [dependency('q', 'x')] }),
      issue('q.1', { dependencies: [below('q.1', 'q'), dependency('q.1', 'p.1')] }),
      issue('r', {}),
      issue('r.1', { dependencies: [below('r.1', 'r'), dependency('r.1', 'r')] }),
      issue('x', { dependencies: [dependency('x', 'a')] }),
    ]);
    expect(told(plan.problems)).toEqual([
      'error 3 c dependencies[0]: waits for a, and that for it: c > a > b > c',
      'error 7 q.1 dependencies[1]: waits for p.1, and that for it: q.1 > p.1 > q.1',
      'error 9 r.1 dependencies[1]: waits for r, and that for it: r.1 > r > r.1',
      'warning 4 p dependencies[1]: waits for p.1, a part of it; that goes without saying',
    ]);
    expect(outline(plan)).toEqual([
      'Task c',
      'Task b after c',
      'Task a after b',
      'Task x after a',
      'Task q after x',
      'Subtask q.1 < q',
      'Task p after q.1',
      'Subtask p.1 < p',
      'Task r',
      'Subtask r.1 < r',
    ]);
  });

  test('as many as may be', async () => {
    const ids = Array.from({ length: 501 }, (_, index) => `b${index}`);
    const plan = await planBeads([
      ...ids.map((id) => issue(id, { dependencies: [dependency(id, 'one')] })),
      issue('one'),
      issue('all', { dependencies: ids.map((id) => dependency('all', id)) }),
    ]);
    expect(told(plan.problems)).toEqual([
      'error 501 b500 dependencies[0]: waits for one, as 500 others do; no more may',
      'error 503 all dependencies[500]: is one more than the 500 that it may wait for',
    ]);
  });

  test('a chain of five thousand, and a circle of them', async () => {
    const chain = (last: string) =>
      Array.from({ length: 5000 }, (_, n) =>
        issue(`b${n}`, { dependencies: [dependency(`b${n}`, n === 4999 ? last : `b${n + 1}`)] }),
      );
    const plan = await planBeads([...chain('end'), issue('end')]);
    expect(plan.problems).toEqual([]);
    expect(outline(plan).slice(0, 2)).toEqual(['Task end', 'Task b4999 after end']);
    expect(told((await planBeads(chain('b0'))).problems)).toEqual([
      expect.stringContaining(
        'error 5000 b4999 dependencies[0]: waits for b0, and that for it: b4999 > b0 > b1 > b2 >',
      ),
    ]);
  });
});

describe('what is closed', () => {
  test('is closed when all below it is', async () => {
    const plan = await planBeads(
      [
        issue('a', { issue_type: 'epic', status: 'closed', close_reason: 'Shipped' }),
        issue('b', { status: 'closed', dependencies: [below('b', 'a'), dependency('b', 'c')] }),
        issue('c', { status: 'closed', issue_type: 'epic' }),
        issue('d', { dependencies: [below('d', 'c')] }),
      ],
      { withClosed: true },
    );
    expect(outline(plan)).toEqual(['Milestone a Completed', 'Task b < a Completed', 'Milestone c', 'Task d < c']);
    expect(told(plan.problems)).toEqual(['warning 3 c status: is closed there, but d below it is not; Pending here']);
    expect(plan.tasks[0]?.context).toContain('Closed because: Shipped');
    expect(plan.tasks[1]?.context).toContain('Waited for: c');
  });
});

describe('what is there already', () => {
  test('stays as it is, and others go by it', async () => {
    const plan = await planBeads(
      [
        issue('a', { dependencies: [dependency('a', 'n')] }),
        issue('a.1', { dependencies: [below('a.1', 'a')] }),
        issue('a.1.1', { dependencies: [below('a.1.1', 'a.1')] }),
        issue('m', { dependencies: [dependency('m', 'a')] }),
        issue('n'),
        issue('z', { status: 'closed' }),
      ],
      {
        withClosed: true,
        imported: imported({
          // It had no grandchildren then.
          a: { id: 'task_a', kind: 'Task', status: 'InProgress', parentId: undefined },
          'a.1': { id: 'sub_a1', kind: 'Subtask', status: 'Pending', parentId: 'task_a' },
          z: { id: 'task_z', kind: 'Task', status: 'InProgress', parentId: 'ms_elsewhere' },
        }),
      },
    );
    expect(outline(plan)).toEqual([
      'Task a',
      'Subtask a.1 < a',
      'Subtask a.1.1 < a',
      'Task m after a',
      'Task n',
      'Task z',
    ]);
    expect(plan.counts).toMatchObject({ create: 3, imported: 3, close: 0 });
    expect(told(plan.problems)).toEqual([
      'warning 1 a dependencies[0]: is there already, and is not made to wait for n, which is new',
      'warning 3 a.1.1 -: is too deep below a.1 for Muster, and is put beside it',
    ]);
  });

  test('a closed one gets no children, and what is left open is closed', async () => {
    const plan = await planBeads(
      [issue('a'), issue('a.1', { dependencies: [below('a.1', 'a')] }), issue('b', { status: 'closed' })],
      {
        withClosed: true,
        imported: imported({
          a: { id: 'task_a', kind: 'Task', status: 'Completed', parentId: undefined },
          b: { id: 'task_b', kind: 'Task', status: 'Pending', parentId: undefined },
        }),
      },
    );
    expect(told(plan.problems)).toEqual(['error 2 a.1 -: is part of a, and task_a, made of that, is Completed']);
    expect(outline(plan)).toEqual(['Task a', 'Task a.1', 'Task b Completed']);
  });
});
