import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence, StructSchema, TimestampSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import { AppError, invalidField } from '../../../errors.js';
import { isoText } from '../../iso-text.js';
import { faultOfJson, JsonText } from '../../json.js';
import type { Plain } from '../../rpc/codec.js';
import { enumWords } from '../../rpc/words.js';
import { parseTimestamp } from './timestamp.js';

/**
 * The JSON of REST, by descriptor: names in snake_case, enums as their words, timestamps as RFC 3339 in UTC, `null` for
 * what is unset. Domain values (see platform/rpc/codec.ts) are read and written directly.
 */
export interface RestJson {
  /** `path` leads to the message inside the request and is what errors name. Unknown and ill-typed fields throw. */
  read(json: unknown, path: string): Plain;
  /** The message as JSON text. */
  write(plain: Plain): string;
}

type Read = (json: unknown, path: string) => unknown;
type Write = (value: unknown) => string;

const cache = new Map<string, RestJson>();

export function restJson(desc: DescMessage): RestJson {
  const known = cache.get(desc.typeName);
  if (known !== undefined) return known;
  let reader: Read | undefined;
  let writer: Write | undefined;
  const made: RestJson = {
    read: (json, path) => (reader ??= compileReader(desc))(json, path) as Plain,
    write: (plain) => (writer ??= compileWriter(desc))(plain),
  };
  cache.set(desc.typeName, made);
  return made;
}

/** Prints one field's value alone, as `response_body` asks for. */
export function fieldWriter(field: DescField): Write {
  const write = valueWriter(field);
  const unset = unsetText(field);
  return (value) => (value === undefined || value === null ? unset : write(value));
}

/** Reads one field's value alone, as a `body` that names a field asks for. */
export function fieldReader(field: DescField): Read {
  return valueReader(field);
}

/** Reads a field's single value; of a repeated field one item. */
export function singleReader(field: DescField): Read {
  return field.fieldKind === 'list' ? itemReader(field) : valueReader(field);
}

export function joinPath(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function compileReader(desc: DescMessage): Read {
  const fields = new Map(desc.fields.map((field) => [field.name, { field, read: valueReader(field) }]));
  return (json, path) => {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      throw path === ''
        ? new AppError('invalid_request', 'The body must be a JSON object.')
        : mustBe(path, 'an object');
    }
    const plain: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(json)) {
      const known = fields.get(name);
      if (known === undefined) throw invalidField(joinPath(path, name), 'no such field');
      if (value === null && !isValue(known.field)) {
        // Kept for optional fields, where null clears; for others, and beside the set field of a oneof, it is as good as absent.
        const clears = known.field.presence === FeatureSet_FieldPresence.EXPLICIT && known.field.oneof === undefined;
        if (clears) plain[known.field.localName] = null;
        continue;
      }
      const { oneof } = known.field;
      if (oneof?.fields.some((member) => member !== known.field && plain[member.localName] !== undefined)) {
        throw invalidField(joinPath(path, name), `only one field of ${oneof.name} can be set`);
      }
      plain[known.field.localName] = known.read(value, joinPath(path, name));
    }
    return withDefaults(desc, plain);
  };
}

/** Gives fields without presence their default, as a decoded message has them. */
export function withDefaults(desc: DescMessage, plain: Record<string, unknown>): Plain {
  for (const field of desc.fields) {
    if (plain[field.localName] !== undefined || field.presence !== FeatureSet_FieldPresence.IMPLICIT) continue;
    if (field.fieldKind === 'list') plain[field.localName] = [];
    else if (field.fieldKind === 'scalar') plain[field.localName] = scalarDefault(field.scalar);
  }
  return plain;
}

function scalarDefault(scalar: ScalarType): unknown {
  if (scalar === ScalarType.STRING) return '';
  if (scalar === ScalarType.BOOL) return false;
  if (scalar === ScalarType.BYTES) return new Uint8Array();
  return 0;
}

function isValue(field: DescField): boolean {
  return field.fieldKind === 'message' && field.message.typeName === ValueSchema.typeName;
}

function mustBe(path: string, what: string): AppError {
  return invalidField(path, `must be ${what}`);
}

function valueReader(field: DescField): Read {
  switch (field.fieldKind) {
    case 'scalar':
      return scalarReader(field.scalar);
    case 'enum':
      return enumReader(field);
    case 'message':
      return messageReader(field.message);
    case 'list': {
      const item = itemReader(field);
      return (json, path) => {
        if (!Array.isArray(json)) throw mustBe(path, 'an array');
        return json.map((each: unknown, index) => item(each, `${path}[${index}]`));
      };
    }
    case 'map':
      throw new Error(`${field.parent.typeName}.${field.name}: map fields are not supported; use a Struct`);
  }
}

function itemReader(field: DescField & { fieldKind: 'list' }): Read {
  switch (field.listKind) {
    case 'message':
      return messageReader(field.message);
    case 'enum':
      return enumReader(field);
    case 'scalar':
      return scalarReader(field.scalar);
  }
}

function enumReader(field: DescField & { enum: NonNullable<DescField['enum']> }): Read {
  const words = enumWords(field.enum);
  return (json, path) => {
    if (typeof json !== 'string' || words.toNumber(json) === undefined) {
      throw mustBe(path, `one of ${words.words.join(', ')}`);
    }
    return json;
  };
}

const int32 = { min: -(2 ** 31), max: 2 ** 31 - 1 };
const uint32 = { min: 0, max: 2 ** 32 - 1 };
const int64 = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER };
const uint64 = { min: 0, max: Number.MAX_SAFE_INTEGER };
/** Of both alphabets, padded or not. */
export const base64 = /^(?:[\w+/-]{4})*(?:[\w+/-]{2}(?:==)?|[\w+/-]{3}=?)?$/;

function scalarReader(scalar: ScalarType): Read {
  switch (scalar) {
    case ScalarType.STRING:
      return (json, path) => {
        if (typeof json !== 'string') throw mustBe(path, 'a string');
        return json;
      };
    case ScalarType.BOOL:
      return (json, path) => {
        if (typeof json !== 'boolean') throw mustBe(path, 'true or false');
        return json;
      };
    case ScalarType.BYTES:
      return (json, path) => {
        if (typeof json !== 'string' || !base64.test(json)) throw mustBe(path, 'a base64 string');
        return Buffer.from(json, 'base64');
      };
    case ScalarType.DOUBLE:
      return numberReader(Number.isFinite);
    case ScalarType.FLOAT:
      return numberReader((number) => Number.isFinite(Math.fround(number)));
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return integerReader(int32);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return integerReader(uint32);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return integerReader(uint64);
    default:
      return integerReader(int64);
  }
}

function numberReader(fits: (number: number) => boolean): Read {
  return (json, path) => {
    if (typeof json !== 'number' || !fits(json)) throw mustBe(path, 'a number');
    return json;
  };
}

function integerReader({ min, max }: { min: number; max: number }): Read {
  return (json, path) => {
    if (typeof json !== 'number' || !Number.isInteger(json)) throw mustBe(path, 'an integer');
    if (json < min || json > max) throw mustBe(path, `between ${min} and ${max}`);
    return json;
  };
}

function messageReader(desc: DescMessage): Read {
  switch (desc.typeName) {
    case TimestampSchema.typeName:
      return (json, path) => {
        if (typeof json !== 'string') throw mustBe(path, 'an RFC 3339 time');
        return parseTimestamp(json, path);
      };
    case ValueSchema.typeName:
      return anyJson;
    case StructSchema.typeName:
      return (json, path) => {
        if (typeof json !== 'object' || json === null || Array.isArray(json)) throw mustBe(path, 'an object');
        return anyJson(json, path);
      };
    default: {
      const nested = restJson(desc);
      return (json, path) => nested.read(json, path);
    }
  }
}

/** Takes JSON as it is. */
function anyJson(json: unknown, path: string): unknown {
  const fault = faultOfJson(json);
  if (fault !== undefined) throw invalidField(path, fault);
  return json;
}

function compileWriter(desc: DescMessage): Write {
  const fields = desc.fields.map((field, index) => ({
    localName: field.localName,
    lead: `${index === 0 ? '{' : ','}${JSON.stringify(field.name)}:`,
    write: fieldWriter(field),
  }));
  if (fields.length === 0) return () => '{}';
  return (value) => {
    const plain = value as Plain;
    let text = '';
    for (const field of fields) text += field.lead + field.write(plain[field.localName]);
    return `${text}}`;
  };
}

function unsetText(field: DescField): string {
  if (field.fieldKind === 'list') return '[]';
  if (field.fieldKind === 'scalar' && field.presence === FeatureSet_FieldPresence.IMPLICIT) {
    return field.scalar === ScalarType.BYTES ? '""' : JSON.stringify(scalarDefault(field.scalar));
  }
  return 'null';
}

function valueWriter(field: DescField): Write {
  switch (field.fieldKind) {
    case 'message':
      return messageWriter(field.message);
    case 'list': {
      const item = field.listKind === 'message' ? messageWriter(field.message) : printScalar;
      return (value) => `[${(value as readonly unknown[]).map(item).join(',')}]`;
    }
    default:
      return printScalar;
  }
}

function printScalar(value: unknown): string {
  return value instanceof Uint8Array ? JSON.stringify(Buffer.from(value).toString('base64')) : JSON.stringify(value);
}

function messageWriter(desc: DescMessage): Write {
  switch (desc.typeName) {
    case TimestampSchema.typeName:
      return (value) => `"${isoText(value as Date)}"`;
    case ValueSchema.typeName:
    case StructSchema.typeName:
      return (value) => (value instanceof JsonText ? value.text : JSON.stringify(value));
    default: {
      const nested = restJson(desc);
      return (value) => nested.write(value as Plain);
    }
  }
}
