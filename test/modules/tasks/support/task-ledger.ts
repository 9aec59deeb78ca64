import { expect } from 'vitest';
import {
  emptyLedgerState,
  isEffectivelyBlocked,
  type LedgerEvent,
  reduceEvents,
} from '../../../../src/client/index.js';
import type { TestDatabase } from '../../../support/database.js';
import { rest } from '../../../support/rest.js';
import type { RestTask, TasksClient } from '../../../support/tasks-client.js';
import { apply, type ModelTask, type Op, type TaskModel } from './task-model.js';

/** All that the ledger tells of a repository. */
export async function ledgerOf(
  url: string,
  repoId: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<LedgerEvent[]> {
  const all: LedgerEvent[] = [];
  for (;;) {
    const path = `/api/events/replay?limit=500&repo_id=${repoId}&after=${all.at(-1)?.seq ?? 0}`;
    const page = (await rest(url, 'GET', path, undefined, headers)).json as LedgerEvent[];
    if (page.length === 0) return all;
    all.push(...page);
  }
}

/** Every task of a repository, oldest first. */
export async function allTasks(tasks: TasksClient, repoId: string): Promise<RestTask[]> {
  const all: RestTask[] = [];
  let next: string | undefined = `?limit=100&repo_id=${repoId}`;
  while (next !== undefined) {
    const page: Awaited<ReturnType<TasksClient['list']>> = await tasks.list(next);
    all.push(...page.tasks);
    next = page.next;
  }
  return all.toReversed();
}

/** The reducer must make the rows that the server has, of its ledger alone. */
export async function expectReduced(tasks: TasksClient, repoId: string): Promise<readonly LedgerEvent[]> {
  const events = await ledgerOf(tasks.url, repoId);
  const { tasks: rows } = reduceEvents(emptyLedgerState({ filtered: true }), events);
  const reduced = [...rows.values()].map((row) => ({
    ...row,
    effectively_blocked: isEffectivelyBlocked(rows, row.id),
  }));
  const listed = await allTasks(tasks, repoId);
  expect(reduced).toEqual(listed.sort((a, b) => (a.id < b.id ? -1 : 1)));
  return events;
}

/** The columns that are counted must be what they count. */
export async function expectCounted(database: TestDatabase): Promise<void> {
  const wrong = await database.query(`
    SELECT t.id, t.state, t.own_blockers, t.open_children FROM tasks t
      LEFT JOIN tasks p ON p.id = t.parent_id LEFT JOIN tasks g ON g.id = t.grand_id
    WHERE t.own_blockers <> (SELECT count(*) FROM task_blockers b JOIN tasks s ON s.id = b.blocker_id
        WHERE b.task_id = t.id AND s.status <> 'Completed')
      OR t.open_children <> (SELECT count(*) FROM tasks c WHERE c.parent_id = t.id AND c.status NOT IN ('Completed', 'Cancelled'))
      OR t.status = 'Pending' AND t.blockers_above <> coalesce(p.own_blockers, 0) + coalesce(g.own_blockers, 0)
      OR t.status = 'Pending' AND t.cancelled_above <> (coalesce(p.status, '') = 'Cancelled')::int + (coalesce(g.status, '') = 'Cancelled')::int`);
  expect(wrong).toEqual([]);
  const miscounted = await database.query(`
    WITH truth AS (
      SELECT s.scope_id, t.state, count(*) AS count
      FROM tasks t CROSS JOIN LATERAL (VALUES (t.repo_id), (t.parent_id), (t.grand_id)) s (scope_id)
      WHERE s.scope_id IS NOT NULL GROUP BY 1, 2
    )
    SELECT coalesce(c.scope_id, t.scope_id) AS scope_id, coalesce(c.state, t.state) AS state, c.count, t.count AS truth
    FROM task_counts c FULL JOIN truth t ON t.scope_id = c.scope_id AND t.state = c.state
    WHERE coalesce(c.count, 0) <> coalesce(t.count, 0)`);
  expect(miscounted).toEqual([]);
}

/**
 * Does to the model what the ledger tells, one event after the other. Each must be what the rules allow at that place, however many did
 * things at the same time. Answers the faults.
 */
export function replay(model: TaskModel, events: readonly LedgerEvent[]): readonly string[] {
  const byId = new Map<string, ModelTask>();
  const find = (id: unknown): ModelTask => {
    const task = byId.get(String(id));
    if (task === undefined) throw new Error(`the ledger tells of ${String(id)} before its creation`);
    return task;
  };
  const faults: string[] = [];
  for (const { seq, type, task_id, payload } of events) {
    if (!type.startsWith('Task') && !type.startsWith('Blocker')) continue;
    const op = opOf(type, payload, task_id, find);
    const before = op.do === 'create' ? 'none' : op.task.status;
    // Those that go along with one above are told of, too.
    const wentAlong = type === 'TaskCancelled' && before === 'Cancelled' && payload['from'] !== 'Cancelled';
    const word = apply(model, op, task_id ?? '');
    if (word !== 'ok') faults.push(`${seq}: ${type} ${task_id} is ${word}`);
    if (op.do !== 'create' && payload['from'] !== undefined && !wentAlong && payload['from'] !== before) {
      faults.push(`${seq}: ${type} ${task_id} is from ${before}`);
    }
    for (const task of model) byId.set(task.id, task);
  }
  return faults;
}

function opOf(type: string, payload: LedgerEvent['payload'], id: string | null, find: (id: unknown) => ModelTask): Op {
  switch (type) {
    case 'TaskCreated':
      return {
        do: 'create',
        kind: payload['kind'] as RestTask['kind'],
        parent: payload['parent_id'] === null ? undefined : find(payload['parent_id']),
        priority: Number(payload['priority']),
        blockers: (payload['blocked_by'] as readonly string[]).map(find),
      };
    case 'TaskUpdated': {
      const task = find(id);
      const context = payload['context'] as string | null;
      return { do: 'update', task, context, priority: Number(payload['priority']) };
    }
    case 'TaskCompleted':
      return { do: 'complete', task: find(id) };
    case 'TaskCancelled':
      return { do: 'cancel', task: find(id) };
    case 'TaskStatusChanged':
      return { do: 'set', task: find(id), status: payload['status'] as RestTask['status'] };
    case 'TaskDeleted':
      return { do: 'remove', task: find(id) };
    case 'BlockerAdded':
      return { do: 'block', task: find(id), blocker: find(payload['blocker_id']) };
    case 'BlockerRemoved':
      return { do: 'unblock', task: find(id), blocker: find(payload['blocker_id']) };
    default:
      throw new Error(`nobody did anything that is a ${type}`);
  }
}
