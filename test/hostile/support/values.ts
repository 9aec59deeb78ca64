import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { StructSchema, TimestampSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import { enumWords } from '../../../src/platform/rpc/words.js';

type JsonObject = Readonly<Record<string, unknown>>;

/** A request as REST has it, wrong in one place. `text` is its JSON, which may say what a JavaScript object cannot. */
export interface Spoiled {
  /** The field that is wrong, such as `error.code` or `kinds[0]`. */
  readonly field: string;
  readonly text: string;
  /** Whether it is of a wrong type, and can only be refused. */
  readonly illTyped: boolean;
}

/** Values of the right type that break careless programs. */
const texts = [
  '"\\u0000"',
  '"a\\u0000b"',
  '"\\ud800"',
  '"a\\udfff\\ud800"',
  '"\\ufeff"',
  '"\\u202egnp.exe"',
  '"__proto__"',
  '"constructor"',
  '"\'; DROP TABLE jobs; --"',
  '"{{7*7}}"',
  '"../../etc/passwd"',
  '"%00"',
  '"\\r\\nSet-Cookie: a=b"',
  `"${'x'.repeat(100_000)}"`,
  `"${'😀'.repeat(10_000)}"`,
];
const numbers = ['-1', '0', '2147483647', '-2147483648', '9007199254740991', '-0'];
const jsons = [
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"a":1,"a":2}',
  '"a\\u0000b"',
  '["\\ud800"]',
  '{"\\u0000":1}',
  '1e308',
  '-1e-308',
  '123456789012345678901234567890',
  '['.repeat(100) + ']'.repeat(100),
];
const times = ['"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999999999Z"', '"2026-01-31T12:00:00+23:59"'];

/** Values of wrong types for all but JSON fields. */
const wrong = ['true', '1.5', '1e400', '"a"', '{}', '[[]]', '[null,{}]', '{"__proto__":{}}', '18446744073709551616'];

/** Every field of a request, at any depth, with every value that it might choke on. */
export function spoiledRequests(desc: DescMessage): readonly Spoiled[] {
  const sample = sampleOf(desc);
  const places = placesOf(desc, []);
  return places.flatMap(({ steps, field, item }) => {
    const name = steps.map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`));
    return valuesOf(field, item).flatMap(({ value, illTyped }) =>
      [sample, {}].map((base) => ({ field: name.join(''), text: textWith(base, steps, value), illTyped })),
    );
  });
}

/** Bodies that are wrong as a whole, whatever the request. */
export const spoiledBodies: readonly string[] = [
  '{"__proto__":{"kind":"a"}}',
  '{"constructor":{"prototype":{}}}',
  '{"toString":1}',
  '{"hasOwnProperty":1}',
  '{"":1}',
  '{"$typeName":"muster.v1.Job"}',
  '{"no such field":1}',
  '{"\\u0000":1}',
  '{"\\ud800":1}',
];

interface Place {
  readonly steps: readonly (string | number)[];
  readonly field: DescField;
  /** An item of a list, not the list. */
  readonly item: boolean;
}

function placesOf(desc: DescMessage, above: readonly (string | number)[]): readonly Place[] {
  return desc.fields.flatMap((field) => {
    const steps = [...above, field.name];
    const isList = field.fieldKind === 'list';
    const places: Place[] = [{ steps, field, item: false }];
    if (isList) places.push({ steps: [...steps, 0], field, item: true });
    if (field.message !== undefined && !isWellKnown(field.message)) {
      places.push(...placesOf(field.message, isList ? [...steps, 0] : steps));
    }
    return places;
  });
}

function valuesOf(field: DescField, item: boolean): readonly { readonly value: string; readonly illTyped: boolean }[] {
  const fits = (value: string): { value: string; illTyped: boolean } => ({ value, illTyped: false });
  if (field.message?.typeName === ValueSchema.typeName) return jsons.map(fits);
  const good = field.fieldKind === 'list' && !item ? [] : goodValues(field);
  return [
    ...good.map(fits),
    ...wrong.filter((value) => !mayBe(field, item, value)).map((value) => ({ value, illTyped: true })),
  ];
}

function goodValues(field: DescField): readonly string[] {
  if (field.message?.typeName === TimestampSchema.typeName) return times;
  if (field.scalar === ScalarType.STRING) return texts;
  return field.scalar !== undefined && field.scalar !== ScalarType.BOOL ? numbers : [];
}

/** Whether a value of `wrong` is right for the field after all. */
function mayBe(field: DescField, item: boolean, value: string): boolean {
  if (field.fieldKind === 'list' && !item) return false;
  if (field.scalar === ScalarType.STRING) return value === '"a"';
  if (field.scalar === ScalarType.BOOL) return value === 'true';
  if (field.scalar === ScalarType.DOUBLE || field.scalar === ScalarType.FLOAT)
    return /^\d/.test(value) && value !== '1e400';
  if (field.message?.typeName === StructSchema.typeName) return value.startsWith('{');
  return field.message !== undefined && !isWellKnown(field.message) && value === '{}';
}

/** A request with something in each field, so that what is wrong is not hidden by what is missing. */
function sampleOf(desc: DescMessage): JsonObject {
  const seen = new Set<string>();
  const entries = desc.fields.flatMap((field) => {
    if (field.oneof !== undefined && seen.has(field.oneof.name)) return [];
    if (field.oneof !== undefined) seen.add(field.oneof.name);
    // Their samples would be refused before anything else is looked at, or wait.
    if (field.name === 'cursor' || field.name === 'wait_sec') return [];
    const value = sampleValue(field);
    return [[field.name, field.fieldKind === 'list' ? [value] : value]];
  });
  return Object.fromEntries(entries) as JsonObject;
}

function sampleValue(field: DescField): unknown {
  if (field.enum !== undefined) return enumWords(field.enum).words[0];
  if (field.message?.typeName === TimestampSchema.typeName) return '2026-01-31T12:00:00Z';
  if (field.message?.typeName === ValueSchema.typeName || field.message?.typeName === StructSchema.typeName) return {};
  if (field.message !== undefined) return sampleOf(field.message);
  if (field.scalar === ScalarType.STRING) return 'a';
  if (field.scalar === ScalarType.BOOL) return true;
  return field.scalar === ScalarType.BYTES ? '' : 1;
}

function isWellKnown(desc: DescMessage): boolean {
  return desc.file.proto.package === 'google.protobuf';
}

/** The JSON of `base` with the value at its place, put in as text: it may be what no object holds. */
function textWith(base: JsonObject, steps: readonly (string | number)[], value: string): string {
  const mark = '@here@';
  const root = structuredClone(base) as Record<string, unknown>;
  let at = root as Record<string | number, unknown>;
  steps.forEach((step, index) => {
    if (index === steps.length - 1) at[step] = mark;
    else {
      at[step] ??= typeof steps[index + 1] === 'number' ? [] : {};
      at = at[step] as Record<string | number, unknown>;
    }
  });
  return JSON.stringify(root).replace(`"${mark}"`, () => value);
}
