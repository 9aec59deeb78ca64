import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { answerOfText, textOfAnswer } from '../../src/platform/idempotency/answer-text.js';
import { hashOf, identify } from '../../src/platform/idempotency/request.js';
import { JsonText } from '../../src/platform/json.js';

/** Domain values of every kind, keys that mean something to the text or to JavaScript among them. */
const names = fc.oneof(fc.string(), fc.constantFrom('$', '__proto__', 'constructor', '0', 'toJSON'));
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'medium' },
    fc.string({ unit: 'binary' }),
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.json().map((text) => new JsonText(text)),
    fc.array(tie('any')),
    tie('object'),
  ),
  object: fc.dictionary(names, tie('any')),
})).object as fc.Arbitrary<object>;

describe('the text of an answer', () => {
  test('gives every answer back as it was', () => {
    fc.assert(fc.property(value, (answer) => deepStrictEqual(answerOfText(textOfAnswer(answer)), ordinary(answer))));
  });

  test('leaves out what is undefined', () => {
    expect(answerOfText(textOfAnswer({ a: undefined, b: [{ c: undefined }] }))).toStrictEqual({ b: [{}] });
  });

  test('is refused to what is no domain value', () => {
    for (const wrong of [1n, Symbol('s'), () => 1, undefined]) {
      expect(() => textOfAnswer({ list: [wrong] })).toThrow(TypeError);
    }
  });
});

/** With Object's prototype throughout: fast-check makes some without any. */
function ordinary(answer: unknown): unknown {
  if (Array.isArray(answer)) return answer.map(ordinary);
  if (typeof answer !== 'object' || answer === null) return answer;
  if (answer instanceof Date || answer instanceof JsonText || answer instanceof Uint8Array) return answer;
  const members = {};
  for (const [key, member] of Object.entries(answer)) {
    Object.defineProperty(members, key, {
      value: ordinary(member),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return members;
}

describe('the hash of a request', () => {
  const hex = (method: string, input: object): string => hashOf(method, input).toString('hex');

  test('does not depend on the order of members, at any depth', () => {
    const turned = (input: unknown): unknown => {
      if (Array.isArray(input)) return input.map(turned);
      if (typeof input !== 'object' || input === null) return input;
      if (input instanceof Date || input instanceof Uint8Array || input instanceof JsonText) return input;
      const members = {};
      for (const [key, member] of Object.entries(input).toReversed()) {
        Object.defineProperty(members, key, { value: turned(member), enumerable: true, configurable: true });
      }
      return members;
    };
    fc.assert(
      fc.property(value, (input) => void expect(hex('/s/M', turned(input) as object)).toBe(hex('/s/M', input))),
    );
  });

  test('differs where anything else does', () => {
    const time = new Date(5);
    const inputs: readonly object[] = [
      {},
      { a: 1 },
      { a: '1' },
      { a: '#1,' },
      { a: -1 },
      { a: 0 },
      { a: -0 },
      { a: true },
      { a: 'true' },
      { a: null },
      { a: 'null' },
      { a: [] },
      { a: {} },
      { a: [1] },
      { a: [[1]] },
      { a: [1, 2] },
      { a: [2, 1] },
      { a: [12] },
      { a: ['1', '2'] },
      { a: ['1,2'] },
      { a: time },
      { a: time.toISOString() },
      { a: time.getTime() },
      { a: Buffer.from('ab') },
      { a: 'YWI=' },
      { a: { b: 1 } },
      { a: {}, b: 1 },
      { b: 1 },
      { ab: 1 },
      { a: 'b', c: 'd' },
      { a: 'b":"c' },
      { a: '\ud800' },
      { a: '\ufffd' },
    ];
    const all = [...inputs.map((input) => hex('/s/M', input)), hex('/s/N', {}), hex('/s/M\n', {})];
    expect(new Set(all).size).toBe(all.length);
  });

  test('takes what is undefined as not there', () => {
    expect(hex('/s/M', { a: undefined, b: 1 })).toBe(hex('/s/M', { b: 1 }));
  });

  test('is found for what is nested too deep for any rule, which nobody has looked at yet', () => {
    let deep: unknown = 1;
    for (let level = 0; level < 200_000; level += 1) deep = level % 2 === 0 ? [deep] : { a: deep };
    expect(hex('/s/M', { deep })).toHaveLength(64);
  });
});

test.each(['', 'k'.repeat(256), 'a\tb', 'é', '\x7f'])('%j is no key', (key) => {
  const request = { key, principal: { kind: 'human', id: 'x' }, method: '/s/M', input: {} };
  expect(() => identify(request)).toThrow('Idempotency-Key: must be 1 to 255 printable ASCII characters');
});

test('an answer opens with its own key alone', () => {
  const request = { key: 'k', principal: { kind: 'human', id: 'x' }, method: '/s/M', input: {} };
  const known = identify(request);
  const sealed = known.seal({ secret: 'é' });
  expect(identify(request).open(sealed)).toEqual({ secret: 'é' });
  expect(known.seal({ secret: 'é' })).not.toEqual(sealed);
  for (const other of [{ key: 'K' }, { principal: { kind: 'human', id: 'y' } }]) {
    expect(() => identify({ ...request, ...other }).open(sealed)).toThrow();
  }
});
