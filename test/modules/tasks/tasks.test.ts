import { beforeAll, describe, expect, test } from 'vitest';
import { useGitRepos } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { rest } from '../../support/rest.js';
import {
  createTasksClient,
  registerRepo,
  type RestTask,
  type RestTree,
  type TaskInput,
  type TasksClient,
} from '../../support/tasks-client.js';

const app = sharedTestApp();
const repos = useGitRepos();
let tasks: TasksClient;

beforeAll(() => {
  tasks = createTasksClient(app.current.url);
});

/** A repository of its own, and what makes tasks in it. */
async function setUp() {
  const repo_id = await registerRepo(app.current.url, repos.repo());
  const add = (input: TaskInput = {}): Promise<RestTask> => tasks.create({ repo_id, ...input });
  const milestone = () => add({ kind: 'Milestone' });
  const child = (parent: RestTask, input: TaskInput = {}): Promise<RestTask> =>
    add({ kind: parent.kind === 'Milestone' ? 'Task' : 'Subtask', parent_id: parent.id, ...input });
  const stateOf = async ({ id }: RestTask): Promise<string> => {
    const { task } = await tasks.get(id);
    const { ready } = await tasks.progress(`?root_id=${id}`);
    return [task.status, ...(task.effectively_blocked ? ['blocked'] : []), ...(ready > 0 ? ['ready'] : [])].join(' ');
  };
  return { repo_id, add, milestone, child, stateOf };
}

describe('create', () => {
  test('answers what is then read, with context from above', async () => {
    const { repo_id, add, child } = await setUp();
    const top = await add({ kind: 'Milestone', context: 'of the milestone' });
    const middle = await child(top, { context: 'of the task', priority: 0 });
    const bottom = await child(middle, { description: ' Ünï \n code ', blocked_by: [] });
    expect([top.depth, middle.depth, bottom.depth]).toEqual([0, 1, 2]);
    expect([top.id, middle.id, bottom.id]).toEqual([
      expect.stringMatching(/^ms_/),
      expect.stringMatching(/^task_/),
      expect.stringMatching(/^sub_/),
    ]);
    expect(bottom).toMatchObject({ repo_id, parent_id: middle.id, description: ' Ünï \n code ', status: 'Pending' });
    const { task, context, ...others } = await tasks.get(bottom.id);
    expect(task).toEqual(bottom);
    expect(context).toEqual({ own: null, parent: 'of the task', milestone: 'of the milestone' });
    expect(others).toEqual({
      learnings: { own: [], parent: [], milestone: [] },
      gates: [],
      vcs: null,
      review: null,
      help_request: null,
      session: null,
    });
    expect((await tasks.get(middle.id)).context).toEqual({
      own: 'of the task',
      parent: null,
      milestone: 'of the milestone',
    });
  });

  test('what others do not allow is refused by name', async () => {
    const { add, child, milestone } = await setUp();
    const other = await setUp();
    const foreign = await other.add();
    const top = await milestone();
    const task = await child(top);
    const gone = 'task_01ARZ3NDEKTSV4RRFFQ69G5FAV';
    const field = async (input: TaskInput) => {
      const { error, details } = await refusal(add(input));
      return `${error} ${String(details?.['field'])}`;
    };
    expect(await field({ parent_id: gone })).toBe('invalid_request parent_id');
    expect(await field({ parent_id: foreign.id, kind: 'Subtask' })).toBe('invalid_request parent_id');
    expect(await field({ parent_id: top.id, kind: 'Subtask' })).toBe('invalid_request parent_id');
    expect(await field({ parent_id: task.id })).toBe('invalid_request parent_id');
    expect(await field({ parent_id: top.id, kind: 'Milestone' })).toBe('invalid_request parent_id');
    expect(await field({ blocked_by: [task.id, gone] })).toBe('invalid_request blocked_by[1]');
    expect(await field({ blocked_by: [foreign.id] })).toBe('invalid_request blocked_by[0]');
    expect(await field({ repo_id: 'repo_01ARZ3NDEKTSV4RRFFQ69G5FAV' })).toBe('invalid_request repo_id');
    await tasks.cancel(task.id);
    expect(await refusal(child(task))).toMatchObject({ error: 'invalid_state', details: { status: 'Cancelled' } });
  });

  test('a hundred at once, good ones and bad ones, each get their own answer', async () => {
    const { add, child, milestone } = await setUp();
    const top = await milestone();
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, (_, n) =>
        n % 10 === 3 ? add({ parent_id: top.id, kind: 'Subtask' }) : child(top, { description: `${n}` }),
      ),
    );
    expect(results.map(({ status }) => status)).toEqual(
      results.map((_, n) => (n % 10 === 3 ? 'rejected' : 'fulfilled')),
    );
    const { tasks: listed } = await tasks.list(`?parent_id=${top.id}&limit=500`);
    expect(new Set(listed.map(({ description }) => description)).size).toBe(90);
    expect(await tasks.progress(`?root_id=${top.id}`)).toMatchObject({ total: 91, ready: 90 });
  });
});

describe('waiting', () => {
  test('a task waits for its blockers and those above it, until they are Completed', async () => {
    const { add, child, milestone, stateOf } = await setUp();
    const blocker = await add();
    const top = await milestone();
    const middle = await child(top);
    const bottom = await child(middle);
    await tasks.block(top.id, blocker.id);
    expect(await stateOf(bottom)).toBe('Pending blocked');
    // A later one inherits it, too.
    const late = await child(middle);
    expect(late.effectively_blocked).toBe(true);
    await tasks.setStatus(blocker.id, 'InProgress');
    expect(await stateOf(bottom)).toBe('Pending blocked');
    await tasks.complete(blocker.id);
    expect([await stateOf(bottom), await stateOf(late)]).toEqual(['Pending ready', 'Pending ready']);
    // What was done is no longer.
    await tasks.setStatus(blocker.id, 'Pending');
    expect(await stateOf(bottom)).toBe('Pending blocked');
    await tasks.cancel(blocker.id);
    expect(await stateOf(bottom)).toBe('Pending blocked');
    await tasks.unblock(top.id, blocker.id);
    expect(await stateOf(bottom)).toBe('Pending ready');
  });

  test('deleting a blocker releases what waits for it', async () => {
    const { add, child, stateOf } = await setUp();
    const parent = await add();
    const blocker = await child(parent);
    const waiting = await add({ blocked_by: [blocker.id, blocker.id] });
    expect((await tasks.get(waiting.id)).task.blocked_by).toEqual([blocker.id]);
    await tasks.remove(parent.id);
    expect(await stateOf(waiting)).toBe('Pending ready');
    expect((await tasks.get(waiting.id)).task.blocked_by).toEqual([]);
    expect(await refusal(tasks.get(blocker.id))).toMatchObject({ error: 'not_found' });
  });

  test('a parent waits for its children, and what is below a Cancelled one is never ready', async () => {
    const { child, milestone, stateOf } = await setUp();
    const top = await milestone();
    const middle = await child(top);
    const bottom = await child(middle);
    expect(await tasks.progress(`?root_id=${top.id}`)).toMatchObject({ total: 3, ready: 1 });
    await tasks.complete(bottom.id);
    expect(await stateOf(middle)).toBe('Pending ready');
    await tasks.cancel(top.id);
    expect([await stateOf(middle), await stateOf(bottom)]).toEqual(['Cancelled', 'Completed']);
    await tasks.setStatus(middle.id, 'Pending');
    expect(await stateOf(middle)).toBe('Pending');
    await tasks.setStatus(top.id, 'Pending');
    expect(await stateOf(middle)).toBe('Pending ready');
  });
});

describe('an id that is empty is told of as such', () => {
  const rpc = (method: string, input: object) =>
    rest(app.current.url, 'POST', `/muster.v1.TaskService/${method}`, input);

  test.each(['block', 'unblock'])('%s without a blocker', async (verb) => {
    const { add } = await setUp();
    const { id } = await add();
    const message = 'blocker_id: is required';
    for (const body of [undefined, {}, { blocker_id: '' }]) {
      const answer = await rest(app.current.url, 'POST', `/api/tasks/${id}/${verb}`, body);
      expect([answer.status, answer.json]).toMatchObject([400, { message, details: { field: 'blocker_id' } }]);
    }
    const method = verb === 'block' ? 'BlockTask' : 'UnblockTask';
    for (const input of [{ id }, { id, blockerId: '' }])
      expect((await rpc(method, input)).json).toMatchObject({ message });
  });

  test('a parent, and a blocker among others', async () => {
    const { repo_id } = await setUp();
    const task = { repoId: repo_id, kind: 'TASK_KIND_TASK', description: 'Do it.' };
    const said = 'must be the id of a task, and is empty';
    expect(await rpc('CreateTask', { ...task, parentId: '' })).toMatchObject({
      json: { message: `parent_id: ${said}` },
    });
    expect(await rpc('CreateTask', { ...task, blockedBy: [''] })).toMatchObject({
      json: { message: `blocked_by[0]: ${said}` },
    });
  });
});

describe('cycles', () => {
  test('of blockers alone, with the path', async () => {
    const { add } = await setUp();
    const [a, b, c] = [await add(), await add(), await add()];
    await tasks.block(a.id, b.id);
    await tasks.block(b.id, c.id);
    expect(await refusal(tasks.block(c.id, a.id))).toMatchObject({
      error: 'cycle',
      code: 409,
      details: { field: 'blocker_id', path: [c.id, a.id, b.id, c.id] },
    });
    expect(await refusal(tasks.block(a.id, a.id))).toMatchObject({ error: 'cycle', details: { path: [a.id, a.id] } });
    // Nothing has been changed by it, and again is fine.
    expect(await tasks.block(a.id, b.id)).toEqual({ ok: true });
    expect((await tasks.get(c.id)).task).toMatchObject({ blocked_by: [], blocks: [b.id], updated_at: c.updated_at });
  });

  test('through parents and children', async () => {
    const { add, child, milestone } = await setUp();
    const top = await milestone();
    const middle = await child(top);
    const bottom = await child(middle);
    const other = await add();
    const word = async (blocked: RestTask, by: RestTask) => (await refusal(tasks.block(blocked.id, by.id))).error;
    expect([await word(bottom, top), await word(top, bottom), await word(middle, bottom)]).toEqual(
      Array(3).fill('cycle'),
    );
    // Siblings may wait for each other in one direction.
    const sibling = await child(middle);
    await tasks.block(sibling.id, bottom.id);
    // `other` waits for the milestone, which ends only after its subtasks.
    await tasks.block(other.id, top.id);
    expect(await refusal(tasks.block(bottom.id, other.id))).toMatchObject({
      error: 'cycle',
      details: { path: [bottom.id, other.id, top.id, bottom.id] },
    });
    expect(await refusal(child(middle, { blocked_by: [other.id] }))).toMatchObject({
      error: 'cycle',
      details: { field: 'blocked_by[0]' },
    });
    await tasks.unblock(other.id, top.id);
    expect(await tasks.block(bottom.id, other.id)).toEqual({ ok: true });
  });

  test('through what only a descendant waits for', async () => {
    const { add, child, milestone } = await setUp();
    const top = await milestone();
    const middle = await child(top);
    const [other, another] = [await add(), await add()];
    const bottom = await child(middle, { blocked_by: [other.id] });
    await tasks.block(middle.id, another.id);
    for (const { id } of [other, another]) {
      expect(await refusal(tasks.block(id, top.id))).toMatchObject({
        error: 'cycle',
        details: { path: [id, top.id, id] },
      });
    }
    await tasks.unblock(bottom.id, other.id);
    expect(await tasks.block(other.id, top.id)).toEqual({ ok: true });
  });

  test('of those who add them at the same time, one at least is refused', async () => {
    const { add } = await setUp();
    for (let round = 0; round < 5; round++) {
      const ring = await Promise.all(Array.from({ length: 6 }, () => add()));
      const outcomes = await Promise.allSettled(
        ring.map(({ id }, index) => tasks.block(id, ring[(index + 1) % ring.length]?.id ?? '')),
      );
      expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    }
  });
});

describe('creating tasks that wait, at the same time', () => {
  test("of two that would have each other's milestone wait, one is refused", async () => {
    const { milestone, child } = await setUp();
    const pairs = await Promise.all(Array.from({ length: 20 }, () => Promise.all([milestone(), milestone()])));
    const outcomes = await Promise.all(
      pairs.map(([a, b]) => Promise.allSettled([child(a, { blocked_by: [b.id] }), child(b, { blocked_by: [a.id] })])),
    );
    expect(outcomes.map((pair) => pair.filter(({ status }) => status === 'rejected').length)).toEqual(
      pairs.map(() => 1),
    );
  });

  test('no more wait for one task than may', async () => {
    const { add } = await setUp();
    const blocker = await add();
    const outcomes = await Promise.allSettled(Array.from({ length: 520 }, () => add({ blocked_by: [blocker.id] })));
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(20);
    expect((await tasks.get(blocker.id)).task.blocks).toHaveLength(500);
  });
});

describe('moves', () => {
  test('times: started once, completed as long as it is', async () => {
    const { add } = await setUp();
    const { id } = await add();
    const started = await tasks.setStatus(id, 'InProgress');
    expect(started).toMatchObject({ started_at: started.updated_at, completed_at: null });
    const done = await tasks.complete(id);
    expect(done).toMatchObject({ started_at: started.started_at, completed_at: done.updated_at });
    const again = await tasks.setStatus(id, 'InProgress');
    expect(again).toMatchObject({ started_at: started.started_at, completed_at: null });
    // Nothing changes when it is so already.
    expect(await tasks.setStatus(id, 'InProgress')).toEqual(again);
  });

  test('completing takes done children, and a Completed parent keeps them so', async () => {
    const { child, milestone } = await setUp();
    const top = await milestone();
    const [one, two] = [await child(top), await child(top)];
    await tasks.complete(one.id);
    for (const complete of [() => tasks.complete(top.id), () => tasks.setStatus(top.id, 'Completed')]) {
      expect(await refusal(complete())).toMatchObject({
        error: 'children_open',
        details: { children: [{ id: two.id, status: 'Pending' }] },
      });
    }
    await tasks.cancel(two.id);
    await tasks.complete(top.id);
    expect(await refusal(tasks.setStatus(one.id, 'Pending'))).toMatchObject({
      error: 'invalid_state',
      details: { from: 'Completed', to: 'Pending', allowed: ['Cancelled'] },
    });
    expect(await refusal(tasks.cancel(top.id))).toMatchObject({
      error: 'invalid_state',
      details: { from: 'Completed', to: 'Cancelled', allowed: [] },
    });
  });

  test('cancelling takes all that is open below along, once', async () => {
    const { child, milestone } = await setUp();
    const top = await milestone();
    const [one, two] = [await child(top), await child(top)];
    const bottom = await child(two);
    await tasks.complete(one.id);
    const cancelled = await tasks.cancel(top.id);
    expect(await tasks.cancel(top.id)).toEqual(cancelled);
    const statuses = await Promise.all([one, two, bottom].map(async ({ id }) => (await tasks.get(id)).task.status));
    expect(statuses).toEqual(['Completed', 'Cancelled', 'Cancelled']);
  });

  test('a patch changes what is sent', async () => {
    const { add } = await setUp();
    const task = await add({ context: 'c', priority: 3 });
    const first = await tasks.update(task.id, { description: 'Other.' });
    expect(first).toEqual({ ...task, description: 'Other.', updated_at: first.updated_at });
    expect(await tasks.update(task.id, {})).toEqual(first);
    const second = await tasks.update(task.id, { context: null, priority: 0 });
    expect(second).toEqual({ ...first, context: null, priority: 0, updated_at: second.updated_at });
    expect(await refusal(tasks.update(task.id, { description: null }))).toMatchObject({
      error: 'invalid_request',
      details: { field: 'description' },
    });
    expect((await tasks.get(task.id)).task).toEqual(second);
  });
});

describe('what is next', () => {
  test('by priority, then depth, then age; in a milestone, too', async () => {
    const { repo_id, add, child, milestone } = await setUp();
    const next = async (query = `?repo_id=${repo_id}`) => (await tasks.nextReady(query))?.task.id;
    expect(await next()).toBeUndefined();
    const low = await add({ priority: 3 });
    const [older, younger] = [await add(), await add()];
    const top = await milestone();
    const deep = await child(top);
    const urgent = await child(top, { priority: 0, blocked_by: [low.id] });
    const order: (string | undefined)[] = [];
    for (let id = await next(); id !== undefined; id = await next()) {
      order.push(id);
      await tasks.setStatus(id, 'InProgress');
      if (id === low.id) await tasks.complete(id);
    }
    expect(order).toEqual([deep.id, older.id, younger.id, low.id, urgent.id]);
    await tasks.setStatus(deep.id, 'Pending');
    expect(await next(`?milestone_id=${top.id}`)).toBe(deep.id);
    expect(await tasks.nextReady(`?repo_id=${repo_id}`)).toEqual(await tasks.get(deep.id));
    expect(await refusal(tasks.nextReady(`?milestone_id=${deep.id}`))).toMatchObject({ error: 'invalid_request' });
    expect(await refusal(tasks.nextReady(''))).toMatchObject({ details: { field: 'repo_id' } });
  });
});

describe('trees', () => {
  test('roots with what is below them, oldest first', async () => {
    const { repo_id, add, child, milestone } = await setUp();
    const top = await milestone();
    const alone = await add();
    const [one, two] = [await child(top), await child(top)];
    const bottom = await child(one);
    const shape = (trees: readonly RestTree[]): readonly unknown[] =>
      trees.map(({ task, children }) => [task.id, shape(children)]);
    expect(shape(await tasks.tree(`?repo_id=${repo_id}`))).toEqual([
      [
        top.id,
        [
          [one.id, [[bottom.id, []]]],
          [two.id, []],
        ],
      ],
      [alone.id, []],
    ]);
    expect(shape(await tasks.tree(`?root_id=${one.id}`))).toEqual([[one.id, [[bottom.id, []]]]]);
    expect(shape(await tasks.tree(`?root_id=${top.id}&repo_id=${repo_id}`))).toEqual(
      shape(await tasks.tree(`?repo_id=${repo_id}`)).slice(0, 1),
    );
  });
});
