import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHeadCapture, createHeadTailCapture, outputText } from '../../src/platform/process-tree-output.js';

describe('captured output', () => {
  const chunksOf = fc.array(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    { maxLength: 12 },
  );

  it('head: the first bytes, whatever the chunks', () => {
    fc.assert(
      fc.property(chunksOf, fc.nat(200), (chunks, max) => {
        const capture = createHeadCapture(max);
        for (const chunk of chunks) capture.add(chunk);
        const all = Buffer.concat(chunks);
        expect(capture.result()).toEqual({
          bytes: all.subarray(0, max),
          totalBytes: all.length,
          truncated: all.length > max,
        });
      }),
    );
  });

  it('head and tail: everything that fits, else both ends and a count that adds up', () => {
    fc.assert(
      fc.property(chunksOf, fc.nat(200), (chunks, max) => {
        const capture = createHeadTailCapture(max);
        for (const chunk of chunks) capture.add(chunk);
        const all = Buffer.concat(chunks);
        const { bytes, totalBytes, truncated } = capture.result();
        expect(totalBytes).toBe(all.length);
        expect(truncated).toBe(all.length > max);
        if (!truncated) {
          expect(bytes).toEqual(all);
          return;
        }
        const mark = /\n\u2026 (\d+) bytes left out \u2026\n/.exec(bytes.toString('utf8'));
        const markBytes = Buffer.from(mark?.[0] ?? 'no mark');
        const at = bytes.indexOf(markBytes);
        const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at + markBytes.length)];
        expect(all.subarray(0, head.length)).toEqual(head);
        expect(all.subarray(all.length - tail.length)).toEqual(tail);
        expect(head.length + tail.length + Number(mark?.[1])).toBe(all.length);
        expect(max - head.length - tail.length).toBeLessThanOrEqual(6);
      }),
    );
  });

  it('head and tail: whole characters on both sides of the mark', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 30, maxLength: 60 }), fc.nat(25), (text, max) => {
        const capture = createHeadTailCapture(max);
        capture.add(Buffer.from(text));
        expect(outputText(capture.result())).not.toContain('\ufffd');
      }),
    );
  });
});
