import { expect, onTestFinished, test } from 'vitest';
import { createDatabase } from '../../../src/platform/db/db.js';
import { createLog } from '../../../src/platform/log.js';
import { numberEvents } from '../../../src/modules/events/store.js';
import { createTestDatabase } from '../../support/database.js';

/** Each row of `events_new` as jobs that share it: with a payload of their own each, or one for all; none: an event of no job. */
const rows: readonly { readonly jobs: readonly string[]; readonly own?: true }[] = [
  { jobs: ['a'] },
  { jobs: ['b', 'c', 'd'] },
  { jobs: [] },
  { jobs: ['e'], own: true },
  { jobs: ['f', 'g'], own: true },
  { jobs: ['h'] },
  { jobs: ['i', 'j', 'k', 'l'] },
  { jobs: [] },
];

test.each([1, 2, 3, 5, 8, 100])(
  'rows of one event and of many are numbered in the order of rows, %i or a few more at a time',
  async (most) => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const db = createDatabase(
      { connectionString: database.url },
      { poolSize: 1, log: createLog('silent'), ownSessions: true },
    );
    onTestFinished(() => db.close());
    const expected: { job_id: string | null; task_id: string; payload: unknown }[] = [];
    for (const [index, { jobs, own }] of rows.entries()) {
      const task = `row ${index}`;
      await database.query(
        `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, task_id, job_ids, payloads, payload, restricted)
         VALUES ($1, now(), 'JobDone', 'Rest', 'human', 'local', $2, $3, $4, $5, $6)`,
        [
          Math.max(1, jobs.length),
          task,
          jobs.length === 0 ? null : jobs,
          own ? jobs.map((job) => JSON.stringify({ own: job })) : null,
          own ? null : JSON.stringify({ shared: index }),
          index % 2 === 0,
        ],
      );
      for (const job of jobs.length === 0 ? [null] : jobs) {
        expected.push({ job_id: job, task_id: task, payload: own ? { own: job } : { shared: index } });
      }
    }
    const runs: number[] = [];
    do runs.push(await numberEvents(db, most));
    while ((runs.at(-1) ?? 0) >= most);
    const numbered = await database.query(
      'SELECT seq::int, job_id, task_id, payload, restricted FROM events ORDER BY seq',
    );
    expect(numbered).toEqual(
      expected.map((event, n) => ({ seq: n + 1, ...event, restricted: Number(event.task_id.slice(4)) % 2 === 0 })),
    );
    expect(await database.query('SELECT 1 FROM events_new')).toEqual([]);
    expect(await database.query('SELECT seq::int FROM events_head')).toEqual([{ seq: expected.length }]);
    // Whole rows, until there are as many events as were asked for.
    for (const run of runs.slice(0, -1)) expect(run).toBeLessThan(most + 4);
  },
);
