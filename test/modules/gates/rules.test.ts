import { describe, expect, test } from 'vitest';
import { type GateInput, gateSpec } from '../../../src/modules/gates/rules.js';

const least: GateInput = { name: 'unit', command: 'npm test' };

test('what is left out has a default', () => {
  const whole = { ...least, timeoutSecs: 300, maxRetries: 3, pollIntervalSecs: 30, maxPendingSecs: 86_400 };
  expect(gateSpec(least)).toEqual(whole);
  expect(gateSpec({ ...least, timeoutSecs: undefined, maxRetries: null })).toEqual(whole);
});

describe('a name', () => {
  test.each(['a', '7', 'Unit_tests-1.2', 'x'.repeat(64)])('may be %s', (name) => {
    expect(gateSpec({ ...least, name }).name).toBe(name);
  });

  test.each(['', 'x'.repeat(65), '.a', '-a', '_a', 'a b', 'a/b', 'ä', 'a\n', 'a\0'])('may not be %j', (name) => {
    refuses({ name }, 'name');
  });
});

describe('a command', () => {
  test.each([' x\n', 'x'.repeat(16_384), 'ä'.repeat(8192)])('is kept as it is', (command) => {
    expect(gateSpec({ ...least, command }).command).toBe(command);
  });

  test('has U+FFFD for half a character', () => {
    expect(gateSpec({ ...least, command: 'echo \ud800' }).command).toBe('echo \ufffd');
  });

  test.each(['', ' \n\t', 'a\0b'])('may not be blank or hold NUL', (command) => {
    refuses({ command }, 'command');
  });

  test.each(['x'.repeat(16_385), 'ä'.repeat(8193)])('may not be too long', (command) => {
    expect(() => gateSpec({ ...least, command })).toThrow(
      expect.objectContaining({
        kind: 'too_large',
        details: { field: 'command', bytes: Buffer.byteLength(command), max_bytes: 16_384 },
      }),
    );
  });
});

test.each([
  ['timeoutSecs', 'timeout_secs', 1, 86_400],
  ['maxRetries', 'max_retries', 0, 100],
  ['pollIntervalSecs', 'poll_interval_secs', 1, 86_400],
  ['maxPendingSecs', 'max_pending_secs', 1, 2_592_000],
] as const)('%s is a whole number in its limits', (key, field, min, max) => {
  for (const value of [min, max]) expect(gateSpec({ ...least, [key]: value })[key]).toBe(value);
  for (const value of [min - 1, max + 1, min + 0.5, NaN, Infinity]) refuses({ [key]: value }, field);
});

test('the field is named with what stands before it', () => {
  expect(() => gateSpec({ ...least, maxRetries: 101 }, 'gate[1].')).toThrow(
    expect.objectContaining({
      kind: 'invalid_request',
      message: 'gate[1].max_retries: must be between 0 and 100',
      details: { field: 'gate[1].max_retries' },
    }),
  );
});

function refuses(part: Partial<GateInput>, field: string): void {
  expect(() => gateSpec({ ...least, ...part })).toThrow(
    expect.objectContaining({ kind: 'invalid_request', details: { field } }),
  );
}
