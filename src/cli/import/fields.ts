import { maxIdLength, type Problem } from './source-plan.js';

export type Fields = Readonly<Record<string, unknown>>;

/** Reads the fields of one record, and tells of all that are not what they should be. */
export interface FieldReader {
  /** Text that may be left out, then empty. */
  text(name: string): string;
  /** Texts that may be left out. */
  texts(name: string): readonly string[];
  /** The elements of a list that may be left out. */
  list(name: string): readonly unknown[];
  error(field: string, message: string): void;
  warn(field: string, message: string): void;
  /** Whether there have been errors. */
  readonly isBad: boolean;
}

export function createFieldReader(
  fields: Fields,
  at: { readonly line: number | undefined; readonly id: string | undefined },
  problems: Problem[],
): FieldReader {
  let isBad = false;
  const error = (field: string, message: string): void => {
    isBad = true;
    problems.push({ severity: 'error', ...at, field, message });
  };
  const checked = (field: string, value: unknown): string => {
    if (typeof value !== 'string') error(field, `has to be text, not ${typeName(value)}`);
    else if (value.includes('\0')) error(field, 'must not contain the character U+0000');
    else return value;
    return '';
  };
  const list = (name: string): readonly unknown[] => {
    const value = own(fields, name);
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    error(name, `has to be a list, not ${typeName(value)}`);
    return [];
  };
  return {
    text(name) {
      const value = own(fields, name);
      return value === undefined || value === null ? '' : checked(name, value);
    },
    texts: (name) => list(name).map((each, index) => checked(`${name}[${index}]`, each)),
    list,
    error,
    warn: (field, message) => void problems.push({ severity: 'warning', ...at, field, message }),
    get isBad() {
      return isBad;
    },
  };
}

/** What a record itself has, and not what every object has. */
export function own(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An id that can stand in a line of its own; undefined for anything else. */
export function idOf(value: unknown): string | undefined {
  const text = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value;
  return typeof text === 'string' && /^\S(?:.*\S)?$/u.test(text) && text.length <= maxIdLength && !hasControl(text)
    ? text
    : undefined;
}

function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text);
}

export function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return 'text';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** A word that was given, short enough for a message. */
export function quoted(text: string): string {
  return text.length > 60 ? `'${text.slice(0, 60)}…'` : `'${text}'`;
}
