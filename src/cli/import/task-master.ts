import { createFieldReader, type FieldReader, type Fields, idOf, isFields, own, quoted, typeName } from './fields.js';
import { type Item, type ItemState, maxItems, type Problem, type Reference, type SourcePlan } from './source-plan.js';

/** Under what name a file without tags is filed. */
const defaultTag = 'master';

/**
 * Reads a `tasks.json` of Task Master, with tags or without. `tag` says which one; by default it is `master`, or the only one. Bad
 * records become problems; it never throws.
 */
export function parseTaskMaster(text: string, tag: string | undefined): SourcePlan {
  const items: Item[] = [];
  const problems: Problem[] = [];
  const chosen = chooseTag(text, tag, problems);
  if (chosen === undefined) return { items, problems };
  for (const [index, each] of chosen.tasks.entries()) {
    if (items.length >= maxItems) {
      problems.push(fileError(`tasks[${index}]`, `is one more than the ${maxItems} records that are allowed`));
      break;
    }
    items.push(...readTask(each, `tasks[${index}]`, chosen.tag, problems));
  }
  return { items, problems };
}

interface Chosen {
  readonly tag: string;
  readonly tasks: readonly unknown[];
}

function chooseTag(text: string, wanted: string | undefined, problems: Problem[]): Chosen | undefined {
  let root: unknown;
  try {
    root = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    problems.push(fileError(undefined, 'is no JSON'));
    return undefined;
  }
  if (!isFields(root)) {
    problems.push(fileError(undefined, `has to be a JSON object, not ${typeName(root)}`));
    return undefined;
  }
  const tags = tagsOf(root, problems);
  const names = [...tags.keys()].map(quoted).join(', ');
  const [first] = tags.keys();
  const tag = wanted ?? (tags.has(defaultTag) || tags.size !== 1 ? defaultTag : (first ?? defaultTag));
  const tasks = tags.get(tag);
  if (tags.size === 0) problems.push(fileError('tasks', 'is required: the list of tasks, by itself or in a tag'));
  else if (tasks === undefined)
    problems.push(fileError(undefined, `has no tag ${quoted(tag)}, but ${names}; see --tag`));
  else if (wanted === undefined && tags.size > 1) {
    problems.push({
      ...fileError(undefined, `has the tags ${names}; this is ${quoted(tag)}, and --tag takes another`),
      severity: 'warning',
    });
  }
  return tasks === undefined || idOf(tag) === undefined ? undefined : { tag, tasks };
}

function tagsOf(root: Fields, problems: Problem[]): ReadonlyMap<string, readonly unknown[]> {
  const tags = new Map<string, readonly unknown[]>();
  const add = (name: string, field: string, tasks: unknown): void => {
    if (tags.has(name)) problems.push(fileError(field, `is there twice: in a tag ${quoted(name)}, and without a tag`));
    else if (Array.isArray(tasks)) tags.set(name, tasks);
    else problems.push(fileError(field, `has to be a list, not ${typeName(tasks)}`));
  };
  for (const [name, value] of Object.entries(root)) {
    if (name !== 'tasks' && isFields(value) && Object.hasOwn(value, 'tasks'))
      add(name, `${name}.tasks`, value['tasks']);
  }
  if (Object.hasOwn(root, 'tasks')) {
    // A tag may be called so, too.
    const tasks = root['tasks'];
    if (isFields(tasks) && Object.hasOwn(tasks, 'tasks')) add('tasks', 'tasks.tasks', tasks['tasks']);
    else add(defaultTag, 'tasks', tasks);
  }
  return tags;
}

function fileError(field: string | undefined, message: string): Problem {
  return { severity: 'error', line: undefined, id: undefined, field, message };
}

/** Of two tags there may be a task 1 each. That of the default tag is plain 1. */
function scoped(tag: string, id: string): string {
  return tag === defaultTag ? id : `${tag}/${id}`;
}

interface Parent {
  /** As in the file. */
  readonly own: string;
  readonly priority: number;
  readonly siblings: ReadonlySet<string>;
}

function readTask(value: unknown, path: string, tag: string, problems: Problem[]): readonly Item[] {
  const fields = checkRecord(value, path, problems);
  const own = fields && taskIdOf(fields, path, problems);
  if (fields === undefined || own === undefined) return [];
  const reader = createFieldReader(fields, { line: undefined, id: scoped(tag, own) }, problems);
  const subtasks = reader.list('subtasks');
  const task = readFields(reader, { tag, own, parent: undefined });
  const siblings = new Set(subtasks.flatMap((each) => (isFields(each) ? (subtaskIdOf(own, each) ?? []) : [])));
  const parent = { own, priority: task.priority, siblings };
  return [
    task,
    ...subtasks.flatMap((each, index) => readSubtask(each, `${path}.subtasks[${index}]`, tag, parent, problems)),
  ];
}

function readSubtask(value: unknown, path: string, tag: string, parent: Parent, problems: Problem[]): readonly Item[] {
  const fields = checkRecord(value, path, problems);
  if (fields === undefined) return [];
  const own = subtaskIdOf(parent.own, fields);
  if (own === undefined) {
    problems.push(idError(path, parent.own));
    return [];
  }
  const reader = createFieldReader(fields, { line: undefined, id: scoped(tag, own) }, problems);
  if (reader.list('subtasks').length > 0) reader.error('subtasks', 'cannot be below a subtask');
  return [readFields(reader, { tag, own, parent })];
}

function checkRecord(value: unknown, path: string, problems: Problem[]): Fields | undefined {
  if (isFields(value)) return value;
  problems.push(fileError(path, `has to be an object, not ${typeName(value)}`));
  return undefined;
}

function taskIdOf(fields: Fields, path: string, problems: Problem[]): string | undefined {
  const id = idOf(own(fields, 'id'));
  if (id !== undefined && !id.includes('.')) return id;
  problems.push(idError(path, undefined));
  return undefined;
}

function idError(path: string, parent: string | undefined): Problem {
  return fileError(`${path}.id`, `has to be a number${parent === undefined ? '' : `, or text such as ${parent}.1`}`);
}

/** `2`, and also `1.2`, below 1 is 1.2. */
function subtaskIdOf(parent: string, fields: Fields): string | undefined {
  const id = idOf(own(fields, 'id'));
  if (id === undefined) return undefined;
  if (!id.includes('.')) return `${parent}.${id}`;
  return typeof fields['id'] === 'string' && id.startsWith(`${parent}.`) ? id : undefined;
}

function readFields(
  reader: FieldReader,
  { tag, own: id, parent }: { readonly tag: string; readonly own: string; readonly parent: Parent | undefined },
): Item {
  const title = reader.text('title');
  if (title.trim() === '') reader.error('title', 'is required');
  const blockers = reader.list('dependencies').flatMap((each, index): Reference[] => {
    const field = `dependencies[${index}]`;
    const named = idOf(each);
    if (named !== undefined) return [{ id: scoped(tag, resolve(named, parent)), field }];
    reader.error(field, 'has to be the id of a task');
    return [];
  });
  const item = {
    id: scoped(tag, id),
    line: undefined,
    title,
    description: reader.text('description'),
    sections: [
      { heading: 'Details', text: reader.text('details') },
      { heading: 'Acceptance criteria', text: reader.text('acceptanceCriteria') },
      { heading: 'Test strategy', text: reader.text('testStrategy') },
    ],
    facts: [],
    isEpic: false,
    parents: parent === undefined ? [] : [{ id: scoped(tag, parent.own), field: 'id' }],
    blockers,
    links: [],
    priority: readPriority(reader, parent?.priority ?? 2),
    createdAt: undefined,
  };
  const state = stateOf(reader);
  return { ...item, state: reader.isBad ? 'bad' : state };
}

/** Among subtasks a plain number is a sibling, where there is one, else a task. */
function resolve(named: string, parent: Parent | undefined): string {
  const sibling = parent === undefined ? undefined : `${parent.own}.${named}`;
  return sibling !== undefined && parent?.siblings.has(sibling) === true ? sibling : named;
}

function stateOf(reader: FieldReader): ItemState {
  const status = reader.text('status') || 'pending';
  switch (status) {
    case 'pending':
      return 'open';
    case 'done':
    case 'completed':
      return 'done';
    case 'cancelled':
    case 'canceled':
      return 'cancelled';
    default:
      reader.warn('status', `is ${quoted(status)} there, and Pending here`);
      return 'open';
  }
}

const priorities: Readonly<Record<string, number>> = { critical: 0, high: 1, medium: 2, low: 3 };

function readPriority(reader: FieldReader, inherited: number): number {
  const word = reader.text('priority');
  if (word === '') return inherited;
  const priority = Object.hasOwn(priorities, word) ? priorities[word] : undefined;
  if (priority === undefined) reader.warn('priority', `is ${quoted(word)} there, and normal here`);
  return priority ?? 2;
}
