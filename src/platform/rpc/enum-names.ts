import type { DescEnum, DescField, DescMessage } from '@bufbuild/protobuf';
import { invalidField } from '../../errors.js';

/**
 * Throws `invalid_request` naming the field for the name of an enum's value that there is not. Protobuf-es ignores such names together with
 * unknown fields, so that a list that was to have one status only would be of all. What is wrong with the text besides is not
 * looked at: it is for whoever decodes it.
 */
export type CheckEnumNames = (text: string) => void;

/** Looks into the JSON of one message; `path` leads to it and is what errors name. */
type Check = (json: unknown, path: string) => void;

const cache = new WeakMap<DescMessage, Check>();

const checks = new WeakMap<DescMessage, CheckEnumNames | undefined>();

/** For the JSON of a request. Undefined where there is no enum in it, and so nothing to look at. */
export function enumNamesCheckOf(desc: DescMessage): CheckEnumNames | undefined {
  if (!checks.has(desc)) checks.set(desc, hasEnum(desc) ? textCheck(desc) : undefined);
  return checks.get(desc);
}

function textCheck(desc: DescMessage): CheckEnumNames {
  const check = messageCheck(desc);
  return (text) => {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      return;
    }
    check(json, '');
  };
}

function hasEnum(desc: DescMessage, seen = new Set<DescMessage>()): boolean {
  if (seen.has(desc) || desc.file.proto.package === 'google.protobuf') return false;
  seen.add(desc);
  return desc.fields.some(
    (field) => field.enum !== undefined || (field.message !== undefined && hasEnum(field.message, seen)),
  );
}

function messageCheck(desc: DescMessage): Check {
  const known = cache.get(desc);
  if (known !== undefined) return known;
  let fields: readonly { readonly field: DescField; readonly check: Check }[] | undefined;
  // Compiled at first use, not here, since message types may contain themselves.
  const compiled = () => (fields ??= desc.fields.flatMap((field) => checkOf(field) ?? []));
  const check: Check = (json, path) => {
    if (typeof json !== 'object' || json === null) return;
    const given = json as Readonly<Record<string, unknown>>;
    for (const { field, check: checkValue } of compiled()) {
      const value = given[field.jsonName] ?? given[field.name];
      if (value === undefined) continue;
      const at = path === '' ? field.name : `${path}.${field.name}`;
      if (Array.isArray(value)) value.forEach((item, index) => checkValue(item, `${at}[${index}]`));
      else checkValue(value, at);
    }
  };
  cache.set(desc, check);
  return check;
}

function checkOf(field: DescField): { readonly field: DescField; readonly check: Check } | undefined {
  if (field.enum !== undefined) return { field, check: nameCheck(field.enum) };
  if (field.message === undefined || !hasEnum(field.message)) return undefined;
  return { field, check: messageCheck(field.message) };
}

function nameCheck({ values }: DescEnum): Check {
  const names = new Set(values.map(({ name }) => name));
  // The one for zero stands for none.
  const allowed = values.filter(({ number }) => number !== 0).map(({ name }) => name);
  return (json, path) => {
    if (typeof json !== 'string' || names.has(json)) return;
    throw invalidField(path, `must be one of ${allowed.join(', ')}`);
  };
}
