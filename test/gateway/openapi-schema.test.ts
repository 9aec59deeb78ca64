import { Validator } from '@seriousme/openapi-schema-validator';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AppError } from '../../src/errors.js';
import { restJson } from '../../src/platform/http/gateway/rest-json.js';
import { createDocsPage } from '../../src/platform/http/docs-page.js';
import { createOpenApi } from '../../src/platform/http/openapi.js';
import type { Operation } from '../../src/platform/http/openapi-types.js';
import { createContract } from '../support/contract.js';
import { anyPlain } from './support/plain.js';
import { compileShapes } from './support/shapes.js';
import { asOften } from '../support/effort.js';

const shapes = compileShapes();
const document = createOpenApi({ services: [shapes.service], version: '1' });
const contract = createContract(document);
const json = restJson(shapes.message('Shape'));

test('whatever REST writes is as documented', () => {
  fc.assert(
    fc.property(anyPlain(shapes.message('Shape')), (plain) => {
      expect(contract.schemaFaults('Shape', JSON.parse(json.write(plain)))).toEqual([]);
    }),
  );
});

test('null is documented for what can be unset, and for nothing else', () => {
  const plain = { texts: [], colours: [], times: [], values: [], children: [], colour: 'Red' };
  const firm = { text: '', flag: false, small: 0, large: 0, number: 0, data: new Uint8Array() };
  const base = JSON.parse(json.write({ ...plain, ...firm })) as Record<string, unknown>;
  for (const component of ['Shape', 'ShapeInput']) {
    expect(contract.schemaFaults(component, base)).toEqual([]);
    const refused = Object.keys(base).filter(
      (name) => contract.schemaFaults(component, { ...base, [name]: null }).length > 0,
    );
    expect(refused.sort()).toEqual([...Object.keys(plain), ...Object.keys(firm)].sort());
  }
});

/** One place of some JSON, and what is put there. */
interface Change {
  readonly place: number;
  readonly value: unknown;
}

// Left out: negative numbers, which REST reads where the field is an unsigned one of 64 bits.
const values = [
  'x',
  'Red',
  '2026-01-31T12:00:00Z',
  true,
  0,
  1.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  [],
  ['x'],
  {},
  { depth: 1 },
];
const change: fc.Arbitrary<Change> = fc.record({ place: fc.nat(), value: fc.constantFrom<unknown>(null, ...values) });

test('REST reads what is documented, and nothing else', () => {
  fc.assert(
    fc.property(anyPlain(shapes.message('Shape')), fc.option(change), (plain, changed) => {
      const sent: unknown = JSON.parse(json.write(plain));
      if (changed !== null) apply(sent, changed);
      const documented = contract.schemaFaults('ShapeInput', sent).length === 0;
      const read = isRead(sent);
      // That only one field of a oneof can be set is told in words alone.
      fc.pre(read !== 'only one of them');
      // As lenient as proto3's own JSON, but not by the document: null where a field cannot be unset.
      if (changed?.value === null) expect(read || !documented).toBe(true);
      else expect({ documented, sent }).toEqual({ documented: read, sent });
    }),
    { numRuns: asOften(200) },
  );
});

function isRead(sent: unknown): boolean | 'only one of them' {
  try {
    json.read(sent, '');
    return true;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.message.includes('only one field of') ? 'only one of them' : false;
  }
}

/** Puts a value at some place of JSON, an unknown field among them. */
function apply(json: unknown, { place, value }: Change): void {
  const places: (() => void)[] = [];
  const walk = (at: unknown): void => {
    if (typeof at !== 'object' || at === null) return;
    const object = at as Record<string, unknown>;
    if (!Array.isArray(at)) places.push(() => (object['surplus'] = value));
    for (const [key, member] of Object.entries(object)) {
      places.push(() => (object[key] = value));
      walk(member);
    }
  };
  walk(json);
  places[place % places.length]?.();
}

describe('paths', () => {
  test('are valid OpenAPI', async () => {
    const copy = structuredClone(document) as unknown as Record<string, unknown>;
    expect(await new Validator().validate(copy)).toEqual({ valid: true });
  });

  test('a method with several has an operation for each', () => {
    const ids = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, { operationId }]) => `${operationId}: ${method} ${path}`),
    );
    expect(ids.slice(0, 3)).toEqual([
      'ShapeService_PutShape: put /shapes/{id}',
      'ShapeService_PutShape_2: post /shapes/{id}/of/{shape.text}',
      'ShapeService_PutShape_3: post /files/{id}',
    ]);
  });

  test('a body is one field, all that the path leaves, or nothing', () => {
    const bodies = [operation('ShapeService_PutShape'), operation('ShapeService_PutShape_2')].map(
      ({ requestBody }) => requestBody?.content['application/json'].schema,
    );
    expect(bodies).toEqual([
      { $ref: '#/components/schemas/ShapeInput' },
      { $ref: '#/components/schemas/PutShapeRequest' },
    ]);
    expect(Object.keys(document.components.schemas['PutShapeRequest']?.properties ?? {})).toEqual(['shape', 'force']);
    expect(operation('ShapeService_PutShape_3').requestBody).toBeUndefined();
  });

  test('a query has the fields that fit in text, nested ones by their dotted names', () => {
    expect(names('ShapeService_PutShape')).toEqual(['path id', 'query force']);
    expect(names('ShapeService_PutShape_2')).toEqual(['path id', 'path shape.text']);
    expect(names('ShapeService_FindShape')).toEqual([
      'query filter.colour',
      'query filter.texts',
      'query filter.since',
      'query colours',
    ]);
  });

  test('an answer is a field, a list with the next page in its Link, or null where the field is optional', () => {
    const answers = ['ShapeService_PutShape', 'ShapeService_FindShape', 'ShapeService_ListNames'].map((id) => {
      const response = operation(id).responses[id === 'ShapeService_PutShape' ? 201 : 200];
      if (response === undefined || '$ref' in response) throw new Error(`${id} has no answer of its own`);
      return [Object.keys(response.headers ?? {}), response.content?.['application/json']?.schema];
    });
    expect(answers).toEqual([
      [['Location', 'Idempotency-Replayed', 'X-Correlation-Id'], { $ref: '#/components/schemas/Shape' }],
      [['X-Correlation-Id'], { anyOf: [{ $ref: '#/components/schemas/Shape' }, { type: 'null' }] }],
      [['Link', 'X-Correlation-Id'], { type: 'array', items: { type: 'string' } }],
    ]);
  });
});

test('the docs page shows messages that hold themselves', () => {
  const { html } = createDocsPage(document, [shapes.service]);
  expect(html).toContain('id="schema-ShapeInput"');
  expect(html).toContain('id="message-Shape.Inner"');
});

function operation(id: string): Operation {
  const found = Object.values(document.paths)
    .flatMap((item) => Object.values(item))
    .find(({ operationId }) => operationId === id);
  if (found === undefined) throw new Error(`there is no ${id}`);
  return found;
}

function names(id: string): readonly string[] {
  return (operation(id).parameters ?? []).flatMap((each) => ('in' in each ? [`${each.in} ${each.name}`] : []));
}
