import { expect, test } from 'vitest';
import { alignColumns } from '../../src/cli/output.js';
import { widthOf } from '../../src/cli/width.js';

test.each([
  ['', 0],
  ['plain ASCII ~', 13],
  ['Ünïcödé — Ω…', 12],
  ['e\u0301\u0323', 1],
  ['\u0301', 0],
  ['a\u200bb\u200d', 2],
  ['日本語', 6],
  ['ひらがな カタカナ', 17],
  ['ｱｲｳ', 3],
  ['ＡＢ！', 6],
  ['、。「」\u3000', 10],
  ['한국', 4],
  ['\u1112\u1161\u11ab', 2],
  ['ꀀ𠀀𗀀', 6],
  ['😀⌚', 4],
  ['❤', 1],
  ['❤\uFE0F1\uFE0F\u20e3', 4],
  ['👍🏽', 2],
  ['👩‍👩‍👧', 2],
  ['🇩🇪🇫🇷', 4],
  ['\uFFFD', 1],
  ['\ud83d', 1],
])('%j takes so many cells: %i', (text, cells) => {
  expect(widthOf(text)).toBe(cells);
});

test('columns are aligned for whoever looks at them', () => {
  const rows = [
    ['ID', 'WHAT', 'LAST'],
    ['1', '\u001b[1m日本語\u001b[22m', 'a'],
    ['2', '👩‍👩‍👧 e\u0301', 'b'],
    ['3', 'a\tb', 'c'],
    ['4', 'seven77', 'd'],
  ];
  expect(alignColumns(rows)).toEqual([
    'ID  WHAT     LAST',
    '1   \u001b[1m日本語\u001b[22m   a',
    '2   👩‍👩‍👧 e\u0301     b',
    '3   a b      c',
    '4   seven77  d',
  ]);
});
