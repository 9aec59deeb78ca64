import { Code, ConnectError } from '@connectrpc/connect';
import { expect, test } from 'vitest';
import type { Output } from '../../src/cli/output.js';
import { createStderrLines, createTextLog } from '../../src/cli/work-lines.js';

/** An output without colours that keeps its lines. */
function keptLines(): { readonly lines: readonly string[]; readonly output: Output } {
  const lines: string[] = [];
  const same = (text: string): string => text;
  const output: Output = {
    line: (text = '') => void lines.push(text),
    text: (text) => void lines.push(text),
    isTerminal: false,
    columns: 80,
    style: { bold: same, dim: same, red: same, green: same, yellow: same, cyan: same },
  };
  return { lines, output };
}

/** What is written for these chunks, `[job, bytes]`, undefined bytes being the end of a job. */
function written(chunks: readonly (readonly [string, Buffer | string | undefined])[]): readonly string[] {
  const { lines, output } = keptLines();
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

test('what a server has said cannot move the cursor', () => {
  const { lines, output } = keptLines();
  const log = createTextLog(output, 'http://127.0.0.1:1');
  const job = {
    id: 'job_1',
    kind: 'build',
    payload: null,
    priority: 2,
    attempts: 1,
    maxAttempts: 3,
    timeoutSec: undefined,
    previousError: undefined,
    createdAt: new Date(0),
  };
  log({ type: 'refused', job, word: 'lease_lost', message: 'gone\u001b[2J' });
  log({ type: 'disconnected', error: new ConnectError('bad\u001b[2J', Code.Internal), retryInMs: 1000 });
  expect(lines.map((line) => line.slice('00:00:00 '.length))).toEqual([
    'job_1 build report refused: lease_lost: gone\uFFFD[2J',
    'cannot reach http://127.0.0.1:1 (bad\uFFFD[2J); trying again in 1.0 s. Start one with: muster serve --port 1',
  ]);
});
