import { type DescEnum, type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence, StructSchema, TimestampSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import { enumWords } from '../rpc/words.js';
import { base64 } from './gateway/rest-json.js';
import type { Route } from './gateway/routes.js';
import { commentOf } from './openapi-text.js';
import type { Schema } from './openapi-types.js';

/**
 * The JSON of REST as JSON Schema: what gateway/rest-json.ts reads and writes, told from the same descriptors. A message
 * looks different on its way in, where fields may be left out and unknown ones are refused, and on its way out, where
 * every field is printed; one that goes both ways has two schemas, `X` for answers and `XInput` for requests.
 */
export interface Schemas {
  /** Everything that was referred to so far, by the name of its component. */
  readonly components: Readonly<Record<string, Schema>>;
  /** The request body of a route; undefined when it takes none. */
  body(route: Route): Schema | undefined;
  answer(route: Route): Schema;
  /** A path or query parameter. */
  parameter(field: DescField): Schema;
}

type Direction = 'in' | 'out';

export function createSchemas(routes: readonly Route[]): Schemas {
  const components: Record<string, Schema> = {};
  const owners = new Map<string, string>();
  const answered = new Set<string>();
  for (const route of routes) {
    if (route.answer === undefined) collectMessages(route.rpc.desc.output, answered);
    else if (route.answer.message !== undefined) collectMessages(route.answer.message, answered);
  }

  /** Makes a component once; it is known by its name before it is made, since messages may hold themselves. */
  function component(name: string, owner: string, make: () => Schema): Schema {
    const other = owners.get(name);
    if (other === undefined) {
      owners.set(name, owner);
      components[name] = make();
    } else if (other !== owner) {
      throw new Error(`OpenAPI: ${owner} and ${other} would both be the component ${name}`);
    }
    return { $ref: `#/components/schemas/${name}` };
  }

  function message(desc: DescMessage, direction: Direction): Schema {
    switch (desc.typeName) {
      case TimestampSchema.typeName:
        return { type: 'string', format: 'date-time' };
      case ValueSchema.typeName:
        return {};
      case StructSchema.typeName:
        return { type: 'object' };
      default: {
        const name = shortName(desc) + (direction === 'in' && answered.has(desc.typeName) ? 'Input' : '');
        return component(name, `${desc.typeName} ${direction}`, () => objectOf(desc, desc.fields, direction));
      }
    }
  }

  function objectOf(desc: DescMessage, fields: readonly DescField[], direction: Direction): Schema {
    const properties = Object.fromEntries(fields.map((field) => [field.name, property(field, direction)]));
    return {
      type: 'object',
      ...describe(messageComment(desc)),
      ...(desc.deprecated && { deprecated: true }),
      properties,
      // Answers may gain fields, so callers are not told that there are no others.
      ...(direction === 'in' ? { additionalProperties: false } : { required: Object.keys(properties) }),
    };
  }

  function property(field: DescField, direction: Direction): Schema {
    const schema = valueOf(field, direction);
    return described(field, mayBeNull(field) ? orNull(schema) : schema);
  }

  function valueOf(field: DescField, direction: Direction): Schema {
    switch (field.fieldKind) {
      case 'scalar':
        return scalarSchema(field.scalar);
      case 'enum':
        return enumSchema(field.enum);
      case 'message':
        return message(field.message, direction);
      case 'list':
        return { type: 'array', items: itemOf(field, direction) };
      case 'map':
        throw new Error(`${nameOf(field)}: map fields are not supported; use a Struct`);
    }
  }

  function itemOf(field: DescField & { fieldKind: 'list' }, direction: Direction): Schema {
    switch (field.listKind) {
      case 'scalar':
        return scalarSchema(field.scalar);
      case 'enum':
        return enumSchema(field.enum);
      case 'message':
        return message(field.message, direction);
    }
  }

  function enumSchema(desc: DescEnum): Schema {
    return component(shortName(desc), desc.typeName, () => ({
      type: 'string',
      ...describe(enumComment(desc)),
      enum: enumWords(desc).words,
    }));
  }

  return {
    components,
    body(route) {
      if (route.body === 'none') return undefined;
      if (route.body !== 'whole') return described(route.body, valueOf(route.body, 'in'));
      const { input } = route.rpc.desc;
      // What the path says is left out: it wins over the body.
      const taken = new Set(route.template.variables.map((variable) => variable.field.join('.')));
      const fields = input.fields.filter((field) => !taken.has(field.name));
      if (fields.length === 0) return undefined;
      const name = shortName(input);
      const owner = `${input.typeName} ${fields.map((field) => field.name).join()}`;
      const make = (): Schema => objectOf(input, fields, 'in');
      // Two paths of one method may leave it different fields; the first has the name.
      return (owners.get(name) ?? owner) === owner ? component(name, owner, make) : make();
    },
    answer({ rpc, answer }) {
      if (answer === undefined) return message(rpc.desc.output, 'out');
      const schema = valueOf(answer, 'out');
      // A method answers its one resource or an error, unless its field is marked as optional.
      return answer.fieldKind === 'message' && answer.proto.proto3Optional ? orNull(schema) : schema;
    },
    parameter: (field) => valueOf(field, 'in'),
  };
}

function collectMessages(desc: DescMessage, into: Set<string>): void {
  if (into.has(desc.typeName)) return;
  into.add(desc.typeName);
  for (const field of desc.fields) if (field.message !== undefined) collectMessages(field.message, into);
}

/** Whether null can stand for the field, or asks to clear it. A Value has a null of its own. */
function mayBeNull(field: DescField): boolean {
  return field.presence === FeatureSet_FieldPresence.EXPLICIT && field.message?.typeName !== ValueSchema.typeName;
}

function orNull(schema: Schema): Schema {
  if (typeof schema.type === 'string') return { ...schema, type: [schema.type, 'null'] };
  return schema.$ref === undefined ? schema : { anyOf: [schema, { type: 'null' }] };
}

function scalarSchema(scalar: ScalarType): Schema {
  switch (scalar) {
    case ScalarType.STRING:
      return { type: 'string' };
    case ScalarType.BOOL:
      return { type: 'boolean' };
    case ScalarType.BYTES:
      return { type: 'string', contentEncoding: 'base64', pattern: base64.source };
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return { type: 'number' };
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return { type: 'integer', format: 'int32', minimum: -(2 ** 31), maximum: 2 ** 31 - 1 };
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: 'integer', minimum: 0, maximum: 2 ** 32 - 1 };
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return {
        type: 'integer',
        format: 'int64',
        minimum: Number.MIN_SAFE_INTEGER,
        maximum: Number.MAX_SAFE_INTEGER,
      };
  }
}

/** The name without its package: `Job`, `Outer.Inner`. */
export function shortName(desc: DescMessage | DescEnum): string {
  return desc.typeName.slice(desc.file.proto.package.length + 1);
}

function described(field: DescField, schema: Schema): Schema {
  return { ...schema, ...describe(commentOf(nameOf(field))), ...(field.deprecated && { deprecated: true }) };
}

function nameOf(field: DescField): string {
  return `${field.parent.typeName}.${field.name}`;
}

function messageComment(desc: DescMessage): string | undefined {
  const oneofs = desc.oneofs.map((oneof) => {
    const names = oneof.fields.map((field) => `\`${field.name}\``);
    return `Only one of ${names.join(', ')} can be set.`;
  });
  return joined([commentOf(desc.typeName), ...oneofs]);
}

function enumComment(desc: DescEnum): string | undefined {
  const words = enumWords(desc);
  const values = desc.values.flatMap((value) => {
    const word = words.toWord(value.number);
    const comment = commentOf(`${desc.typeName}.${value.name}`);
    return word === undefined || comment === undefined ? [] : [`- \`${word}\`: ${comment}`];
  });
  return joined([commentOf(desc.typeName), values.join('\n') || undefined]);
}

function joined(parts: readonly (string | undefined)[]): string | undefined {
  const said = parts.filter((part) => part !== undefined);
  return said.length === 0 ? undefined : said.join('\n\n');
}

function describe(description: string | undefined): { description?: string } {
  return description === undefined ? {} : { description };
}
