import { describe, expect, test } from 'vitest';
import { maxGatesFileBytes, parseGatesFile } from '../../../src/modules/gates/gates-file.js';

const defaults = { timeoutSecs: 300, maxRetries: 3, pollIntervalSecs: 30, maxPendingSecs: 86_400 };

describe('a file of gates', () => {
  test('has each in its place, with what is said and defaults for the rest', () => {
    const text = `# what must pass
      [[gate]]
      name = "unit"
      command = "npm test"

      [[gate]]
      name = 'lint'
      command = """
      set -e
      npm run lint"""
      timeout_secs = 1_0
      max_retries = 0
      poll_interval_secs = 0x10
      max_pending_secs = 2_592_000
    `;
    expect(parseGatesFile(text)).toEqual([
      { name: 'unit', command: 'npm test', ...defaults },
      {
        name: 'lint',
        command: '      set -e\n      npm run lint',
        timeoutSecs: 10,
        maxRetries: 0,
        pollIntervalSecs: 16,
        maxPendingSecs: 2_592_000,
      },
    ]);
  });

  test.each([
    ['nothing', ''],
    ['a comment', '# none yet\r\n'],
    ['an empty list', 'gate = []'],
    ['a byte order mark', '\ufeff# none'],
  ])('may have %s', (_name, text) => {
    expect(parseGatesFile(text)).toEqual([]);
  });

  test('may have gates within a line', () => {
    expect(parseGatesFile('gate = [{ name = "a", command = "b" }]')).toEqual([
      { name: 'a', command: 'b', ...defaults },
    ]);
  });

  test('may have 50 gates, each with the longest command', () => {
    const command = 'x'.repeat(16_384);
    const text = manyGates(50, command);
    expect(text.length).toBeLessThan(maxGatesFileBytes);
    expect(parseGatesFile(text)).toHaveLength(50);
    refuses(manyGates(51, 'x'), { field: 'gate' }, 'gate: may be 50 at most');
  });
});

describe('what is wrong is named', () => {
  test.each([
    ['[[gate]]\nname = ', 2, 8],
    ['[[gate]]\nname = "a"\nname = "b"', 3, 1],
    ['[[gate]', 1, 8],
    ['\u0000', 1, 1],
    [`a = ${'['.repeat(100)}`, 1, 13],
  ])('by line and column: %j', (text, line, column) => {
    refuses(text, { line, column }, new RegExp(`^line ${line}, column ${column}: [^\\n]+$`));
  });

  test.each([
    ['gates = 1', 'gates', 'is not known; there is gate'],
    ['["a\\nb"]', '"a\\nb"', 'is not known; there is gate'],
    ['__proto__ = 1', '__proto__', 'is not known; there is gate'],
    ['[gate]\nname = "a"', 'gate', 'must be tables, each headed by [[gate]]'],
    ['gate = "a"', 'gate', 'must be tables, each headed by [[gate]]'],
    ['gate = [1]', 'gate', 'must be tables, each headed by [[gate]]'],
    ['gate = [2026-01-31]', 'gate', 'must be tables, each headed by [[gate]]'],
    ['gate = [[]]', 'gate', 'must be tables, each headed by [[gate]]'],
    ['[[gate]]\ncommand = "b"', 'gate[0].name', 'is required'],
    ['[[gate]]\nname = "a"', 'gate[0].command', 'is required'],
    [secondWith('timeout_secs = 0'), 'gate[1].timeout_secs', 'must be between 1 and 86400'],
    [secondWith('timeout_secs = 99999999999999999999'), 'gate[1].timeout_secs', 'must be between 1 and 86400'],
    [secondWith('max_retries = -1'), 'gate[1].max_retries', 'must be between 0 and 100'],
    [secondWith('timeout_secs = 10.0'), 'gate[1].timeout_secs', 'must be a whole number'],
    [secondWith('timeout_secs = nan'), 'gate[1].timeout_secs', 'must be a whole number'],
    [secondWith('poll_interval_secs = "30"'), 'gate[1].poll_interval_secs', 'must be a whole number'],
    [secondWith('max_pending_secs = true'), 'gate[1].max_pending_secs', 'must be a whole number'],
    [secondWith('timeout = 10'), 'gate[1].timeout', /^is not known; there is name, command, timeout_secs, /],
    [secondWith('[gate.env]'), 'gate[1].env', /^is not known; /],
    [secondWith('constructor = 1'), 'gate[1].constructor', /^is not known; /],
    ['[[gate]]\nname = 1\ncommand = "b"', 'gate[0].name', 'must be text'],
    ['[[gate]]\nname = "a"\ncommand = ["b"]', 'gate[0].command', 'must be text'],
    ['[[gate]]\nname = "a b"\ncommand = "b"', 'gate[0].name', /^must be 1 to 64 /],
    ['[[gate]]\nname = "a"\ncommand = "b\\u0000"', 'gate[0].command', 'must not contain the character U+0000'],
    [`${secondWith('')}\n[[gate]]\nname = "first"\ncommand = "c"`, 'gate[2].name', 'is the one of gate[0], too'],
  ] as const)('by the field: %j', (text, field, why) => {
    refuses(text, { field }, typeof why === 'string' ? `${field}: ${why}` : why);
  });
});

function manyGates(count: number, command: string): string {
  return Array.from({ length: count }, (_, index) => `[[gate]]\nname = "g${index}"\ncommand = "${command}"\n`).join('');
}

function secondWith(line: string): string {
  return `[[gate]]\nname = "first"\ncommand = "a"\n[[gate]]\nname = "second"\ncommand = "b"\n${line}`;
}

function refuses(text: string, details: object, message: string | RegExp): void {
  const field = 'field' in details ? `${String(details.field)}: ` : '';
  const said = typeof message === 'string' ? message : (expect.stringMatching(message) as string);
  let thrown: unknown;
  try {
    parseGatesFile(text);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ kind: 'invalid_request', details });
  const { message: whole } = thrown as Error;
  expect(typeof message === 'string' ? whole : whole.slice(field.length)).toEqual(said);
}
