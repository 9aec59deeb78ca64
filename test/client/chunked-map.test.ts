import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChunkedMap } from '../../src/client/chunked-map.js';

const key = (n: number): string => String(n).padStart(5, '0');

test('every version is what a Map would be, also after later ones were made of it', () => {
  const keys = fc.array(fc.nat({ max: 2000 }), { maxLength: 1500, size: 'max' });
  fc.assert(
    fc.property(keys, (numbers) => {
      const model = new Map<string, number>();
      let map = ChunkedMap.empty<number>();
      const versions: (readonly [ChunkedMap<number>, ReadonlyMap<string, number>])[] = [];
      for (const [step, n] of numbers.entries()) {
        if (step % 400 === 0) versions.push([map, new Map(model)]);
        // Mostly more come than go.
        if (step % 3 === 2) {
          model.delete(key(n));
          map = map.without(key(n));
        } else {
          model.set(key(n), step);
          map = map.with(key(n), step);
        }
      }
      for (const [version, expected] of [...versions, [map, model] as const]) {
        expect(version.size).toBe(expected.size);
        expect([...version]).toEqual([...expected].sort());
        for (let n = 0; n < 2000; n += 97) {
          expect([version.has(key(n)), version.get(key(n))]).toEqual([expected.has(key(n)), expected.get(key(n))]);
        }
      }
    }),
    { numRuns: 40 },
  );
});

test.each([
  ['rising', (n: number) => n],
  ['falling', (n: number) => 3000 - n],
  ['mixed', (n: number) => (n * 7919) % 3001],
])('many keys, %s, are found and read in order', (_order, nth) => {
  let map = ChunkedMap.empty<number>();
  const all = Array.from({ length: 3001 }, (_, n) => nth(n));
  for (const n of all) map = map.with(key(n), n);
  const sorted = all.toSorted((a, b) => a - b);
  expect([...map.values()]).toEqual(sorted);
  expect([...map.keys()]).toEqual(sorted.map(key));
  expect(all.every((n) => map.get(key(n)) === n)).toBe(true);
  expect([map.has('0'), map.get(''), map.get('x')]).toEqual([false, undefined, undefined]);
  for (const n of all) map = map.without(key(n)).without(key(n));
  expect([map.size, ...map]).toEqual([0]);
  expect(map.with('a', 1).get('a')).toBe(1);
});

test('it can be used wherever a Map is read', () => {
  const map: ReadonlyMap<string, number> = ChunkedMap.empty<number>().with('b', 2).with('a', 1).with('b', 3);
  expect(new Map(map)).toEqual(new Map(Object.entries({ a: 1, b: 3 })));
  const seen: unknown[] = [];
  map.forEach((value, name, whole) => seen.push([name, value, whole === map]));
  expect(seen).toEqual([
    ['a', 1, true],
    ['b', 3, true],
  ]);
});
