import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AppError } from '../../src/errors.js';
import { createBatcher } from '../../src/platform/db/batcher.js';

/** A `run` that is answered by hand. */
function createDesk() {
  const batches: { readonly items: readonly number[]; readonly answer: () => void; readonly fail: () => void }[] = [];
  const run = (items: readonly number[]): Promise<readonly number[]> =>
    new Promise((resolve, reject) => {
      batches.push({
        items,
        answer: () => resolve(items.map((item) => item * 10)),
        fail: () => reject(new Error('the batch failed')),
      });
    });
  return { batches, run };
}

/** Long enough for all that is going to happen by itself. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

describe('a batcher', () => {
  it('serves callers of one turn together, and in order', async () => {
    const { batches, run } = createDesk();
    const batcher = createBatcher<number, number>({ maxItems: 10, maxInFlight: 1, run });
    const answers = Promise.all([3, 1, 2].map((item) => batcher.submit(item)));
    await settled();
    expect(batches.map(({ items }) => items)).toEqual([[3, 1, 2]]);
    batches[0]?.answer();
    expect(await answers).toEqual([30, 10, 20]);
  });

  it('gathers who comes while as many batches as may be are under way', async () => {
    const { batches, run } = createDesk();
    const batcher = createBatcher<number, number>({ maxItems: 10, maxInFlight: 2, run });
    const answers: Promise<number>[] = [];
    for (const item of [1, 2, 3, 4]) {
      answers.push(batcher.submit(item));
      await settled();
    }
    expect(batches.map(({ items }) => items)).toEqual([[1], [2]]);
    batches[1]?.answer();
    await settled();
    expect(batches.map(({ items }) => items)).toEqual([[1], [2], [3, 4]]);
    batches[0]?.answer();
    batches[2]?.answer();
    expect(await Promise.all(answers)).toEqual([10, 20, 30, 40]);
  });

  it('closes a batch at its most items and at its most weight', async () => {
    const { batches, run } = createDesk();
    const batcher = createBatcher<number, number>({
      maxItems: 3,
      maxInFlight: 9,
      weigh: (item) => item,
      maxWeight: 100,
      run,
    });
    const answers = Promise.all([1, 2, 3, 4, 99, 500, 5].map((item) => batcher.submit(item)));
    await settled();
    expect(batches.map(({ items }) => items)).toEqual([[1, 2, 3], [4, 99], [500], [5]]);
    batches.forEach(({ answer }) => answer());
    await answers;
  });

  it('gives a single item that fails its error, without another try', async () => {
    const { batches, run } = createDesk();
    const batcher = createBatcher<number, number>({ maxItems: 10, maxInFlight: 1, run });
    const answer = expect(batcher.submit(1)).rejects.toThrow('the batch failed');
    await settled();
    batches[0]?.fail();
    await answer;
    expect(batches).toHaveLength(1);
  });

  it('tries nothing twice when the database is away, since it may have been done', async () => {
    let runs = 0;
    const batcher = createBatcher<number, number>({
      maxItems: 10,
      maxInFlight: 1,
      run: async () => {
        runs += 1;
        throw new AppError('unavailable', 'away');
      },
    });
    const answers = await Promise.allSettled([1, 2, 3].map((item) => batcher.submit(item)));
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(runs).toBe(1);
  });

  it('lets nobody but the bad items feel their fault, whatever comes when', async () => {
    const item = fc.record({
      weight: fc.integer({ min: 1, max: 5 }),
      fault: fc.constantFrom('none', 'none', 'none', 'verdict', 'poison'),
      later: fc.boolean(),
    });
    const shape = fc.record({
      items: fc.array(item, { maxLength: 30 }),
      maxItems: fc.integer({ min: 1, max: 8 }),
      maxInFlight: fc.integer({ min: 1, max: 3 }),
      together: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(shape, async ({ items, maxItems, maxInFlight, together }) => {
        let underWay = 0;
        const kept: number[] = [];
        const batcher = createBatcher<number, number>({
          maxItems,
          maxInFlight,
          weigh: (index) => items[index]?.weight ?? 0,
          maxWeight: 10,
          run: async (batch) => {
            underWay += 1;
            expect(underWay).toBeLessThanOrEqual(maxInFlight);
            expect(batch.length).toBeLessThanOrEqual(maxItems);
            await new Promise(setImmediate);
            underWay -= 1;
            // As a statement does: one bad row, and nothing of it has happened.
            if (batch.some((index) => items[index]?.fault === 'poison')) throw new Error('poison');
            kept.push(...batch);
            return batch.map((index) => (items[index]?.fault === 'verdict' ? new Error('verdict') : index));
          },
        });
        const answers: Promise<number | string | (number | Error)[]>[] = [];
        let group: number[] = [];
        const submitGroup = (): void => {
          answers.push(batcher.submitAll(group).then((outputs) => [...outputs]));
          group = [];
        };
        for (const [index, { later }] of items.entries()) {
          if (later) {
            submitGroup();
            await new Promise(setImmediate);
          }
          if (together) group.push(index);
          else answers.push(batcher.submit(index).catch((error: Error) => error.message));
        }
        submitGroup();
        const outputs = (await Promise.all(answers)).flat();
        expect(outputs.map((output) => (output instanceof Error ? output.message : output))).toEqual(
          items.map(({ fault }, index) => (fault === 'none' ? index : fault)),
        );
        const sound = items.flatMap(({ fault }, index) => (fault === 'poison' ? [] : [index]));
        expect(kept.toSorted((a, b) => a - b)).toEqual(sound);
      }),
      { numRuns: 300 },
    );
  });
});
