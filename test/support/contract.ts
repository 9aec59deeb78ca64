import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { OpenApi, Operation, Ref, Response, Schema } from '../../src/platform/http/openapi-types.js';

/** Holds answers and requests against an OpenAPI document, as a program that was made from it would. */
export interface Contract {
  /** What is wrong with an answer, a line each; empty when it is as documented. */
  answerFaults(operationId: string, answer: { status: number; headers: Headers; json: unknown }): readonly string[];
  /** What is wrong with a request body. */
  bodyFaults(operationId: string, body: unknown): readonly string[];
  /** What is wrong with JSON that should be as a component of `responses` says. */
  errorFaults(component: string, json: unknown): readonly string[];
  /** What is wrong with JSON that should be as a component of `schemas` says. */
  schemaFaults(component: string, json: unknown): readonly string[];
}

export function createContract(document: OpenApi): Contract {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  const closed = closeAnswers(document);
  ajv.addSchema(closed, 'openapi');
  const compiled = new Map<string, ValidateFunction>();

  /** The faults of JSON by the schema at a JSON pointer into the document. */
  function faults(pointer: string, json: unknown): readonly string[] {
    let validate = compiled.get(pointer);
    if (validate === undefined) compiled.set(pointer, (validate = ajv.compile({ $ref: `openapi#${pointer}` })));
    if (validate(json) === true) return [];
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) => `${instancePath || '/'} ${message ?? ''} ${JSON.stringify(params)}`,
    );
  }

  const find = (operationId: string): { pointer: string; operation: Operation } => {
    for (const [path, item] of Object.entries(closed.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (operation.operationId !== operationId) continue;
        return { pointer: `/paths/${path.replaceAll('/', '~1')}/${method}`, operation };
      }
    }
    throw new Error(`the document has no ${operationId}`);
  };

  return {
    answerFaults(operationId, { status, headers, json }) {
      const { pointer, operation } = find(operationId);
      const documented = operation.responses[status];
      if (documented === undefined) return [`${operationId} does not document ${status}`];
      const target = '$ref' in documented ? documented.$ref.slice(1) : `${pointer}/responses/${status}`;
      const told = Object.keys(responseOf(closed, documented).headers ?? {});
      const missing = told
        // Sent only when there is something to tell.
        .filter((name) => name !== 'Link' && name !== 'Idempotency-Replayed' && !headers.has(name))
        .map((name) => `the header ${name} is missing`);
      const surplus = ['Location', 'Link', 'Retry-After', 'Idempotency-Replayed']
        .filter((name) => headers.has(name) && !told.includes(name))
        .map((name) => `the header ${name} is not documented`);
      return [...missing, ...surplus, ...faults(`${target}/content/application~1json/schema`, json)];
    },
    bodyFaults: (operationId, body) =>
      faults(`${find(operationId).pointer}/requestBody/content/application~1json/schema`, body),
    errorFaults: (component, json) =>
      faults(`/components/responses/${component}/content/application~1json/schema`, json),
    schemaFaults: (component, json) => faults(`/components/schemas/${component}`, json),
  };
}

function responseOf(document: OpenApi, response: Response | Ref): Response {
  if (!('$ref' in response)) return response;
  const found = document.components.responses[response.$ref.split('/').at(-1) ?? ''];
  if (found === undefined) throw new Error(`no such response: ${response.$ref}`);
  return found;
}

/** The document leaves room for fields to come; here an answer with a field that it does not have is a fault. */
function closeAnswers(document: OpenApi): OpenApi {
  const { schemas, responses } = document.components;
  const close = (name: string, schema: Schema): Schema =>
    schema.required === undefined || name === 'Error' ? schema : { ...schema, additionalProperties: false };
  const closeError = (response: Response): Response => {
    const schema = response.content?.['application/json']?.schema;
    // Looks into `allOf` too, unlike additionalProperties.
    const closedSchema = { ...schema, unevaluatedProperties: false };
    return { ...response, content: { 'application/json': { schema: closedSchema } } };
  };
  return {
    ...document,
    components: {
      ...document.components,
      schemas: mapValues(schemas, close),
      responses: mapValues(responses, (_, response) => closeError(response)),
    },
  };
}

function mapValues<T>(
  record: Readonly<Record<string, T>>,
  change: (name: string, value: T) => T,
): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(name, value)]));
}
