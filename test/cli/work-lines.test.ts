import { expect, test } from 'vitest';
import { createStderrLines } from '../../src/cli/work-lines.js';
import type { Output } from '../../src/cli/output.js';

/** What is written for these chunks, `[job, bytes]`, undefined bytes being the end of a job. */
function written(chunks: readonly (readonly [string, Buffer | string | undefined])[]): readonly string[] {
  const lines: string[] = [];
  const same = (text: string): string => text;
  const output: Output = {
    line: (text = '') => void lines.push(text),
    text: (text) => void lines.push(text),
    isTerminal: false,
    columns: 80,
    style: { bold: same, dim: same, red: same, green: same, yellow: same, cyan: same },
  };
  const stderr = createStderrLines(output);
  for (const [job, chunk] of chunks) {
    if (chunk === undefined) stderr.end(job);
    else stderr.add(job, Buffer.from(chunk));
  }
  return lines;
}

test('lines come whole, however they were cut, and each under its own job', () => {
  const umlaut = Buffer.from('ä');
  expect(
    written([
      ['a', 'one\ntw'],
      ['b', 'other'],
      ['a', 'o\n'],
      ['a', umlaut.subarray(0, 1)],
      ['b', '\n\n'],
      ['a', umlaut.subarray(1)],
      ['a', '\nrest'],
      ['a', undefined],
      ['b', undefined],
    ]),
  ).toEqual(['[a] one', '[a] two', '[b] other', '[b] ', '[a] ä', '[a] rest']);
});

test('a line without an end is not kept for ever', () => {
  const long = 'x'.repeat(20_000);
  expect(
    written([
      ['a', long],
      ['a', 'y'],
      ['a', undefined],
    ]),
  ).toEqual([`[a] ${long}`, '[a] y']);
});
