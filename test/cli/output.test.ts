import { describe, expect, test } from 'vitest';
import { printable } from '../../src/cli/output.js';

describe('printable', () => {
  test('leaves text as it is, in lines and with tabs', () => {
    const text = 'one\ttwo\nдва — 三 שלום 👩‍👩‍👧 e\u0301\n';
    expect(printable(text)).toBe(text);
  });

  test('takes out what moves the cursor, and what makes text read in another order than it has', () => {
    const controls = ['\0', '\u0007', '\b', '\v', '\f', '\r', '\u001b', '\u007f', '\u0080', '\u009b', '\u009f'];
    const bidi = ['\u061c', '\u200e', '\u200f', '\u202a', '\u202b', '\u202c', '\u202d', '\u202e'];
    const isolates = ['\u2066', '\u2067', '\u2068', '\u2069'];
    for (const each of [...controls, ...bidi, ...isolates]) expect(printable(`a${each}b`)).toBe('a\uFFFDb');
  });
});
