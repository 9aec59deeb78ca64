import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Edge, findCycles } from '../../../src/cli/import/cycles.js';
import type { Imported, ImportPlan, Kind } from '../../../src/cli/import/plan.js';
import { parseTaskMaster } from '../../../src/cli/import/task-master.js';
import { jsonl, planOf, readBeadsText } from './plans.js';

/** Ids of which few are the same, and some are no ids. */
const id = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 9 }).map((n) => `bd-${n}`) },
  { weight: 1, arbitrary: fc.constantFrom('__proto__', 'constructor', 'toString', '', ' ', 'a\nb') },
  { weight: 1, arbitrary: fc.jsonValue() },
);
const text = fc.oneof(
  fc.string(),
  fc.constantFrom('x', 'open', 'closed', 'task', 'epic', 'in_progress'),
  fc.jsonValue(),
);
const dependency = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({ depends_on_id: id, type: fc.constantFrom('blocks', 'parent-child', 'related') }),
  },
  { weight: 1, arbitrary: fc.jsonValue() },
);
const issue = fc.record(
  {
    id,
    title: fc.oneof({ weight: 9, arbitrary: fc.constant('Do it') }, { weight: 1, arbitrary: text }),
    description: text,
    notes: text,
    labels: fc.oneof(fc.array(text), text),
    status: fc.oneof(fc.constantFrom('open', 'closed', 'tombstone'), text),
    issue_type: fc.oneof(fc.constantFrom('task', 'epic'), text),
    priority: fc.oneof(fc.integer({ min: -1, max: 5 }), fc.jsonValue()),
    pinned: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.jsonValue() }),
    created_at: fc.oneof(fc.constantFrom('2026-01-01T00:00:00Z'), text),
    dependencies: fc.oneof(
      { weight: 9, arbitrary: fc.array(dependency, { maxLength: 4 }) },
      { weight: 1, arbitrary: fc.jsonValue() },
    ),
  },
  { requiredKeys: ['id', 'title'] },
);
const number = fc.oneof(
  fc.integer({ min: 0, max: 5 }),
  fc.constantFrom('1', '1.1', '2.2', '__proto__'),
  fc.jsonValue(),
);
const subtask = fc.record({ id: number, title: text, dependencies: fc.array(number, { maxLength: 3 }), status: text });
const task = fc.record(
  {
    id: number,
    title: text,
    status: fc.oneof(fc.constantFrom('pending', 'done', 'cancelled'), text),
    dependencies: fc.oneof(fc.array(number, { maxLength: 3 }), fc.jsonValue()),
    subtasks: fc.oneof(fc.array(fc.oneof(subtask, fc.jsonValue()), { maxLength: 4 }), fc.jsonValue()),
    priority: text,
  },
  { requiredKeys: ['id', 'title'] },
);
const tagged = fc.dictionary(
  fc.constantFrom('master', 'tasks', 'metadata', '__proto__', 'x'),
  fc.oneof(fc.record({ tasks: fc.array(task, { maxLength: 6 }) }), fc.array(task, { maxLength: 6 }), fc.jsonValue()),
);

/** What an earlier import may have left. */
const imported = fc
  .dictionary(
    fc.integer({ min: 0, max: 9 }).map((n) => `bd-${n}`),
    fc.record({
      kind: fc.constantFrom<Kind>('Milestone', 'Task', 'Subtask'),
      status: fc.constantFrom('Pending', 'InProgress', 'Completed', 'Cancelled'),
    }),
    { maxKeys: 3 },
  )
  .map((known) => {
    const entries = Object.entries(known).map(([name, facts]): [string, Imported] => [
      name,
      { ...facts, id: `id_${name}`, parentId: facts.kind === 'Subtask' ? 'task_elsewhere' : undefined },
    ]);
    return new Map(entries);
  });

/** What the server asks of tasks that are created in this order. */
function checkOrder({ tasks }: ImportPlan): void {
  const made = new Map<string, Kind>();
  for (const { item, kind, parent, parentId, blockers, imported: known, priority } of tasks.map((each) => ({
    ...each,
    priority: each.item.priority,
  }))) {
    expect(made.has(item.id)).toBe(false);
    if (known === undefined) {
      const above = parent === undefined ? undefined : made.get(parent);
      if (parentId === undefined) {
        expect([parent === undefined, above !== undefined]).toContain(true);
        const allowed: Readonly<Record<Kind, readonly unknown[]>> = {
          Milestone: [undefined],
          Task: [undefined, 'Milestone'],
          Subtask: ['Task'],
        };
        expect(allowed[kind]).toContain(above);
      }
      for (const blocker of blockers) expect(made.has(blocker)).toBe(true);
    }
    expect([0, 1, 2, 3]).toContain(priority);
    made.set(item.id, kind);
  }
}

test('nothing that a file may hold makes the parser of beads throw, and what it plans can be made in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 9, arbitrary: issue }, { weight: 1, arbitrary: fc.jsonValue() }), { maxLength: 14 }),
      imported,
      fc.boolean(),
      async (records, known, withClosed) => {
        checkOrder(planOf(await readBeadsText(jsonl(...records), 4096), { imported: known, withClosed }));
      },
    ),
    { numRuns: 600 },
  );
});

/** One each; those that nothing can be said about are blank. */
function linesThatSay(bytes: Uint8Array): number {
  const lines = Buffer.from(bytes).toString('latin1').split('\n');
  return lines.filter((line) => Buffer.from(line, 'latin1').toString().trim() !== '').length;
}

test('nor do any bytes, and each line is told of', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
      const { items, problems } = await readBeadsText(bytes, 5);
      expect([items.length, problems.length]).toEqual([0, linesThatSay(bytes)]);
    }),
    { numRuns: 500 },
  );
});

test('nor does text that is torn', async () => {
  const torn = fc.tuple(issue, fc.nat()).map(([record, at]) => {
    const line = JSON.stringify(record);
    return line.slice(0, 1 + (at % (line.length - 1)));
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          torn,
          fc.string({ minLength: 1 }).map((line) => `x${line}`),
        ),
      ),
      async (lines) => {
        const { items, problems } = await readBeadsText(lines.join('\n'), 64);
        expect(items).toEqual([]);
        expect(problems.length).toBeGreaterThanOrEqual(lines.length);
      },
    ),
    { numRuns: 300 },
  );
});

test('the same for Task Master', () => {
  fc.assert(
    fc.property(
      fc.oneof({ weight: 4, arbitrary: tagged }, { weight: 1, arbitrary: fc.jsonValue() }),
      fc.boolean(),
      (root, withClosed) => {
        checkOrder(planOf(parseTaskMaster(JSON.stringify(root), undefined), { source: 'task-master', withClosed }));
      },
    ),
    { numRuns: 600 },
  );
});

/** By the definition, without anything that makes it quick: a task is a start and an end, and one comes before another. */
function isStuck(edges: readonly Edge[], parents: ReadonlyMap<string, string>): boolean {
  const names = new Set([...parents].flat().concat(edges.flatMap(({ task: waits, blocker }) => [waits, blocker])));
  const arrows = [...names].map((name) => [`<${name}`, `>${name}`]);
  for (const [child, parent] of parents) arrows.push([`<${parent}`, `<${child}`], [`>${child}`, `>${parent}`]);
  for (const { task: waits, blocker } of edges) arrows.push([`>${blocker}`, `<${waits}`]);
  const reaches = (from: string, goal: string, seen = new Set<string>()): boolean =>
    arrows.some(([a, b = '']) => {
      if (a !== from || seen.has(b)) return false;
      seen.add(b);
      return b === goal || reaches(b, goal, seen);
    });
  return [...names].some((name) => reaches(`<${name}`, `<${name}`));
}

test('exactly those dependencies are cut that would close a circle', () => {
  const name = fc.integer({ min: 0, max: 8 });
  fc.assert(
    fc.property(
      // A parent has a smaller number, and there are two levels below the top.
      fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 8, maxLength: 8 }),
      fc.array(fc.tuple(name, name), { maxLength: 10 }),
      (above, pairs) => {
        const parents = new Map<string, string>();
        const depth = [0];
        above.forEach((parent, index) => {
          const own = index + 1;
          const isBelow = parent < own && (depth[parent] ?? 0) < 2;
          depth[own] = isBelow ? (depth[parent] ?? 0) + 1 : 0;
          if (isBelow) parents.set(String(own), String(parent));
        });
        const edges = pairs.map(([waits, blocker]) => ({ task: String(waits), blocker: String(blocker) }));
        const cut = new Set(findCycles(edges, parents).map(({ edge }) => edge));
        const kept: Edge[] = [];
        for (const edge of edges) {
          const closes = isStuck([...kept, edge], parents);
          expect(cut.has(edge)).toBe(closes);
          if (!closes) kept.push(edge);
        }
      },
    ),
    { numRuns: 400 },
  );
});
