import { createFieldReader, type FieldReader, type Fields, idOf, isFields, own, quoted, typeName } from './fields.js';
import type { Line } from './lines.js';
import {
  type Item,
  type ItemState,
  type Link,
  maxItems,
  type Problem,
  type Reference,
  type SourcePlan,
} from './source-plan.js';

/** Takes the lines of an `issues.jsonl` of beads one by one. Bad ones become problems; it never throws. */
export interface BeadsParser {
  add(line: Line): void;
  plan(): SourcePlan;
}

export function createBeadsParser(): BeadsParser {
  const items: Item[] = [];
  const problems: Problem[] = [];
  let surplus = false;
  return {
    add(line) {
      const item = itemOf(line, problems);
      if (item === undefined) return;
      if (items.length < maxItems) items.push(item);
      else if (!surplus) {
        surplus = true;
        problems.push(lineError(line.number, `is one more than the ${maxItems} records that are allowed`));
      }
    },
    plan: () => ({ items, problems }),
  };
}

function itemOf(line: Line, problems: Problem[]): Item | undefined {
  if ('fault' in line) {
    problems.push(lineError(line.number, line.fault));
    return undefined;
  }
  if (line.text.trim() === '') return undefined;
  const fields = fieldsOf(line.text);
  if (typeof fields === 'string') {
    problems.push(lineError(line.number, fields));
    return undefined;
  }
  // Exports hold other records besides issues, such as what an agent was to remember.
  const type = own(fields, '_type');
  if (typeof type === 'string' && type !== 'issue') return undefined;
  const id = idOf(own(fields, 'id'));
  const reader = createFieldReader(fields, { line: line.number, id }, problems);
  if (id !== undefined && typeof own(fields, 'id') === 'string') return readIssue(fields, id, line.number, reader);
  reader.error('id', own(fields, 'id') === undefined ? 'is required' : 'has to be a word or so, on one line');
  return undefined;
}

/** An object, or what the line is instead. */
function fieldsOf(text: string): Fields | string {
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : `has to be a JSON object, not ${typeName(value)}`;
  } catch {
    return /^(?:<{7}|={7}|>{7})/.test(text) ? 'is left from a merge conflict' : 'is no JSON';
  }
}

function lineError(line: number, message: string): Problem {
  return { severity: 'error', line, id: undefined, field: undefined, message };
}

function readIssue(fields: Fields, id: string, line: number, reader: FieldReader): Item {
  const type = reader.text('issue_type') || 'task';
  const status = reader.text('status') || 'open';
  const title = reader.text('title');
  const isWork = !notWork.has(type) && !isMarked(fields, reader);
  if (isWork && status !== 'tombstone' && title.trim() === '') reader.error('title', 'is required');
  const state = isWork ? stateOf(status, reader) : 'gone';
  const dependencies = readDependencies(id, reader);
  const labels = reader.texts('labels').join(', ');
  const facts = [
    ['Type', type],
    ['Labels', labels],
    ['Assignee', reader.text('assignee')],
    ['External reference', reader.text('external_ref')],
    ['Closed because', reader.text('close_reason')],
  ] as const;
  return {
    id,
    line,
    title,
    description: reader.text('description'),
    sections: [
      { heading: 'Design', text: reader.text('design') },
      { heading: 'Acceptance criteria', text: reader.text('acceptance_criteria') },
      { heading: 'Notes', text: reader.text('notes') },
    ],
    facts: facts.flatMap(([name, value]) => (value === '' ? [] : [`${name}: ${value}`])),
    isEpic: type === 'epic' || type === 'molecule',
    priority: readPriority(own(fields, 'priority'), reader),
    createdAt: timeOf(reader.text('created_at')),
    ...dependencies,
    state: reader.isBad ? 'bad' : state,
  };
}

/** Records of how agents work with each other; nothing that somebody could do in a repository. */
const notWork: ReadonlySet<string> = new Set([
  'agent',
  'convoy',
  'event',
  'gate',
  'merge-request',
  'message',
  'rig',
  'role',
  'slot',
]);

function isMarked(fields: Fields, reader: FieldReader): boolean {
  return ['pinned', 'is_template', 'ephemeral'].some((name) => {
    const value = own(fields, name) ?? false;
    if (typeof value !== 'boolean') reader.error(name, `has to be true or false, not ${typeName(value)}`);
    return value === true;
  });
}

function stateOf(status: string, reader: FieldReader): ItemState {
  switch (status) {
    case 'open':
      return 'open';
    case 'closed':
      return 'done';
    case 'tombstone':
    case 'pinned':
      return 'gone';
    default:
      reader.warn('status', `is ${quoted(status)} there, and Pending here`);
      return 'open';
  }
}

/** Left out it is 0, as beads reads its own files. */
function readPriority(value: unknown, reader: FieldReader): number {
  if (value === undefined || value === null) return 0;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 4) return Math.min(value, 3);
  reader.error('priority', 'has to be a whole number from 0 to 4');
  return 2;
}

function timeOf(text: string): number | undefined {
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

function readDependencies(id: string, reader: FieldReader): Pick<Item, 'parents' | 'blockers' | 'links'> {
  const parents: Reference[] = [];
  const blockers: Reference[] = [];
  const links: Link[] = [];
  for (const [index, each] of reader.list('dependencies').entries()) {
    const field = `dependencies[${index}]`;
    if (!isFields(each)) {
      reader.error(field, `has to be an object, not ${typeName(each)}`);
      continue;
    }
    const from = own(each, 'issue_id') ?? id;
    const to = own(each, 'depends_on_id');
    const type = own(each, 'type') ?? 'blocks';
    const target = typeof to === 'string' ? idOf(to) : undefined;
    const word = typeof type === 'string' ? idOf(type) : undefined;
    if (target === undefined) reader.error(`${field}.depends_on_id`, 'has to be the id of an issue');
    else if (word === undefined) reader.error(`${field}.type`, 'has to be a word');
    else if (from !== id) reader.error(`${field}.issue_id`, `has to be ${id}, whose dependency it is`);
    else if (word === 'parent-child') parents.push({ id: target, field });
    // To wait for what is below an issue is to wait for the issue: it is not done before.
    else if (word === 'blocks' || word === 'waits-for') blockers.push({ id: target, field });
    else {
      if (word === 'conditional-blocks') {
        reader.warn(field, `waits for ${target} to fail, which nothing here can; it is only told in the context`);
      }
      links.push({ type: word, id: target });
    }
  }
  return { parents, blockers, links };
}
