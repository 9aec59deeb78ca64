import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence, StructSchema, TimestampSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import { componentOf } from './docs-schema.js';
import type { OpenApi, Schema } from './openapi-types.js';

/** Stands for the server in samples; the page's script puts in where the page came from. */
export const sampleOrigin = 'http://127.0.0.1:8080';

/** A request body that shows its shape: what cannot be unset, with names in capitals where a value is to be filled in. */
export function sampleBody(document: OpenApi, schema: Schema, name = '', depth = 0): unknown {
  const target = componentOf(document, schema)?.schema ?? schema.anyOf?.[0] ?? schema;
  if (target.$ref !== undefined) return sampleBody(document, target, name, depth);
  if (target.enum !== undefined) return target.enum[0];
  const type = typeof target.type === 'string' ? target.type : target.type?.[0];
  switch (type) {
    case 'string':
      return target.format === 'date-time' ? '2026-01-31T12:00:00Z' : name.toUpperCase();
    case 'integer':
    case 'number':
      return 1;
    case 'boolean':
      return true;
    case 'array':
      return depth > 3 ? [] : [sampleBody(document, target.items ?? {}, name, depth + 1)];
    case 'object':
    case undefined:
    default: {
      const fields = depth > 3 ? [] : Object.entries(target.properties ?? {});
      const firm = fields.filter(([, field]) => !mayBeUnset(field));
      const shown = firm.length > 0 ? firm : fields;
      return Object.fromEntries(shown.map(([key, field]) => [key, sampleBody(document, field, key, depth + 1)]));
    }
  }
}

function mayBeUnset(schema: Schema): boolean {
  return typeof schema.type === 'object' && schema.type.includes('null');
}

/** `/v1/things/{id}` as `/v1/things/ID`. */
export function samplePath(path: string): string {
  return path.replace(/\{([^}]+)\}/g, (_, name: string) => name.toUpperCase());
}

export function curlCommand(method: string, path: string, body: unknown, streams = false): string {
  const verb = streams ? '-N ' : method === 'GET' ? '' : `-X ${method} `;
  const head = `curl ${verb}${sampleOrigin}${samplePath(path)}`;
  if (body === undefined) return head;
  return `${head} \\\n  -H 'content-type: application/json' \\\n  -d ${quoted(JSON.stringify(body))}`;
}

/** Streams in both directions need HTTP/2 from the first byte on. */
export function bufCommand(path: string, input: DescMessage, bidi: boolean): string {
  const flags = bidi ? '--http2-prior-knowledge ' : '';
  return `npx buf curl --schema proto ${flags}\\\n  -d ${quoted(JSON.stringify(sampleMessage(input)))} \\\n  ${sampleOrigin}${path}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A message in the JSON of protobuf, which has names in camelCase and enum values by their proto names. */
function sampleMessage(desc: DescMessage, depth = 0): unknown {
  const fields = desc.fields.filter(
    (field) =>
      (field.presence !== FeatureSet_FieldPresence.EXPLICIT || field.fieldKind === 'message') &&
      field.message?.typeName !== TimestampSchema.typeName &&
      (field.oneof === undefined || field.oneof.fields[0] === field) &&
      depth < 4,
  );
  return Object.fromEntries(fields.map((field) => [field.jsonName, sampleField(field, depth)]));
}

function sampleField(field: DescField, depth: number): unknown {
  const { message } = field;
  const isJson = message?.typeName === ValueSchema.typeName || message?.typeName === StructSchema.typeName;
  const one =
    message !== undefined
      ? isJson
        ? {}
        : sampleMessage(message, depth + 1)
      : field.enum !== undefined
        ? field.enum.values[1]?.name
        : sampleScalar(field);
  return field.fieldKind === 'list' ? [one] : one;
}

function sampleScalar({ name, scalar }: DescField): unknown {
  if (scalar === ScalarType.BOOL) return true;
  return scalar === ScalarType.STRING || scalar === ScalarType.BYTES ? name.toUpperCase() : 1;
}
