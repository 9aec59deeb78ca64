import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AppError } from '../../../src/errors.js';
import { areRelated, checkUnblocked, pathAlong } from '../../../src/modules/tasks/blockers.js';
import { pairs, progressOf, type State, states, statesFor } from '../../../src/modules/tasks/states.js';
import {
  type CreateInput,
  kinds,
  limits,
  newTask,
  patchOf,
  type Status,
  statuses,
} from '../../../src/modules/tasks/tasks.js';
import { checkSetStatus, isOpen, type Move, target } from '../../../src/modules/tasks/transitions.js';

const ulid = '01ARZ3NDEKTSV4RRFFQ69G5FAV';
const good: CreateInput = { repoId: `repo_${ulid}`, kind: 'Task', description: 'Do it.', blockedBy: [] };

function refusalOf(run: () => unknown): AppError {
  try {
    run();
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('not refused');
}

describe('moves', () => {
  /** By hand, from docs/tasks.md. */
  const legal: Readonly<Record<Move, Readonly<Partial<Record<Status, Status>>>>> = {
    start: { Pending: 'InProgress' },
    submit: { InProgress: 'InReview' },
    cancel: {
      Pending: 'Cancelled',
      InProgress: 'Cancelled',
      InReview: 'Cancelled',
      AwaitingHuman: 'Cancelled',
      Cancelled: 'Cancelled',
    },
    forceComplete: {
      Pending: 'Completed',
      InProgress: 'Completed',
      InReview: 'Completed',
      AwaitingHuman: 'Completed',
    },
    wait: { Pending: 'AwaitingHuman', InProgress: 'AwaitingHuman', InReview: 'AwaitingHuman' },
    // Where it goes back to is for the request to say.
    resume: { AwaitingHuman: 'InProgress' },
  };
  const cases = Object.keys(legal).flatMap((move) => statuses.map((from) => ({ move: move as Move, from })));

  test.each(cases)('$move from $from', ({ move, from }) => {
    const to = legal[move][from];
    if (to !== undefined) {
      expect(target('task_1', from, move)).toBe(to);
      return;
    }
    const { kind, details } = refusalOf(() => target('task_1', from, move));
    expect(kind).toBe('invalid_state');
    expect(details).toMatchObject({ from, to: Object.values(legal[move])[0] });
    expect(details?.['allowed']).not.toContain(details?.['to']);
  });
});

describe('set-status', () => {
  const at = { parent: undefined, hasOpenReview: false };

  test('leads from anywhere to anywhere but AwaitingHuman, and to InReview with an open review', () => {
    for (const from of statuses) {
      for (const to of statuses) {
        const isFine = from === to || (to !== 'AwaitingHuman' && to !== 'InReview');
        if (isFine) checkSetStatus('task_1', from, to, at);
        else {
          const { kind, details } = refusalOf(() => checkSetStatus('task_1', from, to, at));
          expect(kind).toBe('invalid_state');
          expect(details?.['allowed']).not.toContain(to);
          expect(details?.['allowed']).not.toContain(from);
        }
      }
      checkSetStatus('task_1', from, 'InReview', { parent: 'InProgress', hasOpenReview: true });
    }
  });

  test('opens nothing below a Completed parent', () => {
    for (const to of statuses) {
      const set = () => checkSetStatus('task_1', 'Cancelled', to, { parent: 'Completed', hasOpenReview: true });
      if (isOpen(to)) expect(refusalOf(set).details).toMatchObject({ allowed: ['Completed'] });
      else set();
    }
  });
});

describe('what is asked for', () => {
  test('is taken as it is, with defaults', () => {
    expect(newTask({ ...good, blockedBy: [`sub_${ulid}`, `sub_${ulid}`], context: '' })).toEqual({
      repoId: good.repoId,
      kind: 'Task',
      description: 'Do it.',
      parentId: undefined,
      context: undefined,
      priority: 2,
      blockedBy: [`sub_${ulid}`],
    });
    expect(newTask({ ...good, description: 'half a pair: \ud800' }).description).toBe('half a pair: \ufffd');
  });

  test.each<[string, Partial<CreateInput>, string]>([
    ['no repository', { repoId: '' }, 'repo_id'],
    ['no id of a repository', { repoId: `task_${ulid}` }, 'repo_id'],
    ['no kind', { kind: undefined }, 'kind'],
    ['no description', { description: '' }, 'description'],
    ['nothing but white space', { description: ' \n\t' }, 'description'],
    ['a NUL', { description: 'a\0' }, 'description'],
    ['a NUL in the context', { context: 'a\0' }, 'context'],
    ['no id as parent', { parentId: '42' }, 'parent_id'],
    ['a Subtask without a parent', { kind: 'Subtask' }, 'parent_id'],
    ['a priority below', { priority: -1 }, 'priority'],
    ['a priority above', { priority: 4 }, 'priority'],
    ['half a priority', { priority: 0.5 }, 'priority'],
    ['no id as blocker', { blockedBy: [`task_${ulid}`, 'x'] }, 'blocked_by[1]'],
    ['too many blockers', { blockedBy: Array(501).fill(`task_${ulid}`) }, 'blocked_by'],
  ])('%s is refused by name', (_what, wrong, field) => {
    const { kind, details } = refusalOf(() => newTask({ ...good, ...wrong }));
    expect([kind, details?.['field']]).toEqual(['invalid_request', field]);
  });

  test('texts are bounded by their bytes', () => {
    const description = 'é'.repeat(limits.descriptionBytes / 2);
    expect(newTask({ ...good, description }).description).toBe(description);
    expect(refusalOf(() => newTask({ ...good, description: `${description}x` }))).toMatchObject({
      kind: 'too_large',
      details: { field: 'description', max_bytes: limits.descriptionBytes },
    });
    expect(refusalOf(() => newTask({ ...good, context: 'x'.repeat(limits.contextBytes + 1) })).kind).toBe('too_large');
  });

  test('a patch has what was sent, and nothing else', () => {
    expect(patchOf({ id: 'x' })).toEqual({});
    expect(patchOf({ id: 'x', priority: 0 })).toEqual({ priority: 0 });
    for (const none of [null, '']) expect(patchOf({ id: 'x', context: none })).toStrictEqual({ context: undefined });
    expect(refusalOf(() => patchOf({ id: 'x', description: null })).details).toMatchObject({ field: 'description' });
    expect(refusalOf(() => patchOf({ id: 'x', priority: null })).details).toMatchObject({ field: 'priority' });
  });
});

describe('blockers', () => {
  test('who is related: the task itself, those above and those below', () => {
    const task = { id: 't', parentId: 'm', grandId: undefined };
    const sub = { id: 's', parentId: 't', grandId: 'm' };
    const other = { id: 'o', parentId: 'm', grandId: undefined };
    const milestone = { id: 'm', parentId: undefined, grandId: undefined };
    expect(areRelated(sub, milestone)).toBe(true);
    expect(areRelated(task, sub)).toBe(true);
    expect(areRelated(task, task)).toBe(true);
    expect(areRelated(task, other)).toBe(false);
    expect(areRelated(sub, other)).toBe(false);
  });

  test('a path follows the steps, is the shortest, and is found when there is one', () => {
    const node = fc.integer({ min: 0, max: 9 }).map(String);
    const steps = fc.array(fc.record({ from: node, to: node }), { maxLength: 25 });
    fc.assert(
      fc.property(steps, node, node, (all, start, end) => {
        // Who can be reached in how many steps, by going on until nobody is new.
        const distance = new Map([[start, 0]]);
        for (let round = 1; round <= 10; round++) {
          for (const { from, to } of all) {
            if (distance.get(from) === round - 1 && !distance.has(to)) distance.set(to, round);
          }
        }
        const path = pathAlong(all, start, new Set([end]));
        expect(path?.length).toBe(distance.has(end) ? (distance.get(end) ?? 0) + 1 : undefined);
        path?.slice(1).forEach((to, index) => expect(all).toContainEqual({ from: path[index], to }));
      }),
    );
  });

  test('a refusal lists them, and says that a Cancelled one never releases', () => {
    checkUnblocked('task_1', []);
    const blockers = [{ id: 'task_2', status: 'Cancelled', of: 'task_1' }] as const;
    const { kind, message, details } = refusalOf(() => checkUnblocked('task_1', blockers));
    expect([kind, details]).toEqual(['blocked', { blockers }]);
    expect(message).toMatch(/task_2 \(Cancelled\).*never releases/);
  });
});

describe('states', () => {
  const subset = fc.subarray([...statuses]);
  const maybe = fc.option(fc.boolean(), { nil: undefined });

  test('a filter and its opposite share nothing, and are together what there is without it', () => {
    fc.assert(
      fc.property(subset, maybe, (wanted, archived) => {
        const of = (ready: boolean | undefined) => statesFor({ statuses: wanted, ready, archived }) ?? states;
        expect([...of(true), ...of(false)].sort()).toEqual([...of(undefined)].sort());
      }),
    );
    expect(statesFor({ statuses: [], ready: undefined, archived: undefined })).toBeUndefined();
    expect(statesFor({ statuses: ['Completed'], ready: true, archived: undefined })).toEqual([]);
    expect(pairs(undefined, [])).toHaveLength(states.length * kinds.length);
  });

  test('progress counts each task once in its total', () => {
    const counts = fc.dictionary(fc.constantFrom<State>(...states), fc.nat({ max: 1000 }));
    fc.assert(
      fc.property(counts, (byState) => {
        const { total, ...parts } = progressOf(new Map(Object.entries(byState)));
        const counted = Object.values(parts).reduce((sum, count) => sum + count, 0);
        expect(counted + (byState['waiting'] ?? 0) + (byState['starting'] ?? 0)).toBe(total);
      }),
    );
  });
});
