import fc from 'fast-check';
import { RefusedError } from '../../../support/jobs-client.js';
import type { RestTask, TasksClient } from '../../../support/tasks-client.js';
import type { ModelTask, Op, TaskModel } from './task-model.js';

/** An op whose tasks are chosen when it is their turn, among those that there are. Undefined when there are too few. */
export type Choice = { readonly name: string; readonly choose: (model: TaskModel) => Op | undefined };

const place = fc.nat({ max: 1000 });
const priority = fc.integer({ min: 0, max: 3 });

function at(model: TaskModel, index: number | undefined): ModelTask | undefined {
  return index === undefined ? undefined : [...model][index % Math.max(1, model.size)];
}

const create = fc
  .record({
    kind: fc.constantFrom<RestTask['kind']>('Milestone', 'Task', 'Task', 'Subtask', 'Subtask'),
    parent: fc.option(place, { nil: undefined, freq: 4 }),
    priority,
    blockers: fc.array(place, { maxLength: 2 }),
  })
  .map(({ blockers, parent, ...input }): Choice => ({
    name: `create ${JSON.stringify({ ...input, parent, blockers })}`,
    choose: (model) => ({
      do: 'create',
      ...input,
      // Mostly of a kind that fits.
      parent: fitting(model, input.kind, parent),
      blockers: [...new Set(blockers.flatMap((index) => at(model, index) ?? []))],
    }),
  }));

function fitting(model: TaskModel, kind: RestTask['kind'], index: number | undefined): ModelTask | undefined {
  if (index === undefined) return undefined;
  if (index % 10 === 0) return at(model, index);
  const wanted = { Milestone: 'none', Task: 'Milestone', Subtask: 'Task' }[kind];
  const fits = [...model].filter((each) => each.kind === wanted);
  return fits[index % Math.max(1, fits.length)];
}

/** Two milestones, each with a task of two subtasks: so that there is something to be entangled from the first step on. */
export const planted: readonly Choice[] = [0, 1].flatMap((milestone) => {
  const plant = (kind: RestTask['kind'], parent: number | undefined): Choice => ({
    name: `plant ${kind}`,
    choose: (model) => ({ do: 'create', kind, parent: at(model, parent), priority: 2, blockers: [] }),
  });
  const first = milestone * 4;
  return [
    plant('Milestone', undefined),
    plant('Task', first),
    plant('Subtask', first + 1),
    plant('Subtask', first + 1),
  ];
});

const ofOne = (...verbs: readonly ('cancel' | 'complete' | 'remove')[]) =>
  fc.record({ verb: fc.constantFrom(...verbs), index: place }).map(({ verb, index }): Choice => ({
    name: `${verb} ${index}`,
    choose: (model) => {
      const task = at(model, index);
      return task && { do: verb, task };
    },
  }));

const ofTwo = fc
  .record({ verb: fc.constantFrom('block', 'block', 'block', 'unblock'), index: place, blocker: place })
  .map(({ verb, index, blocker }): Choice => ({
    name: `${verb} ${index} ${blocker}`,
    choose: (model) => {
      const [task, other] = [at(model, index), at(model, blocker)];
      return task && other && { do: verb as 'block', task, blocker: other };
    },
  }));

const set = fc
  .record({
    index: place,
    status: fc.constantFrom<RestTask['status']>(
      ...(['Pending', 'InProgress', 'InReview', 'AwaitingHuman', 'Completed', 'Cancelled'] as const),
    ),
  })
  .map(({ index, status }): Choice => ({
    name: `set ${index} ${status}`,
    choose: (model) => {
      const task = at(model, index);
      return task && { do: 'set', task, status };
    },
  }));

const update = fc
  .record({ index: place, context: fc.constantFrom(null, 'é', 'x'), priority })
  .map(({ index, ...patch }): Choice => ({
    name: `update ${index} ${JSON.stringify(patch)}`,
    choose: (model) => {
      const task = at(model, index);
      return task && { do: 'update', task, ...patch };
    },
  }));

export const choices = fc.oneof(
  { weight: 6, arbitrary: create },
  { weight: 4, arbitrary: ofTwo },
  { weight: 3, arbitrary: set },
  { weight: 3, arbitrary: ofOne('cancel', 'complete', 'complete') },
  { weight: 1, arbitrary: ofOne('remove') },
  { weight: 1, arbitrary: update },
);

/** Asks the server for it. Answers the error word, or `ok`, and the id of a new task. */
export async function perform(tasks: TasksClient, repoId: string, op: Op): Promise<{ word: string; id: string }> {
  try {
    return { word: 'ok', id: await ask(tasks, repoId, op) };
  } catch (error) {
    if (error instanceof RefusedError) return { word: error.body.error, id: '' };
    throw error;
  }
}

async function ask(tasks: TasksClient, repoId: string, op: Op): Promise<string> {
  if (op.do === 'create') {
    const { kind, parent, priority: given, blockers } = op;
    const input = { repo_id: repoId, kind, priority: given, blocked_by: blockers.map(({ id }) => id) };
    return (await tasks.create({ ...input, parent_id: parent?.id ?? null })).id;
  }
  const { id } = op.task;
  switch (op.do) {
    case 'block':
      await tasks.block(id, op.blocker.id);
      break;
    case 'unblock':
      await tasks.unblock(id, op.blocker.id);
      break;
    case 'cancel':
      await tasks.cancel(id);
      break;
    case 'complete':
      await tasks.complete(id);
      break;
    case 'remove':
      await tasks.remove(id);
      break;
    case 'set':
      await tasks.setStatus(id, op.status);
      break;
    case 'update':
      await tasks.update(id, { context: op.context, priority: op.priority });
  }
  return id;
}
