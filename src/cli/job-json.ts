import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { codecOf, type Plain } from '../platform/rpc/codec.js';

/** A message as the JSON that REST prints for it: names in snake_case, documented words, `null` for what is unset. */
export function restShape(desc: DescMessage, message: Message): Readonly<Record<string, unknown>> {
  return shapeMessage(desc, codecOf(desc).decode(message));
}

function shapeMessage(desc: DescMessage, plain: Plain): Readonly<Record<string, unknown>> {
  return Object.fromEntries(desc.fields.map((field) => [field.name, shapeField(field, plain[field.localName])]));
}

function shapeField(field: DescField, value: unknown): unknown {
  if (value === undefined) return unset(field);
  if (field.fieldKind === 'list' && field.listKind === 'message') {
    return (value as readonly unknown[]).map((each) => shapeNested(field.message, each));
  }
  return field.fieldKind === 'message' ? shapeNested(field.message, value) : value;
}

function shapeNested(desc: DescMessage, value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  // Value and Struct are JSON already.
  return desc.typeName.startsWith('google.protobuf.') ? value : shapeMessage(desc, value as Plain);
}

function unset(field: DescField): unknown {
  if (field.fieldKind === 'list') return [];
  if (field.fieldKind !== 'scalar' || field.presence !== FeatureSet_FieldPresence.IMPLICIT) return null;
  return field.getDefaultValue();
}
