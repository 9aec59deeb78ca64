import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence, StructSchema, TimestampSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import type { Json } from '../../../src/platform/json.js';
import type { Plain } from '../../../src/platform/rpc/codec.js';
import { enumWords } from '../../../src/platform/rpc/words.js';

/** Any domain value of a message: whatever can be unset sometimes is, and of a oneof at most one field is set. */
export function anyPlain(desc: DescMessage, depth = 0): fc.Arbitrary<Plain> {
  const fields = desc.fields.filter(({ oneof }) => oneof === undefined).map((field) => anyFieldOf(field, depth));
  const choices = desc.oneofs.map((oneof) => fc.oneof(...oneof.fields.map((field) => anyFieldOf(field, depth))));
  return fc.tuple(...fields, ...choices).map((parts) => Object.assign({}, ...parts) as Plain);
}

function anyFieldOf(field: DescField, depth: number): fc.Arbitrary<Plain> {
  const { localName } = field;
  const set = anyValue(field, depth).map((value) => ({ [localName]: value }));
  return field.presence === FeatureSet_FieldPresence.EXPLICIT ? fc.oneof(fc.constant({}), set) : set;
}

function anyValue(field: DescField, depth: number): fc.Arbitrary<unknown> {
  if (field.fieldKind !== 'list') return anySingle(field, depth);
  return depth > 1 ? fc.constant([]) : fc.array(anySingle(field, depth), { maxLength: 2 });
}

function anySingle(field: DescField, depth: number): fc.Arbitrary<unknown> {
  if (field.enum !== undefined) return fc.constantFrom(...enumWords(field.enum).words);
  if (field.message === undefined) return anyScalar(field.scalar);
  switch (field.message.typeName) {
    case TimestampSchema.typeName:
      return fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true });
    case ValueSchema.typeName:
      return fc.jsonValue() as fc.Arbitrary<Json>;
    case StructSchema.typeName:
      return fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 2 });
    default:
      return anyPlain(field.message, depth + 1);
  }
}

const scalars: { readonly [scalar in ScalarType]?: fc.Arbitrary<unknown> } = {
  [ScalarType.STRING]: fc.string(),
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.BYTES]: fc.uint8Array({ maxLength: 4 }),
  [ScalarType.DOUBLE]: fc.double({ noNaN: true, noDefaultInfinity: true }),
  [ScalarType.UINT32]: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  [ScalarType.INT64]: fc.maxSafeInteger(),
  [ScalarType.UINT64]: fc.maxSafeNat(),
  [ScalarType.INT32]: fc.integer(),
};

function anyScalar(scalar: ScalarType | undefined): fc.Arbitrary<unknown> {
  const found = scalar && scalars[scalar];
  if (found === undefined) throw new Error(`no values for scalar ${String(scalar)}`);
  return found;
}
