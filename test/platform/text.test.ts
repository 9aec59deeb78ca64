import { expect, test } from 'vitest';
import { firstLine, shorten } from '../../src/platform/text.js';

const family = '👩‍👩‍👧';

test.each([
  ['', 5, ''],
  ['12345', 5, '12345'],
  ['123456', 5, '1234…'],
  [`${'x'.repeat(68)}😀😀`, 70, `${'x'.repeat(68)}…`],
  [`${'x'.repeat(67)}😀😀`, 70, `${'x'.repeat(67)}😀…`],
  ['abce\u0301fg', 5, 'abc…'],
  [`a${family}b`, 9, `a…`],
  [`a${family}bc`, 10, `a${family}…`],
  [`${family}bc`, 3, '…'],
  ['🇩🇪🇫🇷🇮🇹', 10, '🇩🇪🇫🇷…'],
])('%j in %i is %j', (text, most, short) => {
  expect(shorten(text, most)).toBe(short);
});

test('a character without an end is not gone through', () => {
  expect(shorten(`a${'\u0301'.repeat(10_000_000)}`, 60)).toBe('…');
});

test('the first line is what is not blank, and ends as lines do anywhere', () => {
  expect(firstLine('\n  one \ntwo')).toBe('one ');
  expect(firstLine('one\r\ntwo\r\n')).toBe('one');
  expect(firstLine(`${'x'.repeat(68)}😀😀\ny`, 70)).toBe(`${'x'.repeat(68)}…`);
  expect(firstLine('x'.repeat(1000))).toBe('x'.repeat(1000));
});
