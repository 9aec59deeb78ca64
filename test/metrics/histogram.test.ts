import { Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createHistogram } from '../../src/platform/histogram.js';

test('a histogram reads as one of prom-client', async () => {
  const options = { name: 'took_seconds', help: 'How "long"\nit took.', labelNames: ['method', 'outcome'] };
  const buckets = [0.001, 0.5, 1, 60];
  const theirs = new Registry();
  const ours = new Registry();
  const histogram = new Histogram({ ...options, buckets, registers: [theirs] });
  const observe = createHistogram(ours, { ...options, buckets });
  expect(await ours.metrics()).toBe(await theirs.metrics());

  const observed: readonly [method: string, outcome: string, seconds: number][] = [
    ['/a', 'ok', 0.001],
    ['/a', 'ok', 0.0011],
    ['/b "quoted"\\\n', 'ok', 61],
    ['/a', 'not_found', 0],
    ['/a', 'ok', 0.3],
    ['/a', 'not_found', 60],
  ];
  for (const [method, outcome, seconds] of observed) {
    histogram.labels(method, outcome).observe(seconds);
    observe([method, outcome], seconds);
    expect(await ours.metrics()).toBe(await theirs.metrics());
  }
});
