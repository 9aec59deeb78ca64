import { create, ScalarType, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence, ValueSchema, NullValue, StructSchema } from '@bufbuild/protobuf/wkt';
import type { Struct, Timestamp, Value } from '@bufbuild/protobuf/wkt';
import { TimestampSchema } from '@bufbuild/protobuf/wkt';
import { invalidField } from '../../errors.js';
import { halfPair, type Json, JsonText, setOwn } from '../json.js';
import { isWireTime } from './limits.js';
import { enumWords } from './words.js';

/**
 * Domain values are plain objects in the documented words. By descriptor, one field at a time:
 *
 *   message              object, keys in camelCase; an unset field is left out
 *   enum                 its word; the unspecified value is left out
 *   google.protobuf      Timestamp: Date; Value and Struct: JSON (or JsonText on the way out)
 *   64-bit integers      number (they must fit)
 *   member of a oneof    a field like any other, of which one is set
 */
export type Plain = { readonly [field: string]: unknown };

/** Turns messages of one type into domain values and back. */
export interface Codec {
  decode(message: Message): Plain;
  encode(plain: Plain): Message;
}

interface FieldCodec {
  read(message: Record<string, unknown>, into: Record<string, unknown>): void;
  write(plain: Plain, into: Record<string, unknown>): void;
}

const cache = new Map<string, Codec>();

export function codecOf(desc: DescMessage): Codec {
  const known = cache.get(desc.typeName);
  if (known !== undefined) return known;
  let fields: readonly FieldCodec[] | undefined;
  // Compiled at first use, not here, since message types may contain themselves.
  const compiled = (): readonly FieldCodec[] => (fields ??= desc.fields.map(compileField));
  const codec: Codec = {
    decode(message) {
      const plain: Record<string, unknown> = {};
      for (const field of compiled()) field.read(message as unknown as Record<string, unknown>, plain);
      return plain;
    },
    encode(plain) {
      const message = create(desc) as unknown as Record<string, unknown>;
      for (const field of compiled()) field.write(plain, message);
      return message as unknown as Message;
    },
  };
  cache.set(desc.typeName, codec);
  return codec;
}

/** Throws for a message that has no domain value: a map in it, or an enum value without a word. */
export function checkCodec(desc: DescMessage, seen = new Set<string>()): void {
  if (seen.has(desc.typeName) || desc.file.proto.package === 'google.protobuf') return;
  seen.add(desc.typeName);
  for (const field of desc.fields) {
    compileField(field);
    if (field.message !== undefined) checkCodec(field.message, seen);
  }
}

interface ValueCodec {
  decode(value: unknown): unknown;
  encode(value: unknown): unknown;
}

const same: ValueCodec = { decode: (value) => value, encode: (value) => value };

function compileField(field: DescField): FieldCodec {
  const name = field.localName;
  const value = compileValue(field);
  const oneof = field.oneof?.localName;
  const implicitEnum = field.fieldKind === 'enum' && field.presence === FeatureSet_FieldPresence.IMPLICIT;
  return {
    read(message, into) {
      if (oneof !== undefined) {
        const group = message[oneof] as { case?: string; value?: unknown };
        if (group.case === name) into[name] = value.decode(group.value);
        return;
      }
      const raw = message[name];
      if (raw === undefined || (implicitEnum && raw === 0)) return;
      into[name] = value.decode(raw);
    },
    write(plain, into) {
      const raw = plain[name];
      // A Value field can be JSON null; for every other field null means unset.
      if (raw === undefined || (raw === null && !isValue(field))) return;
      const encoded = value.encode(raw);
      if (oneof !== undefined) into[oneof] = { case: name, value: encoded };
      else into[name] = encoded;
    },
  };
}

function isValue(field: DescField): boolean {
  return field.fieldKind === 'message' && field.message.typeName === ValueSchema.typeName;
}

function compileValue(field: DescField): ValueCodec {
  switch (field.fieldKind) {
    case 'scalar':
      return scalarCodec(field.scalar, field.name);
    case 'enum':
      return enumCodec(field);
    case 'message':
      return messageCodec(field.message, field.name);
    case 'list':
      return listCodec(
        field.listKind === 'message'
          ? messageCodec(field.message, field.name)
          : field.listKind === 'enum'
            ? enumCodec(field)
            : scalarCodec(field.scalar, field.name),
      );
    case 'map':
      throw new Error(`${field.parent.typeName}.${field.name}: map fields are not supported; use a Struct`);
  }
}

function enumCodec(field: DescField & { enum: NonNullable<DescField['enum']> }): ValueCodec {
  const words = enumWords(field.enum);
  return {
    decode(number) {
      const word = words.toWord(number as number);
      if (word === undefined) {
        throw invalidField(field.name, `${String(number)} is none of ${words.words.join(', ')}`);
      }
      return word;
    },
    encode(word) {
      const number = words.toNumber(word as string);
      if (number === undefined) throw new Error(`${field.parent.typeName}.${field.name}: no word '${String(word)}'`);
      return number;
    },
  };
}

function scalarCodec(scalar: ScalarType, name: string): ValueCodec {
  switch (scalar) {
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return {
        decode(value) {
          const number = Number(value as bigint);
          if (!Number.isSafeInteger(number)) throw invalidField(name, 'must be an integer of up to 53 bits');
          return number;
        },
        encode: (value) => BigInt(value as number),
      };
    default:
      return same;
  }
}

function listCodec(item: ValueCodec): ValueCodec {
  if (item === same) return same;
  return {
    decode: (list) => (list as unknown[]).map((each) => item.decode(each)),
    encode: (list) => (list as unknown[]).map((each) => item.encode(each)),
  };
}

function messageCodec(desc: DescMessage, name: string): ValueCodec {
  switch (desc.typeName) {
    case TimestampSchema.typeName:
      return { decode: (value) => dateOf(value as Timestamp, name), encode: (value) => timestampOf(value as Date) };
    case ValueSchema.typeName:
      return { decode: (value) => jsonOf(value as Value, name), encode: (value) => valueOf(plainJson(value)) };
    case StructSchema.typeName:
      // Outside of Value, protobuf-es has Struct fields as JSON objects already.
      return { decode: (value) => value, encode: plainJson };
    default: {
      const codec = codecOf(desc);
      return { decode: (value) => codec.decode(value as Message), encode: (value) => codec.encode(value as Plain) };
    }
  }
}

function plainJson(value: unknown): Json {
  return value instanceof JsonText ? value.value() : (value as Json);
}

function dateOf(timestamp: Timestamp, name: string): Date {
  const date = new Date(Number(timestamp.seconds) * 1000 + Math.floor(timestamp.nanos / 1e6));
  if (!isWireTime(date)) throw invalidField(name, 'must be between the years 1 and 9999');
  return date;
}

function timestampOf(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  const message = create(TimestampSchema);
  message.seconds = BigInt(seconds);
  message.nanos = (ms - seconds * 1000) * 1e6;
  return message;
}

/** The JSON that a protobuf Value stands for; one without a kind counts as null. `field` is what an error names. */
export function jsonOf(value: Value, field = 'value'): Json {
  const { kind } = value;
  switch (kind.case) {
    case 'structValue': {
      const object: { [key: string]: Json } = {};
      for (const [key, member] of Object.entries(kind.value.fields)) {
        if (!key.isWellFormed()) throw invalidField(field, halfPair);
        setOwn(object, key, jsonOf(member, field));
      }
      return object;
    }
    case 'listValue':
      return kind.value.values.map((each) => jsonOf(each, field));
    case 'numberValue':
      if (!Number.isFinite(kind.value)) throw invalidField(field, `JSON has no number ${kind.value}`);
      return kind.value;
    case 'stringValue':
      if (!kind.value.isWellFormed()) throw invalidField(field, halfPair);
      return kind.value;
    case 'boolValue':
      return kind.value;
    case 'nullValue':
    case undefined:
      return null;
  }
}

/** The protobuf Value that stands for a JSON value. */
export function valueOf(json: Json): Value {
  return { $typeName: ValueSchema.typeName, kind: kindOf(json) };
}

function kindOf(json: Json): Value['kind'] {
  if (json === null) return { case: 'nullValue', value: NullValue.NULL_VALUE };
  switch (typeof json) {
    case 'number':
      return { case: 'numberValue', value: json };
    case 'string':
      return { case: 'stringValue', value: json };
    case 'boolean':
      return { case: 'boolValue', value: json };
    default:
      if (Array.isArray(json)) {
        const values = (json as readonly Json[]).map(valueOf);
        return { case: 'listValue', value: { $typeName: 'google.protobuf.ListValue', values } };
      }
      return { case: 'structValue', value: structOf(json as { readonly [key: string]: Json }) };
  }
}

function structOf(json: { readonly [key: string]: Json }): Struct {
  const fields: { [key: string]: Value } = {};
  for (const [key, member] of Object.entries(json)) setOwn(fields, key, valueOf(member));
  return { $typeName: StructSchema.typeName, fields };
}
