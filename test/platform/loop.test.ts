import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createLog } from '../../src/platform/log.js';
import { createLoop } from '../../src/platform/loop.js';
import { soon } from '../support/until.js';

const log = createLog('silent');
const hour = 3_600_000;

/** A run that tells when it begins and ends when it is told. */
function createWork() {
  let begin: (() => void) | undefined;
  const ends: (() => void)[] = [];
  const work = {
    begun: 0,
    running: 0,
    most: 0,
    end: () => ends.shift()?.(),
    /** Resolves once this many runs have begun. */
    async beginning(count: number): Promise<void> {
      while (work.begun < count) await soon(`run ${count}`, new Promise<void>((resolve) => (begin = resolve)));
    },
    async run(): Promise<void> {
      work.begun += 1;
      work.running += 1;
      work.most = Math.max(work.most, work.running);
      begin?.();
      await new Promise<void>((resolve) => ends.push(resolve));
      work.running -= 1;
    },
  };
  return work;
}

test('runs at the start, and again after the interval', async () => {
  const work = createWork();
  const loop = createLoop({ name: 'test', log, intervalMs: 1, run: work.run });
  loop.start();
  for (let run = 1; run <= 3; run++) {
    await work.beginning(run);
    work.end();
  }
  await work.beginning(4);
  const stopped = loop.stop();
  work.end();
  await stopped;
});

test('runs sooner when the run asks for it, and never later', async () => {
  let runs = 0;
  const three = new Promise<void>((resolve) => {
    const loop = createLoop({
      name: 'test',
      log,
      intervalMs: 5,
      run: async () => {
        runs += 1;
        if (runs === 3) resolve(loop.stop());
        return runs === 1 ? 0 : hour;
      },
    });
    loop.start();
  });
  await soon('three runs', three);
});

test('wakes that come during a run count as one, and runs never overlap', async () => {
  const work = createWork();
  const loop = createLoop({ name: 'test', log, intervalMs: hour, run: work.run });
  loop.start();
  await work.beginning(1);
  for (let wake = 0; wake < 5; wake++) loop.wake();
  work.end();
  await work.beginning(2);
  work.end();
  await new Promise(setImmediate);
  expect(work.begun).toBe(2);
  loop.wake();
  await work.beginning(3);
  const stopped = loop.stop();
  work.end();
  await stopped;
  expect(work.most).toBe(1);
});

test('a run that fails is tried again', async () => {
  let runs = 0;
  const again = new Promise<void>((resolve) => {
    const loop = createLoop({
      name: 'test',
      log,
      intervalMs: 1,
      run: async () => {
        runs += 1;
        if (runs === 1) throw new Error('at first');
        resolve(loop.stop());
      },
    });
    loop.start();
  });
  await soon('the second run', again);
});

test('stop waits for the present run, and a wake after it does nothing', async () => {
  const work = createWork();
  const loop = createLoop({ name: 'test', log, intervalMs: 0, run: work.run });
  loop.start();
  await work.beginning(1);
  let stopped = false;
  const stopping = loop.stop().then(() => (stopped = true));
  loop.wake();
  await new Promise(setImmediate);
  expect(stopped).toBe(false);
  work.end();
  await stopping;
  loop.wake();
  await new Promise(setImmediate);
  expect(work.begun).toBe(1);
});

test('stop leaves a run behind that does not end', async () => {
  const work = createWork();
  const loop = createLoop({ name: 'test', log, intervalMs: 0, stopMs: 1, run: work.run });
  loop.start();
  await work.beginning(1);
  await soon('the stop', loop.stop());
  work.end();
  await new Promise(setImmediate);
  expect(work.begun).toBe(1);
});

test('whoever starts, stops and wakes it in whatever order, one run is under way at the most, and none after the last stop', async () => {
  const step = fc.constantFrom('start', 'start', 'stop', 'wake', 'turn', 'turn', 'timer');
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      let running = 0;
      let most = 0;
      const loop = createLoop({
        name: 'test',
        log,
        intervalMs: 0,
        run: async () => {
          running += 1;
          most = Math.max(most, running);
          await new Promise(setImmediate);
          await new Promise(setImmediate);
          running -= 1;
        },
      });
      const stops: Promise<void>[] = [];
      for (const name of steps) {
        if (name === 'start') loop.start();
        else if (name === 'wake') loop.wake();
        else if (name === 'stop') stops.push(loop.stop());
        else if (name === 'turn') await new Promise(setImmediate);
        else await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await loop.stop();
      expect(running).toBe(0);
      await new Promise((resolve) => setTimeout(resolve, 3));
      expect(running).toBe(0);
      expect(most).toBeLessThanOrEqual(1);
      await Promise.all(stops);
    }),
    { numRuns: 150 },
  );
});
