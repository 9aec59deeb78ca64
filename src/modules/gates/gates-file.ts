import { parse, TomlError, type TomlTable, type TomlValue } from 'smol-toml';
import { AppError, invalidField } from '../../errors.js';
import { type GateInput, gateNumbers, gateSpec, type GateSpec, maxGates } from './rules.js';

/** Where a repository lists gates of its own. */
export const gatesFilePath = '.muster/gates.toml';
/** More than as many gates as there may be come to, each with the longest command. */
export const maxGatesFileBytes = 1024 * 1024;

/** Of arrays and tables within a value; there is no use for any. */
const maxDepth = 8;

/**
 * Reads the text of a file of gates, in TOML: any number of `[[gate]]`, each with the fields of a gate by the names that the API has for
 * them.
 *
 * @throws AppError `invalid_request` or `too_large` naming line and column, or the field, such as `gate[1].timeout_secs` of the second gate.
 */
export function parseGatesFile(text: string): readonly GateSpec[] {
  const { gate: tables = [], ...others } = parseToml(text);
  refuseUnknown(others, '', ['gate']);
  if (!Array.isArray(tables) || !tables.every(isTable)) {
    throw invalidField('gate', 'must be tables, each headed by [[gate]]');
  }
  if (tables.length > maxGates) throw invalidField('gate', `may be ${maxGates} at most`);
  const gates = tables.map((table, index) => gateSpec(inputOf(table, `gate[${index}].`), `gate[${index}].`));
  gates.forEach(({ name }, index) => {
    const first = gates.findIndex((each) => each.name === name);
    if (first < index) throw invalidField(`gate[${index}].name`, `is the one of gate[${first}], too`);
  });
  return gates;
}

function parseToml(text: string): TomlTable {
  try {
    // What is no whole number shows by its type then.
    return parse(text, { integersAsBigInt: true, maxDepth });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column, message } = error;
    // Behind it come the lines themselves.
    const why = message.replace(/^Invalid TOML document: /, '').split('\n')[0];
    throw new AppError('invalid_request', `line ${line}, column ${column}: ${why}`, { details: { line, column } });
  }
}

type NumberKey = keyof typeof gateNumbers;
const numberKeys = Object.keys(gateNumbers) as NumberKey[];
const known = ['name', 'command', ...numberKeys.map((key) => gateNumbers[key].field)];

function inputOf(table: TomlTable, at: string): GateInput {
  refuseUnknown(table, at, known);
  const numbers = numberKeys.map((key) => [key, numberOf(table, at, gateNumbers[key].field)] as const);
  return {
    name: textOf(table, at, 'name'),
    command: textOf(table, at, 'command'),
    ...(Object.fromEntries(numbers) as Partial<Record<NumberKey, number>>),
  };
}

function textOf(table: TomlTable, at: string, key: string): string {
  const value = table[key] ?? '';
  if (typeof value === 'string') return value;
  throw invalidField(`${at}${key}`, 'must be text');
}

function numberOf(table: TomlTable, at: string, key: string): number | undefined {
  const value = table[key];
  if (value === undefined) return undefined;
  if (typeof value === 'bigint') return Number(value);
  throw invalidField(`${at}${key}`, 'must be a whole number');
}

function refuseUnknown(table: TomlTable, at: string, names: readonly string[]): void {
  const unknown = Object.keys(table).find((key) => !names.includes(key));
  if (unknown === undefined) return;
  const shown = /^[A-Za-z0-9_-]+$/.test(unknown) ? unknown : JSON.stringify(unknown);
  throw invalidField(`${at}${shown}`, `is not known; there is ${names.join(', ')}`);
}

function isTable(value: TomlValue): value is TomlTable {
  return typeof value === 'object' && !Array.isArray(value) && Object.getPrototypeOf(value) === null;
}
