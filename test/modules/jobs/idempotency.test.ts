import { expect, test } from 'vitest';
import { createJobsClient, type JobInput, RefusedError } from '../../support/jobs-client.js';
import { startTestApps } from '../../support/two-apps.js';

async function setUp() {
  const { apps, database } = await startTestApps({}, {});
  const clients = apps.map(({ url }) => createJobsClient(url));
  /** Submits at once over both servers in turn. Answers ids and error words. */
  const submitAll = (inputs: readonly JobInput[]): Promise<string[]> =>
    Promise.all(
      inputs.map(async (input, n) => {
        try {
          return (await clients[n % 2]?.submit(input))?.id ?? '';
        } catch (error) {
          if (error instanceof RefusedError) return error.body.error;
          throw error;
        }
      }),
    );
  const stored = async () => database.query<{ id: string; kind: string }>('SELECT id, kind FROM jobs ORDER BY id');
  return { submitAll, stored };
}

const times = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));

test('100 submits at once under one key, over two servers, make one job', async () => {
  const { submitAll, stored } = await setUp();
  const payload = { deep: [1, { two: 'three' }] };
  const answers = await submitAll(times(100, () => ({ kind: 'build', payload, priority: 1, idempotency_key: 'same' })));
  const jobs = await stored();
  expect(jobs).toHaveLength(1);
  expect(new Set(answers)).toEqual(new Set([jobs[0]?.id]));
});

test('of different requests at once under one key one wins, its repetitions get its job, all others conflict', async () => {
  const { submitAll, stored } = await setUp();
  const kinds = ['build', 'test', 'lint'];
  const inputs = times(90, (n) => ({ kind: kinds[n % 3] ?? '', idempotency_key: 'same' }));
  const answers = await submitAll(inputs);
  const [winner, ...others] = await stored();
  expect(others).toEqual([]);
  expect(answers).toEqual(inputs.map(({ kind }) => (kind === winner?.kind ? winner.id : 'conflict')));
});

test('keys do not get in the way of each other or of submits without one', async () => {
  const { submitAll, stored } = await setUp();
  const keys = [undefined, 'a', 'b', undefined, 'c'];
  const inputs = times(100, (n) => {
    const key = keys[n % keys.length];
    return { kind: 'build', ...(key !== undefined && { idempotency_key: key }) };
  });
  const answers = await submitAll(inputs);
  const jobs = await stored();
  expect(jobs).toHaveLength(43);
  expect([...new Set(answers)].sort()).toEqual(jobs.map(({ id }) => id));
  for (const key of ['a', 'b', 'c']) {
    const ids = new Set(answers.filter((_, n) => inputs[n]?.idempotency_key === key));
    expect(ids.size, key).toBe(1);
  }
});
