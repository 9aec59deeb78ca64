import { describe, expect, test } from 'vitest';
import { outline, planTaskMaster, told } from './plans.js';

const task = (id: unknown, more: Readonly<Record<string, unknown>> = {}) => ({
  id,
  title: `Do ${String(id)}`,
  description: '',
  details: '',
  testStrategy: '',
  priority: 'medium',
  dependencies: [],
  status: 'pending',
  subtasks: [],
  ...more,
});
const plan = [
  task(1, { status: 'done' }),
  task(2, {
    priority: 'high',
    dependencies: [1],
    subtasks: [
      { id: 1, title: 'First', description: 'd', dependencies: [], status: 'done' },
      { id: 2, title: 'Second', dependencies: [1], status: 'pending', parentTaskId: 2 },
      { id: 3, title: 'Third', dependencies: ['2.2', 1], status: 'in-progress' },
    ],
  }),
  task(3, { dependencies: ['2.3', 2], priority: 'critical' }),
];

describe('a tasks.json of Task Master', () => {
  test.each([
    ['without tags', { tasks: plan, metadata: { version: '1' } }],
    ['with a tag', { master: { tasks: plan, metadata: { created: '2026-01-01T00:00:00Z', description: 'x' } } }],
  ])('%s', (_form, root) => {
    const made = planTaskMaster(root);
    expect(outline(made)).toEqual(['Task 2', 'Subtask 2.2 < 2', 'Subtask 2.3 < 2 after 2.2', 'Task 3 after 2.3 2']);
    expect(told(made.problems)).toEqual(["warning - 2.3 status: is 'in-progress' there, and Pending here"]);
    expect(made.counts).toMatchObject({ create: 4, closed: 2, released: 3 });
    // Subtasks have no priority of their own.
    expect(made.tasks.map(({ item }) => item.priority)).toEqual([1, 1, 1, 0]);
  });

  test('what a task says is in its context', () => {
    const { tasks } = planTaskMaster({
      tasks: [task(7, { description: 'Why.', details: 'How.', testStrategy: 'Whether.', acceptanceCriteria: 'When.' })],
    });
    expect(tasks[0]?.description).toBe('Do 7\n\nWhy.');
    expect(tasks[0]?.context).toBe(
      'Imported from task-master 7\n\nDetails:\nHow.\n\nAcceptance criteria:\nWhen.\n\nTest strategy:\nWhether.',
    );
  });

  test.each([
    ['pending', 'open'],
    ['', 'open'],
    ['done', 'done'],
    ['completed', 'done'],
    ['cancelled', 'cancelled'],
    ['canceled', 'cancelled'],
    ['review', 'open'],
    ['deferred', 'open'],
  ])('status %j is %s', (status, state) => {
    const { tasks } = planTaskMaster({ tasks: [task(1, { status })] }, { withClosed: true });
    expect(tasks).toMatchObject([{ item: { state } }]);
  });

  test('of several tags one is taken, and its ids do not meet those of another', () => {
    const root = { master: { tasks: [task(1)] }, 'new-ui': { tasks: [task(1), task(2, { dependencies: [1] })] } };
    const made = planTaskMaster(root);
    expect(outline(made)).toEqual(['Task 1']);
    expect(told(made.problems)).toEqual([
      "warning - - -: has the tags 'master', 'new-ui'; this is 'master', and --tag takes another",
    ]);
    const other = planTaskMaster(root, {}, 'new-ui');
    expect(outline(other)).toEqual(['Task new-ui/1', 'Task new-ui/2 after new-ui/1']);
    expect(other.problems).toEqual([]);
    expect(outline(planTaskMaster({ only: { tasks: [task(1)] } }))).toEqual(['Task only/1']);
    expect(told(planTaskMaster(root, {}, 'x').problems)).toEqual([
      "error - - -: has no tag 'x', but 'master', 'new-ui'; see --tag",
    ]);
    expect(told(planTaskMaster({ a: { tasks: [] }, b: { tasks: [] } }).problems)).toEqual([
      "error - - -: has no tag 'master', but 'a', 'b'; see --tag",
    ]);
  });

  test('a subtask may be named in full, and waits for a task where no sibling has the number', () => {
    const made = planTaskMaster({
      tasks: [
        task('1'),
        task('2', {
          subtasks: [
            { id: '2.1', title: 'a', dependencies: [1] },
            { id: '2', title: 'b', dependencies: ['5', '1.1'] },
          ],
        }),
        task(5, { subtasks: [] }),
      ],
    });
    // 1 is a sibling of 2.1: itself. 1.1 is nowhere.
    expect(outline(made)).toEqual(['Task 1', 'Task 2', 'Subtask 2.1 < 2', 'Task 5', 'Subtask 2.2 < 2 after 5']);
    expect(told(made.problems)).toEqual([
      'error - 2.2 dependencies[1]: waits for 1.1, which is not in the file',
      'error - 2.1 dependencies[0]: waits for 2.1, and that for it: 2.1 > 2.1',
    ]);
  });

  test.each([
    ['[]', ['error - - -: has to be a JSON object, not a list']],
    ['{"tasks"', ['error - - -: is no JSON']],
    ['{}', ['error - - tasks: is required: the list of tasks, by itself or in a tag']],
    [
      '{"tasks": {}}',
      [
        'error - - tasks: has to be a list, not an object',
        'error - - tasks: is required: the list of tasks, by itself or in a tag',
      ],
    ],
    [
      '{"tasks": [], "master": {"tasks": []}}',
      ["error - - tasks: is there twice: in a tag 'master', and without a tag"],
    ],
  ])('%s is no such file', async (text, expected) => {
    const { parseTaskMaster } = await import('../../../src/cli/import/task-master.js');
    expect(told(parseTaskMaster(text, undefined).problems)).toEqual(expected);
  });

  test('all that is wrong is told, with its id and field', () => {
    const made = planTaskMaster({
      tasks: [
        7,
        { title: 'x' },
        { id: 1.5, title: 'x' },
        task(4, { title: '', status: 5, priority: 'asap', dependencies: [null, 9], details: [] }),
        task(5, { subtasks: [3, { title: 'x' }, { id: '6.1', title: 'x' }, { id: 1, title: 'y', subtasks: [{}] }] }),
        task(5),
        task('5.1'),
        task(6, { priority: 'constructor' }),
      ],
    });
    expect(told(made.problems)).toEqual([
      'error - - tasks[0]: has to be an object, not a number',
      'error - - tasks[1].id: has to be a number',
      'error - - tasks[2].id: has to be a number',
      'error - 4 title: is required',
      'error - 4 dependencies[0]: has to be the id of a task',
      'error - 4 details: has to be text, not a list',
      'error - 4 status: has to be text, not a number',
      'error - - tasks[4].subtasks[0]: has to be an object, not a number',
      'error - - tasks[4].subtasks[1].id: has to be a number, or text such as 5.1',
      'error - - tasks[4].subtasks[2].id: has to be a number, or text such as 5.1',
      'error - 5.1 subtasks: cannot be below a subtask',
      'error - - tasks[6].id: has to be a number',
      'error - 5 id: is there twice',
      "warning - 4 priority: is 'asap' there, and normal here",
      "warning - 6 priority: is 'constructor' there, and normal here",
    ]);
    expect(outline(made)).toEqual(['Task 5', 'Task 6']);
  });
});
