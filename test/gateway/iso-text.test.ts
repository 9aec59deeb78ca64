import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isoText } from '../../src/platform/iso-text.js';

test('a time is printed as toISOString prints it', () => {
  fc.assert(
    fc.property(fc.array(fc.date({ noInvalidDate: true }), { minLength: 1, maxLength: 3 }), (dates) => {
      for (const date of dates) expect(isoText(date)).toBe(date.toISOString());
    }),
  );
});

test.each([
  8.64e15, -8.64e15, 0, -1, 1, 999, 86_399_999, 86_400_000, -62_135_596_800_001, 253_402_300_799_999,
  253_402_300_800_000,
])('%d ms, too, and the milliseconds about it', (ms) => {
  for (const at of [ms - 1, ms, ms + 1]) {
    const date = new Date(at);
    if (Number.isNaN(date.getTime())) expect(() => isoText(date)).toThrow(RangeError);
    else expect(isoText(date)).toBe(date.toISOString());
  }
});
