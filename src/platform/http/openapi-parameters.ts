import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { StructSchema, TimestampSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import type { Route } from './gateway/routes.js';
import type { Schemas } from './openapi-schema.js';
import { commentOf } from './openapi-text.js';
import type { Parameter } from './openapi-types.js';

/** What a route takes from its path and from its query, as gateway/bind.ts reads it. */
export function parametersOf(route: Route, schemas: Schemas): readonly Parameter[] {
  const { input } = route.rpc.desc;
  const inPath = route.template.variables.map((variable): Parameter => {
    const name = variable.field.join('.');
    const field = fieldAt(input, variable.field);
    return { name, in: 'path', required: true, style: 'simple', ...describe(field), schema: schemas.parameter(field) };
  });
  const inQuery = route.body === 'whole' ? [] : queryFields(route, input, '', 1);
  return [
    ...inPath,
    ...inQuery.map(([name, field]): Parameter => {
      // A list is given as the parameter repeated: ?status=queued&status=running
      const schema = schemas.parameter(field);
      return { name, in: 'query', style: 'form', explode: true, ...describe(field), schema };
    }),
  ];
}

const maxDepth = 5;

/** The fields that a query can fill, nested ones by their dotted names, but for those of the path and the body. */
function queryFields(route: Route, desc: DescMessage, prefix: string, depth: number): readonly [string, DescField][] {
  const inPath = new Set(route.template.variables.map((variable) => variable.field.join('.')));
  return desc.fields.flatMap((field): readonly [string, DescField][] => {
    const name = prefix + field.name;
    if (inPath.has(name) || (depth === 1 && field === route.body)) return [];
    if (fitsInText(field)) return [[name, field]];
    const nested = field.fieldKind === 'message' && !isJson(field.message) && depth < maxDepth;
    return nested ? queryFields(route, field.message, `${name}.`, depth + 1) : [];
  });
}

function fitsInText(field: DescField): boolean {
  if (field.fieldKind === 'map') return false;
  return field.message === undefined || field.message.typeName === TimestampSchema.typeName;
}

function isJson(desc: DescMessage): boolean {
  return desc.typeName === ValueSchema.typeName || desc.typeName === StructSchema.typeName;
}

function fieldAt(desc: DescMessage, path: readonly string[]): DescField {
  const [name, ...rest] = path;
  const field = desc.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${desc.typeName} has no field ${path.join('.')}`);
  return rest.length === 0 || field.message === undefined ? field : fieldAt(field.message, rest);
}

function describe(field: DescField): { description?: string } {
  const description = commentOf(`${field.parent.typeName}.${field.name}`);
  return description === undefined ? {} : { description };
}
