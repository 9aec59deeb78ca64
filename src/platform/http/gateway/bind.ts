import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { StructSchema, TimestampSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import { AppError, invalidField } from '../../../errors.js';
import type { Plain } from '../../rpc/codec.js';
import { fieldReader, restJson, singleReader, withDefaults } from './rest-json.js';
import type { Route } from './routes.js';

/** Builds the request of a route from its path, query and body. Everything that is wrong is named and refused. */
export type Bind = (segments: readonly string[], query: string, body: unknown) => Plain;

/** A field that a path or query text can fill: where it is, and how its text is read. */
interface TextField {
  readonly field: DescField;
  /** The fields from the request to this one, which is the last. */
  readonly steps: readonly DescField[];
  readonly read: (text: string, name: string) => unknown;
}

export function createBind(route: Route): Bind {
  const { input } = route.rpc.desc;
  const queryFields = new Map<string, TextField>();
  if (route.body !== 'whole') collectTextFields(input, '', [], route, queryFields);
  const variables = route.template.variables.map((variable) => {
    const name = variable.field.join('.');
    return { ...variable, name, target: textFieldAt(input, variable.field), first: variable.first };
  });
  const whole = restJson(input);
  const nested = [...queryFields.values(), ...variables.map(({ target }) => target)].some(
    ({ steps }) => steps.length > 1,
  );
  const bodyReader = typeof route.body === 'object' ? fieldReader(route.body) : undefined;
  /** A body may not say again, or otherwise, what the path says. */
  const checkPathFields = (body: unknown): void => {
    for (const { name, field } of variables) if (isGiven(body, field)) throw invalidField(name, 'is told by the path');
  };

  return (segments, query, body) => {
    let plain: Record<string, unknown> = {};
    if (route.body === 'whole') {
      // Made for this request alone, and with its defaults.
      plain = whole.read(body === undefined ? {} : body, '') as Record<string, unknown>;
      checkPathFields(body);
    } else if (bodyReader !== undefined && typeof route.body === 'object') {
      if (body !== undefined) plain[route.body.localName] = bodyReader(body, route.body.name);
      checkPathFields({ [route.body.name]: body });
    } else if (body !== undefined) {
      throw new AppError('invalid_request', 'This path takes no body.');
    }
    if (query !== '') bindQuery(query, queryFields, plain);
    for (const { name, target, first, end } of variables) {
      const text = decode(endOf(segments, first, end, route), name);
      assign(plain, target, target.read(text, name));
    }
    if (nested) return withNestedDefaults(input, plain);
    return route.body === 'whole' ? plain : withDefaults(input, plain);
  };
}

/** Whether the body has this field; `null` is as good as absent. */
function isGiven(body: unknown, field: readonly string[]): boolean {
  let at = body;
  for (const name of field) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, name)) return false;
    at = (at as Record<string, unknown>)[name];
  }
  return at !== undefined && at !== null;
}

/** The text of a variable's segments, without the route's verb. */
function endOf(segments: readonly string[], first: number, end: number, route: Route): string {
  const { template } = route;
  const rest = template.segments.at(-1)?.kind === 'rest' && end === template.segments.length;
  const text = segments.slice(first, rest ? undefined : end).join('/');
  const isLast = end === template.segments.length;
  return isLast && template.verb !== '' ? text.slice(0, -template.verb.length - 1) : text;
}

function decode(text: string, name: string): string {
  try {
    return text.includes('%') ? decodeURIComponent(text) : text;
  } catch {
    throw invalidField(name, 'is not percent-encoded UTF-8');
  }
}

function bindQuery(query: string, fields: ReadonlyMap<string, TextField>, plain: Record<string, unknown>): void {
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const cut = pair.indexOf('=');
    const name = nameOf(pair, cut);
    const target = fields.get(name);
    if (target === undefined) throw invalidField(name, 'no such query parameter');
    const text = cut < 0 ? '' : decode(pair.slice(cut + 1).replaceAll('+', ' '), name);
    const value = target.read(text, name);
    checkOneofs(plain, target, name);
    if (target.field.fieldKind === 'list') {
      const list = valueAt(plain, target) as unknown[] | undefined;
      if (list === undefined) assign(plain, target, [value]);
      else list.push(value);
    } else {
      if (valueAt(plain, target) !== undefined) throw invalidField(name, 'may be given only once');
      assign(plain, target, value);
    }
  }
}

function nameOf(pair: string, cut: number): string {
  const rawName = cut < 0 ? pair : pair.slice(0, cut);
  return decode(rawName.replaceAll('+', ' '), rawName);
}

/** Refuses whatever a query asks for, where none is taken; `instead` says what is. */
export function refuseQuery(query: string, instead: string): void {
  const pair = query.split('&').find((each) => each !== '');
  if (pair !== undefined) throw invalidField(nameOf(pair, pair.indexOf('=')), `no such query parameter; ${instead}`);
}

function valueAt(plain: Record<string, unknown>, { steps }: TextField): unknown {
  let at: unknown = plain;
  for (const { localName } of steps) at = (at as Record<string, unknown> | undefined)?.[localName];
  return at;
}

function assign(plain: Record<string, unknown>, { steps }: TextField, value: unknown): void {
  let at = plain;
  steps.forEach(({ localName }, index) => {
    if (index === steps.length - 1) at[localName] = value;
    else at = (at[localName] ??= {}) as Record<string, unknown>;
  });
}

function checkOneofs(plain: Record<string, unknown>, { steps }: TextField, name: string): void {
  let at: Record<string, unknown> | undefined = plain;
  for (const step of steps) {
    const { oneof } = step;
    if (oneof?.fields.some((other) => other !== step && at?.[other.localName] !== undefined) === true) {
      throw invalidField(name, `only one field of ${oneof.name} can be set`);
    }
    at = at?.[step.localName] as Record<string, unknown> | undefined;
  }
}

/** The defaults of the messages, too, that only a path or query has made. */
function withNestedDefaults(desc: DescMessage, plain: Record<string, unknown>): Plain {
  for (const { fieldKind, localName, message } of desc.fields) {
    const value = plain[localName];
    if (fieldKind !== 'message' || message === undefined || value === undefined || value === null) continue;
    if (!isJson(message) && !isTime(message)) withNestedDefaults(message, value as Record<string, unknown>);
  }
  return withDefaults(desc, plain);
}

/** All fields that a query can fill, nested ones by their dotted names, but for those of the path and the body. */
function collectTextFields(
  desc: DescMessage,
  prefix: string,
  above: readonly DescField[],
  route: Route,
  into: Map<string, TextField>,
): void {
  for (const field of desc.fields) {
    const name = prefix + field.name;
    if (route.template.variables.some((variable) => variable.field.join('.') === name)) continue;
    if (above.length === 0 && route.body === field) continue;
    const steps = [...above, field];
    const read = textReader(field);
    if (read !== undefined) into.set(name, { field, steps, read });
    else if (field.fieldKind === 'message' && !into.has(name) && steps.length < 5 && !isJson(field.message)) {
      collectTextFields(field.message, `${name}.`, steps, route, into);
    }
  }
}

function textFieldAt(desc: DescMessage, names: readonly string[]): TextField {
  let at: DescMessage | undefined = desc;
  let field: DescField | undefined;
  const steps: DescField[] = [];
  for (const name of names) {
    field = at?.fields.find((candidate) => candidate.name === name);
    if (field !== undefined) steps.push(field);
    at = field?.message;
  }
  const read = field && textReader(field);
  if (field === undefined || read === undefined) throw new Error(`${names.join('.')} is no scalar field`);
  return { field, steps, read };
}

function isJson(desc: DescMessage): boolean {
  return desc.typeName === ValueSchema.typeName || desc.typeName === StructSchema.typeName;
}

function isTime(desc: DescMessage): boolean {
  return desc.typeName === TimestampSchema.typeName;
}

/** How the text of a path or query becomes a value of the field; undefined for fields that no text can fill. */
function textReader(field: DescField): ((text: string, name: string) => unknown) | undefined {
  const scalar = field.scalar;
  const json = elementReader(field);
  if (json === undefined) return undefined;
  if (scalar === ScalarType.BOOL) {
    return (text, name) => json(text === 'true' ? true : text === 'false' ? false : text, name);
  }
  if (scalar === undefined || scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return json;
  const form =
    scalar === ScalarType.DOUBLE || scalar === ScalarType.FLOAT ? /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/ : /^-?\d+$/;
  return (text, name) => json(form.test(text) ? Number(text) : text, name);
}

/** The JSON reader of a field's single value. */
function elementReader(field: DescField): ((json: unknown, path: string) => unknown) | undefined {
  if (field.fieldKind === 'map') return undefined;
  if (field.message !== undefined && !isTime(field.message)) return undefined;
  return singleReader(field);
}
